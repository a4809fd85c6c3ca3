"""What looking into data costs: `python -m benchmarks.data` prints ratios that were measured in one run.

The baseline of the cheap tests is what anybody could do in a shell: `find -printf %s` for the sizes, and `head -c64` of
every file by way of `xargs`, both with a warm cache.
"""

import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.__main__ import Figure, show

from preflight.system import cells, files, structure, tables

ROUNDS = 5
FILES = 100_000
SHELL = "find . -type f -printf '%s\\n' >/dev/null; find . -type f -print0 | xargs -0 head -qc64 >/dev/null"


def write_small_files(folder: Path) -> None:
    """Write images, arrays and JSON files of about 1 KB, a thousand to a folder."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(3).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    contents = {"json": json.dumps(list(range(300))).encode()}
    for suffix, kind in (("jpg", "JPEG"), ("png", "PNG")):
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, kind)
        contents[suffix] = buffer.getvalue()
    buffer = io.BytesIO()
    np.save(buffer, noise)
    contents["npy"] = buffer.getvalue()
    for number in range(FILES):
        suffix = list(contents)[number % len(contents)]
        if number % 1000 == 0:
            (folder / str(number // 1000)).mkdir()
        (folder / str(number // 1000) / f"{number}.{suffix}").write_bytes(contents[suffix])


def test_all(folder: Path) -> None:
    """Apply the cheap tests to every file."""
    count = sum(structure.flaw_of(path) is None for path in files.walk([folder]))
    if count != FILES:
        raise RuntimeError(f"{count} of {FILES} files are whole")


def measure_cheap_tests() -> list[Figure]:
    """Compare the cheap tests over many small files with the shell's way of touching each."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        write_small_files(Path(name))
        for _ in range(ROUNDS):
            start = time.perf_counter()
            test_all(Path(name))
            between = time.perf_counter()
            subprocess.run(["bash", "-c", SHELL], cwd=name, check=True)
            ours.append(between - start)
            theirs.append(time.perf_counter() - between)
    return [Figure(f"cheap tests over {FILES:,} files / find and head", median(ours) / median(theirs), 2.5, "x")]


def measure_memory() -> list[Figure]:
    """Measure how memory grows over a CSV of 2 GB and a safetensors file of 5 GB, both sparse."""
    figures = []
    with tempfile.TemporaryDirectory() as name:
        table, weights = Path(name, "a.csv"), Path(name, "a.safetensors")
        write_sparse_table(table)
        header = json.dumps({"x": {"dtype": "U8", "shape": [5 << 30], "data_offsets": [0, 5 << 30]}}).encode()
        weights.write_bytes(len(header).to_bytes(8, "little") + header)
        with weights.open("r+b") as file:
            file.truncate(8 + len(header) + (5 << 30))
        for path in (table, weights):
            before = peak()
            structure.flaw_of(str(path))
            if path is table:
                read_table(path)
            figures.append(
                Figure(f"memory over {path.stat().st_size / 1e9:.0f} GB of {path.suffix}", peak() - before, 64, "MB")
            )
    return figures


def write_sparse_table(path: Path) -> None:
    """Write a CSV of 2 GB: rows by the thousand, then one with a cell of 1 MB, a hole that reads as zero bytes."""
    with path.open("wb") as file:
        file.write(b"id,text,label\n")
        while file.tell() < 2 << 30:
            file.write(b"17,x,3\n" * 1000 + b'18,"')
            file.seek(1 << 20, 1)
            file.write(b'",3\n')


def read_table(path: Path) -> None:
    """Read a column of numbers to the end."""
    tables.read(tables.open_table(str(path)), [cells.Column(name="label", between=(0, 9))])


def peak() -> float:
    """Return the most memory that this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(show([*measure_memory(), *measure_cheap_tests()]))
