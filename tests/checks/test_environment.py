"""The environment check under locales, folders, names, screens and processors that really are so."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Config, Data, Gpu, System
from preflight.model import Finding, Severity

ASCII = "export LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("environment")


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("rows = open('labels.csv').read()", Severity.ERROR),
        ("rows = open('labels.csv', encoding='utf-8').read()", Severity.WARNING),
    ],
)
def test_text_in_a_place_that_speaks_ascii(
    code: str, severity: Severity, *, tmp_path: Path, checks: ModuleType, in_world: Any
) -> None:
    (tmp_path / "labels.csv").write_text("id,name\n1,Zoë\n", encoding="utf-8")
    (tmp_path / "train.py").write_text(code)
    config = Config(data=(Data(path="labels.csv"),))
    finding = only(in_world(ASCII, checks.check_text_is_read_as_utf8, config, tmp_path))
    assert (finding.id, finding.severity, finding.found) == ("environment.encoding", severity, "ascii")
    assert "in line 2 under PYTHONUTF8=0, LC_ALL=C" in finding.cause
    mended = f"{ASCII}; {finding.fix.splitlines()[-1]}"
    assert not in_world(mended, checks.check_text_is_read_as_utf8, config, tmp_path)
    (tmp_path / "labels.csv").write_text("id,name\n1,Zoe\n", encoding="utf-8")
    assert not in_world(ASCII, checks.check_text_is_read_as_utf8, config, tmp_path)


@pytest.mark.parametrize("line", ["import json", "x = open('a.bin', 'rb')", "open('log', 'w')", "p.open('rb')"])
def test_code_that_reads_no_text(line: str, tmp_path: Path, checks: ModuleType) -> None:
    (tmp_path / "train.py").write_text(line)
    assert not checks.encoding.openings(checks._sources(Config(), tmp_path))
    (tmp_path / "train.py").write_text("from pathlib import Path\nPath('a').read_text()")
    assert len(checks.encoding.openings(checks._sources(Config(), tmp_path))) == 1


WORKERS = Config(experiment={"num_workers": 2})


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a name that leaves room for sockets."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_a_temporary_folder_that_is_missing(
    short_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(short_path / "gone"))
    (finding,) = checks.check_temporary_folder_suits_workers(Config())
    assert (finding.id, finding.severity) == ("environment.temporary-missing", Severity.WARNING)
    subprocess.run(finding.fix.splitlines()[-1], shell=True, check=True)
    assert not list(checks.check_temporary_folder_suits_workers(WORKERS))


@pytest.mark.parametrize(
    ("rule", "name"), [("mknod:*:EPERM", "temporary-sockets"), ("type:sshfs", "temporary-network"), ("clock:0", "")]
)
def test_a_temporary_folder_that_does_not_suit_workers(
    rule: str, name: str, *, short_path: Path, checks: ModuleType, in_world: Any, misbehaving: Any
) -> None:
    out = short_path / "out"
    out.mkdir()
    (short_path / "server").mkdir()
    setup = f"{misbehaving(short_path / 'server', out, rule)}; export TMPDIR={out}"
    findings = in_world(setup, checks.check_temporary_folder_suits_workers, WORKERS)
    assert [finding.id for finding in findings] == ([f"environment.{name}"] if name else [])
    assert not in_world(setup, checks.check_temporary_folder_suits_workers, Config())
    for finding in findings:
        mended = f"{setup}; {finding.fix.splitlines()[-1]}"
        assert not in_world(mended, checks.check_temporary_folder_suits_workers, WORKERS)


def test_a_temporary_folder_with_a_long_name(
    tmp_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ("x" * 80)).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("x" * 80)))
    (finding,) = checks.check_temporary_folder_suits_workers(WORKERS)
    assert finding.id == "environment.temporary-sockets"
    assert "70 characters" in finding.cause
    monkeypatch.setenv("TMPDIR", finding.fix.rpartition("=")[2])
    assert not list(checks.check_temporary_folder_suits_workers(WORKERS))


@pytest.mark.parametrize(
    ("config", "severity"),
    [
        (Config(experiment={"world_size": 2}), Severity.ERROR),
        (Config(system=System(ports=(29500,))), Severity.WARNING),
    ],
)
def test_a_name_without_an_address(
    config: Config, severity: Severity, *, tmp_path: Path, checks: ModuleType, in_world: Any
) -> None:
    # A resolver on this machine that refuses, so that no name is asked for outside.
    setup = f"echo nameserver 127.0.0.1 > {tmp_path}/resolv; mount --bind {tmp_path}/resolv /etc/resolv.conf; "
    setup += f"cp /etc/hosts {tmp_path}/hosts; mount --bind {tmp_path}/hosts /etc/hosts; "
    named = 'set -- unshare --uts bash -c \'hostname nowhere; exec "$@"\' bash "$@"'
    finding = only(in_world(setup + named, checks.check_host_name_resolves, config))
    assert (finding.id, finding.severity) == ("environment.host-name", severity)
    mend = finding.fix.splitlines()[-1].replace("sudo ", "").strip()
    assert not in_world(f"{setup}{mend} > /dev/null; {named}", checks.check_host_name_resolves, config)
    assert not in_world(setup + named, checks.check_host_name_resolves, Config())


PLOT = "import matplotlib.pyplot as plt\n"


@pytest.fixture
def dark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project on a machine without a screen."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND", "MATPLOTLIBRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "settings"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "code",
    [
        "import matplotlib\nmatplotlib.use('TkAgg')\n" + PLOT,
        PLOT + "def main():\n    plt.switch_backend('QtAgg')\nif __name__ == '__main__':\n    main()\n",
    ],
)
def test_code_that_wants_a_screen(code: str, dark: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    (dark / "train.py").write_text(code)
    finding = only(list(checks.check_figures_can_be_drawn(Config(), dark)))
    assert finding.id == "environment.no-display"
    assert "train.py:" in finding.cause
    subprocess.run(finding.fix.splitlines()[-1], shell=True, check=True)
    assert not list(checks.check_figures_can_be_drawn(Config(), dark))
    (dark / "train.py").write_text(code)
    monkeypatch.setenv("DISPLAY", ":0")
    assert not list(checks.check_figures_can_be_drawn(Config(), dark))


@pytest.mark.parametrize("place", ["MPLBACKEND", "project", "settings"])
def test_settings_that_want_a_screen(
    place: str, dark: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dark / "settings").mkdir()
    (dark / "train.py").write_text(PLOT)
    if place == "MPLBACKEND":
        monkeypatch.setenv(place, "TkAgg")
    else:
        (dark / "settings" / "matplotlibrc" if place == "settings" else dark / "matplotlibrc").write_text(
            "backend: tkagg"
        )
    finding = only(list(checks.check_figures_can_be_drawn(Config(), dark)))
    assert place in finding.cause or "matplotlibrc" in finding.cause
    monkeypatch.setenv("MPLBACKEND", finding.fix.rpartition("=")[2])
    assert not list(checks.check_figures_can_be_drawn(Config(), dark))


@pytest.mark.parametrize(
    "code",
    [
        "import matplotlib\nmatplotlib.use('Agg')\n" + PLOT,
        "import sys\nimport matplotlib\nif '--show' in sys.argv:\n    matplotlib.use('TkAgg')\n" + PLOT,
        "import matplotlib\ntry:\n    matplotlib.use('TkAgg')\nexcept ImportError:\n    pass\n",
        PLOT,
        "print('no figures')",
    ],
)
def test_figures_that_need_no_screen(code: str, dark: Path, checks: ModuleType) -> None:
    (dark / "train.py").write_text(code)
    assert not list(checks.check_figures_can_be_drawn(Config(), dark))


def test_a_screen_for_a_program_that_draws_nothing(
    dark: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dark / "train.py").write_text("print('no figures')")
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    assert not list(checks.check_figures_can_be_drawn(Config(), dark))


def test_more_than_the_processors(checks: ModuleType, in_world: Any) -> None:
    config = Config(experiment={"num_workers": 4})
    setup = 'export OMP_NUM_THREADS=1; set -- taskset -c 0 "$@"'
    finding = only(in_world(setup, checks.check_threads_have_processors, config))
    assert (finding.id, finding.severity, finding.wanted) == ("environment.processors", Severity.INFO, "1")
    threads = only(in_world(setup.replace("=1", "=2"), checks.check_threads_have_processors, Config()))
    assert "OMP_NUM_THREADS is 2" in threads.message
    assert not in_world(setup, checks.check_threads_have_processors, Config(experiment={"num_workers": 1}))


@pytest.mark.parametrize(
    ("value", "nodes", "id"),
    [
        ("eth77", 1, "gpu.no-interface"),
        ("=lo", 2, "gpu.loopback"),
        ("lo", 1, ""),
        ("^docker,eth77", 1, ""),
        ("", 2, ""),
    ],
)
def test_interfaces(value: str, nodes: int, id: str, *, checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", value)
    config = Config(gpu=Gpu(count=2), experiment={"num_nodes": nodes})
    findings = list(checks.check_interfaces_of_nccl(config))
    assert [finding.id for finding in findings] == ([id] if id else [])
    for finding in findings:
        assert finding.fix.endswith("\n    unset NCCL_SOCKET_IFNAME")
        monkeypatch.delenv("NCCL_SOCKET_IFNAME")
        assert not list(checks.check_interfaces_of_nccl(config))


def test_a_single_process_names_no_interface(checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "eth77")
    for name in ("SLURM_JOB_NUM_NODES", "SLURM_NNODES", "NNODES", "GROUP_WORLD_SIZE", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert not list(checks.check_interfaces_of_nccl(Config(gpu=Gpu(count=1))))
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert list(checks.check_interfaces_of_nccl(Config()))


def test_processes_without_a_network(checks: ModuleType, in_world: Any) -> None:
    config, offline = Config(experiment={"world_size": 2}), 'set -- unshare --net "$@"'
    (finding,) = in_world(offline, checks.check_interfaces_of_nccl, config)
    assert finding.id == "gpu.no-network"
    mend = finding.fix.splitlines()[-1].replace("sudo ", "")
    mended = f'set -- unshare --net bash -c \'{mend}; exec "$@"\' bash "$@"'
    assert not in_world(mended, checks.check_interfaces_of_nccl, config)
    assert not in_world(offline, checks.check_interfaces_of_nccl, Config())
