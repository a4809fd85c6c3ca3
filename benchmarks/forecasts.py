"""How true forecasts are: `python -m benchmarks.forecasts` rehearses three programs and compares with their full runs.

What the full runs took is in `forecasts.json`, with the machine and the day; `--measure` takes it anew. Seconds depend
on the machine: on another one than the record's, only memory and disk are compared.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.__main__ import Figure, show

from preflight import config as configuration
from preflight.rehearsal import forecasts
from preflight.rehearsal.standard import standard_run

PROGRAMS = Path(__file__).with_name("programs")
RECORD = Path(__file__).with_name("forecasts.json")
NAMES = ("plain", "workers", "trainer")
BAR = 0.25


def set_up(folder: Path, name: str) -> Path:
    """Return a new project that holds one of the programs."""
    project = folder / "project"
    project.mkdir(parents=True)
    shutil.copy(PROGRAMS / f"{name}.py", project / "train.py")
    return project


def forecast(name: str) -> dict[str, float]:
    """Return seconds, bytes of memory of the largest process, and bytes of disk that the rehearsal foretells."""
    with tempfile.TemporaryDirectory() as place:
        project = set_up(Path(place), name)
        text = "preflight: {rehearsal: {command: python train.py, time: 5m}}\n"
        settings = configuration.load(project / "config.yaml", text=text, root=project)
        done = standard_run(settings, Path(place) / "run")
        if done.code != 0:
            sys.exit(done.output)
        whole, taken = forecasts.duration(done), forecasts.memory(done)
        if whole is None or taken is None:
            sys.exit(f"{name}: nothing is foretold")
        disk = sum(size for _, _, size in forecasts.storage(done).all())
        return {"seconds": whole.seconds, "memory": taken.process, "disk": disk}


def measure(name: str) -> dict[str, float]:
    """Return what the full run took, of the same."""
    with tempfile.TemporaryDirectory() as place:
        project = set_up(Path(place), name)
        before = sum(each.stat().st_size for each in project.rglob("*"))
        began = time.perf_counter()
        subprocess.run([sys.executable, "train.py"], cwd=project, check=True, capture_output=True)
        seconds = time.perf_counter() - began
        after = sum(each.stat().st_size for each in project.rglob("*") if each.is_file())
        # Of all programs so far, so that each is measured in a process of its own.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        return {"seconds": seconds, "memory": peak, "disk": after - before}


def machine() -> dict[str, Any]:
    """Return what a record is told by."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "processor": f"{os.cpu_count()} x {model}",
        "python": platform.python_version(),
        "day": time.strftime("%Y-%m-%d"),
    }


def main() -> int:
    """Print how far each forecast is from the truth."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--measure", nargs="?", const="all", help="run the programs in full and write the record")
    chosen = parser.parse_args().measure
    if chosen in NAMES:
        print(json.dumps(measure(chosen)))
        return 0
    if chosen:
        made = {
            name: json.loads(subprocess.check_output([sys.executable, "-m", __spec__.name, "--measure", name]))
            for name in NAMES
        }
        RECORD.write_text(json.dumps({**machine(), "true": made}, indent=2) + "\n")
    record = json.loads(RECORD.read_text())
    kinds = ["memory", "disk"] if machine()["processor"] != record["processor"] else ["seconds", "memory", "disk"]
    figures = []
    for name in NAMES:
        found = forecast(name)
        for kind in kinds:
            true = record["true"][name][kind]
            print(f"{name} {kind}: {found[kind]:.4g} foretold, {true:.4g} true")
            figures.append(Figure(f"{name}: {kind}, error of the forecast", abs(found[kind] / true - 1), BAR, ""))
    return show(figures)


if __name__ == "__main__":
    sys.exit(main())
