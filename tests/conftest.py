"""What tests share: a world that is really broken, and a project whose checks are run as `preflight run` runs them."""

import importlib.util
import inspect
import os
import pickle
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from ctypes.util import find_library
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, settings

from preflight import config as configuration
from preflight.model import Report
from preflight.run import run
from preflight.system.gpu.presence import is_any_here
from preflight.system.kernel import adopt_orphans, release_orphans
from preflight.worker.fixtures import fresh_within
from preflight.worker.request import Selection

# A shell has what it starts in the background be deaf to Ctrl-C, and what that starts as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Machines are shared: how long an example took says nothing of the code.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

CALLED = """
import importlib, importlib.util, inspect, pickle, sys
module, file, function, arguments, keywords = pickle.loads(sys.stdin.buffer.read())
try:
    module = importlib.import_module(module)
except ImportError:
    spec = importlib.util.spec_from_file_location(module, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
answer = getattr(module, function)(*arguments, **keywords)
sys.stdout.buffer.write(pickle.dumps(list(answer) if inspect.isgenerator(answer) else answer))
"""


def pytest_configure(config: pytest.Config) -> None:
    """Keep what runs of the tests remember out of the user's home; before modules copy the environment."""
    state = tempfile.TemporaryDirectory(prefix="preflight-state-")
    os.environ["XDG_STATE_HOME"] = state.name
    # What a CI service sets would change what commands show, and where reports point.
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE", "CI_PROJECT_DIR", "WORKSPACE"):
        os.environ.pop(name, None)
    config.add_cleanup(state.cleanup)


@pytest.fixture(scope="session")
def in_world() -> Callable[..., Any]:
    """Return `call(setup, function, ...)`: the function's value in a new process, after the shell text `setup`.

    The process has mounts of its own, which vanish with it. `setup` may put a command in front of the process:
    `set -- setpriv --bounding-set=-dac_override "$@"`.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a broken world needs Linux and root")

    def call(setup: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        task = (function.__module__, inspect.getfile(function), function.__qualname__, arguments, keywords)
        shell = ["unshare", "--mount", "bash", "-euc", f'{setup}\nexec "$@"', "bash"]
        process = subprocess.run(
            [*shell, sys.executable, "-c", CALLED], input=pickle.dumps(task), capture_output=True, timeout=60
        )
        assert process.returncode == 0, process.stderr.decode(errors="replace")
        return pickle.loads(process.stdout)

    return call


@pytest.fixture(scope="session")
def misbehaving() -> Callable[..., str]:
    """Return `misbehaving(folder, point, *rules)`: shell text that mounts worlds/file_system.py."""
    library = find_library("fuse")
    if not library or not Path("/dev/fuse").exists() or importlib.util.find_spec("fuse") is None:
        pytest.skip("a file system that misbehaves needs FUSE, libfuse2 and fusepy")
    server = Path(__file__).parent / "worlds" / "file_system.py"

    def mounting(folder: Path, point: Path, *rules: str) -> str:
        words = shlex.join([sys.executable, str(server), str(folder), str(point), *rules])
        # It dies with the process that the function runs in, and what hangs is let go.
        return (
            f"setpriv --pdeathsig KILL {words} >/dev/null 2>&1 &\n"
            f"for i in $(seq 100); do mountpoint -q {shlex.quote(str(point))} && break; sleep 0.05; done"
        )

    return mounting


@pytest.fixture
def on_gpu() -> Callable[..., Any]:
    """Call `on_gpu(function, *arguments)` to run it in a fork that may use the GPU; this process never does."""
    torch = importlib.util.find_spec("torch")
    built_for_it = torch is not None and Path(str(torch.origin)).with_name("lib").joinpath("libtorch_cuda.so").exists()
    if not built_for_it or not Path("/dev/nvidia0").exists():
        pytest.skip("there is no GPU that this torch can use")
    return fresh_within(90)


@pytest.fixture(scope="session")
def load_world() -> Callable[[str], ModuleType]:
    """Return `load_world("conda")`: the module of that name in tests/worlds."""

    def load(name: str) -> ModuleType:
        known = f"worlds_{name}"
        if known not in sys.modules:
            spec = importlib.util.spec_from_file_location(known, Path(__file__).parent / "worlds" / f"{name}.py")
            assert spec
            assert spec.loader
            sys.modules[known] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[known])
        return sys.modules[known]

    return load


@pytest.fixture(scope="session")
def conda(load_world: Callable[[str], ModuleType]) -> ModuleType:
    """The module that makes conda packages, channels and prefixes."""
    pytest.importorskip("rattler", reason="needs py-rattler")
    pytest.importorskip("zstandard")
    if sys.platform != "linux":
        pytest.skip("the packages are made for Linux")
    return load_world("conda")


@pytest.fixture(scope="session")
def channel(conda: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A channel with Python, pip and some small packages."""
    folder = tmp_path_factory.mktemp("conda") / "channel"
    made = conda.Made
    for package in (
        conda.python_package(),
        conda.pip_package(),
        conda.library("tinylib", "1.9"),
        conda.library("tinylib", "2.0"),
        conda.library("tinylib", "2.0", text="VERSION = '2.0'  # built again\n", build="py_1"),
        conda.library("tinyapp", "0.3", "tinylib >=1"),
        conda.library("tinyshow", "5.0", key="show"),
        made(name="tinyssl", version="1.1.1w", files={"lib/libtinyssl.so.1": b"code"}),
    ):
        conda.write_package(package, folder)
    conda.index(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RATTLER_CACHE_DIR", str(folder.parent / "cache"))
        yield folder


@pytest.fixture
def history(load_world: Callable[[str], ModuleType]) -> ModuleType:
    """The module that makes records of runs as launches leave them."""
    return load_world("runs")


@pytest.fixture
def records(history: ModuleType, tmp_path: Path) -> Any:
    """Records of eight runs, some of them damaged."""
    return history.make(tmp_path / "runs")


class Project:
    """A folder with checks in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "preflight_checks").mkdir()

    def checks(self, name: str, text: str) -> Path:
        """Write `preflight_checks/check_NAME.py`."""
        file = self.folder / "preflight_checks" / f"check_{name}.py"
        file.write_text(
            "import os, signal, sys, time\nimport pytest\nfrom preflight import check, error, info, warning\n"
            + textwrap.dedent(text)
        )
        return file

    def run(self, section: str = "", *, only: tuple[str, ...] = ()) -> Report:
        """Run the checks; `section` is what stands below `preflight:`."""
        text = "preflight:\n" + textwrap.indent(textwrap.dedent(section).strip() or "deadline: 60", "  ")
        config = configuration.load(Path("foo.yaml"), text=text, root=self.folder)
        return run(config, selection=Selection(only=only))


@pytest.fixture(scope="session")
def project_type() -> type[Project]:
    """Hand the type to fixtures that live longer than a test."""
    return Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project(tmp_path)


@pytest.fixture
def nothing_left() -> Iterator[Callable[[], list[str]]]:
    """Return a function that names the processes which descend from this one and did not when the test began.

    Those that have lost their parent become children of this process, so that other tests' are not taken for them.
    """
    before = {process.pid for process in psutil.Process().children(recursive=True)}

    def left() -> list[str]:
        until = time.monotonic() + 2
        while True:
            ours = [
                each for each in psutil.Process().children(recursive=True) if each.pid not in before and _lives(each)
            ]
            if not ours or time.monotonic() > until:
                return [f"{process.pid} {process.name()}" for process in ours]
            time.sleep(0.05)

    adopt_orphans()
    yield left
    release_orphans()
    for process in psutil.Process().children():
        if process.pid not in before and not _lives(process):
            os.waitpid(process.pid, os.WNOHANG)


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.fixture(scope="session")
def nvidia_driver(load_world: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return `nvidia_driver(devices, …)`: shell text after which a driver of so many devices is found."""
    return load_world("driver").FakeDriver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def no_gpu() -> None:
    """Skip a test that is about machines without a driver, where there is one."""
    if is_any_here():
        pytest.skip("this machine has a driver")
