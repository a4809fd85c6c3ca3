"""Run preflight on every node of a Ray cluster, and judge what they report as one."""

import subprocess
import sys
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

SECONDS = 300


@ray.remote(num_cpus=0)
def check(config: str) -> str:
    """Return the report of the node that this runs on, as JSON."""
    command = [sys.executable, "-m", "preflight", "run", "--config", config, "--format", "json"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout


def main(config: str, folder: Path) -> int:
    """Write a report for each node that answers in time, and return the exit code of the whole."""
    ray.init()
    folder.mkdir()
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        asked[check.options(scheduling_strategy=there).remote(config)] = node
    for answer in ray.wait(list(asked), num_returns=len(asked), timeout=SECONDS)[0]:
        (folder / f"{asked[answer]}.json").write_text(ray.get(answer))
    reports = [str(each) for each in folder.iterdir()]
    command = [sys.executable, "-m", "preflight", "merge", "--nodes", str(len(nodes)), *reports]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], Path(sys.argv[2])))
