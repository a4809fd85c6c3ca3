"""Whatever dies while a run is launched, its record says what became of it."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from preflight.system.kernel import process_state

MOMENTS = [0.2, 0.4, 0.6, 0.9, 1.3, 1.8, 2.4]
ENDS = {"refused", "finished", "failed", "stopped", "lost"}


def states(experiment: Any) -> dict[str, str]:
    """Return the state of each run as `preflight runs` tells it."""
    done = experiment.command("runs", "--config", "foo.yaml", "--json")
    assert done.returncode == 0, done.stderr
    return {each["name"]: each["state"] for each in json.loads(done.stdout)}


@pytest.mark.slow
def test_a_launcher_that_is_killed_at_any_moment_leaves_no_run_for_ever(experiment: Any) -> None:
    killed = []
    for number, moment in enumerate(MOMENTS):
        words = ["launch", "--config", "foo.yaml", "--name", f"r{number}", "--", "sleep", "61.7"]
        process = subprocess.Popen(
            [sys.executable, "-m", "preflight", *words], cwd=experiment.folder, stderr=subprocess.DEVNULL
        )
        time.sleep(moment)
        process.kill()
        killed.append(process.wait())
    told = states(experiment)
    assert set(told.values()) <= {"lost", "starting"}, told
    assert "lost" in told.values()
    assert subprocess.run(["pgrep", "-f", "^sleep 61.7$"], capture_output=True).stdout == b""
    assert experiment.git("status", "--porcelain") == ""
    experiment.git("worktree", "list")
    experiment.launch("local", name="after")
    assert experiment.done.returncode == 0, experiment.done.stderr


@pytest.mark.slow
def test_many_launches_at_once_are_all_recorded(experiment: Any) -> None:
    """Of those that want one name, one gets it; all others run, each in its own checkout."""
    names = [*(f"r{number}" for number in range(5)), "same", "same", "same"]
    (experiment.folder / "changed.py").write_text("x = 1\n")
    program = "import os; print(os.getcwd(), os.path.exists('changed.py'))"
    start = [sys.executable, "-m", "preflight", "launch", "--config", "foo.yaml"]
    launches = [
        subprocess.Popen(
            [*start, "--name", name, "--", sys.executable, "-c", program],
            cwd=experiment.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    outputs = [(launch.communicate(timeout=120), launch.returncode) for launch in launches]
    assert sorted(code for _, code in outputs) == [0] * 6 + [125] * 2, outputs
    said = [out for (out, _), code in outputs if code == 0]
    assert len(set(said)) == 6
    assert all(out.endswith(" True\n") for out in said)
    assert states(experiment) == dict.fromkeys(set(names), "finished")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_full_disk_refuses_before_and_not_in_the_middle(experiment: Any) -> None:
    """A launch onto a full disk is refused in two lines; a disk that fills up while the job runs does not end it."""
    records = experiment.folder / ".preflight"
    records.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(records)], check=True)
    try:
        fill = f"import os; f = open({str(records / 'fill')!r}, 'wb'); f.write(bytes(1 << 20))"
        program = f"try:\n    {fill}\nexcept OSError: pass\nprint('x' * 5000)\nraise SystemExit(3)\n"
        (experiment.folder / "fill.py").write_text(program)
        words = ["launch", "--config", "foo.yaml", "--name"]
        done = experiment.command(*words, "fills", "--", sys.executable, "fill.py")
        assert (done.returncode, len(done.stdout)) == (3, 5001), done.stderr
        is_told = "the end of fills cannot be recorded: No space left on device" in done.stderr
        done = experiment.command(*words, "next", "--", "true")
        assert done.returncode == 125
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert "preflight itself" not in done.stderr
        # The last line still fits where a block of its file is not full.
        assert states(experiment)["fills"] == ("lost" if is_told else "failed")
    finally:
        subprocess.run(["umount", "--lazy", str(records)], check=True)


def test_a_job_whose_supervisor_is_killed_is_lost(experiment: Any) -> None:
    (experiment.outside / "wait").touch()
    words = ["launch", "--config", "foo.yaml", "--name", "one", "--", sys.executable, "train.py"]
    process = subprocess.Popen(
        [sys.executable, "-m", "preflight", *words, str(experiment.outside)],
        cwd=experiment.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    pid = experiment.seen()["pid"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert states(experiment) == {"one": "lost"}
    experiment.until(lambda: process_state(pid) in ("", "Z"))
