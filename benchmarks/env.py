"""What locking and checking an environment costs: `python -m benchmarks.env` prints what was measured in one run.

The environment has 300 distributions, the conda prefix 300 packages, and the index is a server of this machine, so that
nothing is measured but the programs. The baselines are what anybody could do: `pip freeze`, `uv pip freeze`, `uv pip
compile`. What a start costs is left out of the unchanged check, which also runs inside of a gate that has started.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

from benchmarks.__main__ import PREFLIGHT, ROUNDS, Figure, show

from preflight.envlock import fingerprint, provenance
from preflight.envlock.environment import of_prefix
from preflight.envlock.inventory import Inventory
from preflight.envlock.plan import plan

COUNT = 300
# What an average package has: files, releases on an index.
FILES, RELEASES = 190, 60
LONG_AGO = 1_600_000_000
SITE = f"lib/python3.{sys.version_info.minor}/site-packages"


def name_of(number: int) -> str:
    """Return the name of a made distribution."""
    return f"package-{number:03}"


def wheel_of(name: str, version: str) -> str:
    """Return the file name of its wheel."""
    return f"{name.replace('-', '_')}-{version}-py3-none-any.whl"


def write_environment(prefix: Path) -> None:
    """Write a virtual environment as an installer leaves it, with all the metadata and no modules."""
    venv.create(prefix, symlinks=True, with_pip=True)
    for number in range(COUNT):
        name = name_of(number)
        info = prefix / SITE / f"{name.replace('-', '_')}-1.{number}.dist-info"
        info.mkdir()
        requires = "".join(f"Requires-Dist: {name_of(other)}>=1\n" for other in range(number - number % 13, number))
        (info / "METADATA").write_text(metadata_of(name, f"1.{number}", requires))
        (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        (info / "INSTALLER").write_text("pip\n")
        rows = [
            f"{name}/module_{row}.py,sha256={hashlib.sha256(b'%d' % row).hexdigest()[:43]},{row}"
            for row in range(FILES)
        ]
        (info / "RECORD").write_text("\n".join(rows) + "\n")
    age(prefix)


def metadata_of(name: str, version: str, requires: str) -> str:
    """Return what a METADATA file holds, with a page of description."""
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: >=3.8\n{requires}"
    return head + "\n" + "A package that does this and that.\n" * 100


def write_prefix(prefix: Path) -> None:
    """Write the records of a conda prefix; they list as many files as those of real packages do."""
    (prefix / "conda-meta").mkdir(parents=True)
    channel = "https://conda.example.org/conda-forge"
    for number in range(COUNT):
        name, build = ("python", "h1_0_cpython") if not number else (name_of(number), "py311h1_0")
        version = "3.11.9" if not number else f"1.{number}"
        digest = hashlib.sha256(name.encode()).hexdigest()
        files = [f"{SITE}/{name}/module_{row}.py" for row in range(FILES)]
        record = {
            "name": name,
            "version": version,
            "build": build,
            "build_number": 0,
            "subdir": "linux-64",
            "url": f"{channel}/linux-64/{name}-{version}-{build}.conda",
            "md5": digest[:32],
            "sha256": digest,
            "depends": [f"{name_of(other)} >=1,<2" for other in range(1, number % 9)],
            "files": files,
            "paths_data": {"paths": [{"_path": file, "sha256": digest, "size_in_bytes": 1000} for file in files]},
            "requested_spec": name if number % 10 == 0 else "None",
        }
        (prefix / "conda-meta" / f"{name}-{version}-{build}.json").write_text(json.dumps(record, indent=1))


def age(prefix: Path) -> None:
    """Make everything look as if nobody had touched it for years."""
    for folder, _, names in os.walk(prefix):
        for name in [".", *names]:
            os.utime(os.path.join(folder, name), (LONG_AGO, LONG_AGO), follow_symlinks=False)


class Index(BaseHTTPRequestHandler):
    """Serves the page of every made project, and the metadata of its wheels."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer."""
        last = self.path.rstrip("/").rpartition("/")[2]
        is_made = last.startswith("package")
        body = b"" if not is_made else self._metadata(last) if last.endswith(".metadata") else self._page(last)
        self.send_response(200 if is_made else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def _page(self, name: str) -> bytes:
        number = int(name.rpartition("-")[2])
        versions = [f"0.{release}" for release in range(RELEASES)] + [f"1.{number}"]
        links = []
        for version in versions:
            wheel = wheel_of(name, version)
            digest = hashlib.sha256(wheel.encode()).hexdigest()
            links.append(f'<a href="/files/{wheel}#sha256={digest}" data-core-metadata="true">{wheel}</a><br>')
        return f"<!DOCTYPE html><html><body>\n{chr(10).join(links)}\n</body></html>".encode()

    def _metadata(self, file: str) -> bytes:
        name, version, *_ = file.split("-")
        return metadata_of(name, version, "").encode()


@contextmanager
def served() -> Iterator[str]:
    """Run the index in a process of its own and give its address."""
    server = subprocess.Popen(
        [sys.executable, "-c", "from benchmarks.env import serve; serve()"], stdout=subprocess.PIPE, text=True
    )
    try:
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}/simple" if server.stdout else ""
    finally:
        server.kill()
        server.wait()


def serve() -> None:
    """Serve until killed; the port is printed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    print(server.server_port, flush=True)
    server.serve_forever()


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def medians(*works: Callable[[], object]) -> list[float]:
    """Return the median seconds of each; the rounds take turns, so that a busy minute hits all alike."""
    for work in works:
        work()
    rounds = [[seconds(work) for work in works] for _ in range(ROUNDS)]
    return [median(each) for each in zip(*rounds, strict=True)]


def command(*words: str, text: str = "", folder: Path | None = None) -> Callable[[], object]:
    """Return what runs a program that must succeed."""
    return lambda: subprocess.run(words, input=text, text=True, cwd=folder, check=True, capture_output=True)


def measure_check(prefix: Path, project: Path) -> list[Figure]:
    """Compare the unchanged and the full check with what pip and uv take to list the packages."""
    os.environ["XDG_CACHE_HOME"] = str(project / "cache")
    environment, lock = of_prefix(prefix, "it is measured"), project / "pylock.toml"
    for path, data in plan(Inventory.of(environment), project).files.items():
        path.write_bytes(data)
    check = [*PREFLIGHT, "env", "check", "--prefix", str(prefix)]

    def unchanged() -> None:
        if not fingerprint.unchanged(fingerprint.fingerprint(prefix), lock):
            raise RuntimeError("something has changed")

    def full() -> None:
        shutil.rmtree(project / "cache")
        command(*check, folder=project)()

    command(*check, folder=project)()
    ours, uv, whole, pip = medians(
        unchanged,
        command("uv", "pip", "freeze", "--python", environment.python),
        full,
        command(environment.python, "-m", "pip", "freeze"),
    )
    return [
        Figure(f"unchanged check of {COUNT} distributions, in process", ours * 1000, 10, "ms"),
        Figure("unchanged check, in process / uv pip freeze", ours / uv, 0.2, "x"),
        Figure("full check, whole command / pip freeze", whole / pip, 0.5, "x"),
    ]


def measure_files(prefix: Path) -> list[Figure]:
    """Compare how long it takes to find url and hash of every distribution with how long uv takes."""
    os.environ["PIP_INDEX_URL"] = os.environ["UV_INDEX_URL"]
    inventory = Inventory.of(of_prefix(prefix, "it is measured"))
    made = [each for each in inventory.distributions if each.key.startswith("package-")]
    wanted = Inventory(inventory.environment, [], made)

    def ours() -> None:
        found = provenance.find(wanted, [], prefix)
        if len(found.packages) != COUNT:
            raise RuntimeError(f"{len(found.packages)} of {COUNT} files are found")

    pins = "".join(f"{each.key}=={each.version}\n" for each in made)
    words = ["pip", "compile", "--quiet", "--no-deps", "--no-cache", "--format", "pylock.toml", "-"]
    found, uv = medians(ours, command("uv", *words, text=pins))
    return [Figure(f"url and hash of {COUNT} distributions / uv pip compile", found / uv, 1, "x")]


def measure_lock(prefix: Path, project: Path) -> list[Figure]:
    """Measure the lock of a conda prefix, from the records to the text."""
    environment = of_prefix(prefix, "it is measured")
    [seconds_] = medians(lambda: plan(Inventory.of(environment), project, offline=True))
    return [Figure(f"lock of {COUNT} conda packages, in process", seconds_ * 1000, 600, "ms")]


def main() -> int:
    """Measure everything; 1 where a bar is missed."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name, served() as index:
        folder = Path(name)
        os.environ["UV_INDEX_URL"] = index
        os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        (folder / "project").mkdir()
        (folder / "other").mkdir()
        write_environment(folder / "env")
        write_prefix(folder / "conda")
        figures = measure_files(folder / "env")
        figures += measure_check(folder / "env", folder / "project")
        return show([*figures, *measure_lock(folder / "conda", folder / "other")])


if __name__ == "__main__":
    sys.exit(main())
