"""What a manifest costs: `python -m benchmarks.manifest` prints ratios that were measured in one run.

Hashing is compared with the fastest of b3sum, xxhsum and sha256sum that is installed, on the same files with a warm
cache; verifying what has not changed with a `find` that asks the system the same about every file.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.__main__ import Figure, show

from preflight.system import checksums, manifests, verification
from preflight.system.manifests import Entry

ROUNDS = 5
FILES = 100_000
TOOLS = {"b3sum": ["b3sum"], "xxhsum": ["xxhsum", "-H2"], "sha256sum": ["sha256sum"]}


def seconds_of(function: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def write_files(folder: Path, count: int, size: int) -> list[str]:
    """Write files of random bytes, a thousand to a folder."""
    block = os.urandom(size)
    for number in range(count):
        file = folder / str(number // 1000) / f"{number}.bin"
        if number % 1000 == 0:
            file.parent.mkdir(parents=True)
        file.write_bytes(block)
    return manifests.files_below(folder)


def hash_all(paths: list[str], algorithm: str) -> list[str]:
    """Return the digests in the order of the paths."""
    wanted = [(index, path, algorithm) for index, path in enumerate(paths)]
    return [hashed.digest for hashed in sorted(checksums.hash_files(wanted), key=lambda each: each.index)]


def measure_hashing(name: str, count: int, size: int) -> Figure:
    """Compare hashing with the fastest of the tools."""
    tools = {tool: command for tool, command in TOOLS.items() if shutil.which(tool)}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(Path(folder), count, size)
        programs: dict[str, Callable[[], object]] = {"": lambda: hash_all(paths, checksums.best())}
        for tool, command in tools.items():
            listed = [*command, *paths]
            programs[tool] = lambda listed=listed: subprocess.run(listed, check=True, stdout=subprocess.DEVNULL)
        rounds = [{tool: seconds_of(program) for tool, program in programs.items()} for _ in range(ROUNDS)]
    seconds = {tool: median(each[tool] for each in rounds) for tool in programs}
    ours = seconds.pop("")
    fastest = min(seconds, key=lambda tool: seconds[tool])
    return Figure(f"{checksums.best()} over {name} / {fastest}", ours / seconds[fastest], 1.25, "x")


def measure_verifying() -> Figure:
    """Compare verifying an unchanged manifest with finding the same files."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = os.path.join(name, "cache")
        tree = Path(name, "tree")
        paths = write_files(tree, FILES, 100)
        digests = hash_all(paths, checksums.best())
        entries = [
            Entry(os.path.relpath(path, tree), checksums.best(), digest)
            for path, digest in zip(paths, digests, strict=True)
        ]
        (tree / "MANIFEST").write_text(manifests.written(entries, "."))
        time.sleep(1.1)
        verification.verify(tree / "MANIFEST", tree)
        find = ["find", str(tree), "-printf", "%s %T@ %C@ %i\\n"]
        rounds = [
            (
                seconds_of(lambda: verification.verify(tree / "MANIFEST", tree)),
                seconds_of(lambda: subprocess.run(find, check=True, stdout=subprocess.DEVNULL)),
            )
            for _ in range(ROUNDS)
        ]
    ours, theirs = (median(each) for each in zip(*rounds, strict=True))
    return Figure(f"an unchanged manifest of {FILES:,} files / find", ours / theirs, 1.5, "x")


if __name__ == "__main__":
    large = measure_hashing("16 files of 64 MB", 16, 64 << 20)
    small = measure_hashing("4,000 files of 64 kB", 4000, 64 << 10)
    sys.exit(show([large, small, measure_verifying()]))
