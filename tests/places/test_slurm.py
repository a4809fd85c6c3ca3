"""Workers under a real Slurm of four nodes: each way a node can fail is told apart, and holds up nobody."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Launch = Callable[..., Any]
HEALTHY = {"n1", "n2", "n3", "n4"}


def answered(run: Any) -> set[str]:
    """Return the nodes that said all."""
    return {each.name for each in run.report.places if each.presence == "answered" and not each.reason}


def test_a_healthy_job_is_one_go(launch: Launch) -> None:
    """Every node runs every check, and what they share of the facts is told once."""
    run = launch().wait()
    assert run.code == 0, run.text
    assert answered(run) == HEALTHY
    assert {(each.check, each.place) for each in run.report.results} == {
        (check, node) for check in ("mine.data-is-there", "mine.that-lasts") for node in HEALTHY
    }
    assert run.report.facts["python"]
    assert [each.facts["host"] for each in run.report.places] == ["n1", "n2", "n3", "n4"]
    assert "python" not in run.report.places[0].facts


def test_a_missing_mount_is_told_of_the_node_that_lacks_it(cluster: Any, launch: Launch) -> None:
    """The mount is there in three mount namespaces and not in the fourth."""
    cluster.at("n3", "umount", str(cluster.folder / "data"))
    run = launch().wait()
    cluster.at("n3", "mount", "-t", "tmpfs", "none", str(cluster.folder / "data"))
    cluster.at("n3", "touch", str(cluster.folder / "data" / "train"))
    assert run.code == 1, run.text
    failed = [(each.check, each.place) for each in run.report.results if each.status == "FAILED"]
    assert failed == [("mine.data-is-there", "n3")]
    assert answered(run) == HEALTHY


def test_a_stopped_worker_has_fallen_silent(cluster: Any, launch: Launch, in_check: Any) -> None:
    """It is named with the check that it was in, and the others' answers are there."""
    run = launch(lasts=4)
    in_check("n2")
    cluster.worker("n2").send_signal(signal.SIGSTOP)
    run.wait()
    assert run.code == 3, run.text
    assert run.place("n2").presence == "fell silent"
    assert "mine.that-lasts" in run.place("n2").running
    assert "though the node answers" in run.place("n2").reason
    # On a busy machine the other check may not have ended before.
    assert run.broken() - {("mine.data-is-there", "n2")} == {("mine.that-lasts", "n2"), ("node.answers", "n2")}
    assert answered(run) == HEALTHY - {"n2"}


@pytest.mark.slow
def test_a_killed_worker_is_lost(cluster: Any, launch: Launch, in_check: Any) -> None:
    run = launch(lasts=3)
    in_check("n2")
    cluster.worker("n2").kill()
    run.wait()
    assert (run.code, run.place("n2").presence) == (3, "lost")
    assert "mine.that-lasts" in run.place("n2").running
    assert "Killed" in run.place("n2").reason
    assert answered(run) == HEALTHY - {"n2"}


@pytest.mark.slow
def test_a_link_that_is_cut_loses_one_node(cluster: Any, launch: Launch, in_check: Any) -> None:
    """Neither does the report wait for it, nor do the others lose their checks."""
    run = launch("--no-kill", lasts=12)
    for node in HEALTHY:
        in_check(node)
    cluster.link("n4", "down")
    began = time.monotonic()
    run.wait()
    assert time.monotonic() - began < 30
    assert (run.code, run.place("n4").presence) == (3, "lost")
    assert "mine.that-lasts" in run.place("n4").running
    assert answered(run) == HEALTHY - {"n4"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("kill -KILL {daemon}", "Slurm cannot start its worker: Communication connection failure"),
        ("kill -STOP {daemon}", "nothing heard of it within 20 s|timed out"),
        ("ip -n preflight-{port} link set n3 down", "Slurm cannot start its worker: Communication connection failure"),
        ("kill -KILL {daemon}; until sinfo -hNo '%N %T' | grep -q 'n3 .*\\*'; do sleep 0.2; done", "does not respond"),
    ],
)
def test_a_node_that_never_starts_takes_nobody_with_it(cluster: Any, launch: Launch, fault: str, words: str) -> None:
    """srun would end the checks of all; those that can are run."""
    daemon = cluster.daemon("n3")
    run = launch("--no-kill", lasts=1, before=fault.format(daemon=daemon, port=cluster.port)).wait()
    if "STOP" in fault:
        os.kill(daemon, signal.SIGCONT)
    assert run.code == 3, run.text
    assert run.place("n3").presence == "never started"
    assert any(each in run.place("n3").reason for each in words.split("|"))
    assert run.broken() == {("node.answers", "n3")}
    assert answered(run) == HEALTHY - {"n3"}


@pytest.mark.slow
def test_a_slurmd_that_dies_while_the_checks_run_is_no_loss(cluster: Any, launch: Launch, in_check: Any) -> None:
    run = launch(lasts=2)
    in_check("n2")
    os.kill(cluster.daemon("n2"), signal.SIGKILL)
    assert run.wait().code == 0, run.text
    assert answered(run) == HEALTHY


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "presence", "words"),
    [
        ("scancel --user=root", "cancelled", "was cancelled at"),
        ("scontrol update jobid=$(squeue -ho %i) EndTime=now+1", "out of time", "time limit"),
    ],
)
def test_a_job_that_is_ended_blames_no_node(
    cluster: Any, launch: Launch, in_check: Any, end: str, presence: str, words: str
) -> None:
    run = launch(lasts=45)
    in_check("n1")
    cluster.login("sh", "-c", end)
    run.wait()
    assert run.code == 3, run.text
    assert {each.presence for each in run.report.places} == {presence}
    assert all(words in each.reason for each in run.report.places)


@pytest.mark.slow
def test_the_whole_has_a_deadline(launch: Launch) -> None:
    run = launch(lasts=30, config="preflight: {nodes: {deadline: 6s}, checks: {}}\n").wait()
    assert run.code == 3, run.text
    assert {each.presence for each in run.report.places} == {"out of time"}
    assert run.report.seconds < 10


@pytest.mark.slow
def test_an_interruption_ends_within_two_seconds(cluster: Any, launch: Launch, in_check: Any) -> None:
    """And leaves no worker."""
    run = launch(lasts=30)
    workers = []
    for node in HEALTHY:
        in_check(node)
        workers.append(cluster.worker(node))
    began = time.monotonic()
    subprocess.run(["pkill", "-INT", "-f", f"^{sys.executable} -m preflight run .*{run.output}"], check=True)
    run.wait()
    assert time.monotonic() - began < 2.5
    assert run.code == 130
    for worker in workers:
        worker.wait(5)


@pytest.mark.slow
def test_workers_that_began_before_the_config_was_read_give_way(launch: Launch, tmp_path: Path) -> None:
    """To those in the interpreter that it names, and to its mistakes."""
    (tmp_path / "python").write_text(f'#!/bin/sh\ntouch {tmp_path}/used-$SLURMD_NODENAME\nexec {sys.executable} "$@"\n')
    (tmp_path / "python").chmod(0o755)
    run = launch(config=f"preflight: {{python: {tmp_path}/python, checks: {{}}}}\n").wait()
    assert run.code == 0, run.text
    assert answered(run) == HEALTHY
    assert {each.name for each in tmp_path.glob("used-*")} == {f"used-{node}" for node in HEALTHY}
    wrong = launch(config="preflight: {nodess: {}}\n").wait()
    assert (wrong.code, "nodess" in wrong.text, "Traceback" in wrong.text) == (2, True, False)


@pytest.mark.slow
def test_a_job_is_asked_for_where_there_is_none(cluster: Any, launch: Launch, tmp_path: Path) -> None:
    """With the options of `launch.slurm` that salloc has as well."""
    launch().wait()
    (tmp_path / "foo.yaml").write_text("preflight: {launch: {slurm: {nodes: 3, requeue: true}}, checks: {}}\n")
    words = [sys.executable, "-m", "preflight", "run", "--config", "foo.yaml", "--only", "mine", "--on", "slurm"]
    process = cluster.start(words, cwd=tmp_path)
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 0, text
    assert "6 passed" in text
    assert not cluster.login("squeue", "--noheader")


@pytest.mark.slow
def test_srun_takes_the_lists_of_nodes(cluster: Any, launch: Launch, tmp_path: Path) -> None:
    """The next step runs where the checks passed, or not where they failed; an empty list leaves nobody out."""
    launch().wait()
    lists = ["--passing-nodes", "good", "--failing-nodes", "bad"]
    words = [
        sys.executable,
        "-m",
        "preflight",
        "run",
        "--config",
        "foo.yaml",
        "--only",
        "mine",
        "--on",
        "slurm",
        *lists,
    ]
    cluster.at("n3", "umount", str(cluster.folder / "data"))
    process = cluster.start(["salloc", "--quiet", "--nodes=4", *words, *lists], cwd=tmp_path)
    text = process.communicate(timeout=60)[0]
    cluster.at("n3", "mount", "-t", "tmpfs", "none", str(cluster.folder / "data"))
    cluster.at("n3", "touch", str(cluster.folder / "data" / "train"))
    assert process.returncode == 1, text
    assert "--exclude=n3" in text
    good, bad = tmp_path / "good", tmp_path / "bad"
    assert (good.read_text(), bad.read_text()) == ("n1\nn2\nn4\n", "n3\n")
    step = ["srun", "--nodes=3", "--immediate=10", "sh", "-c", "echo $SLURMD_NODENAME"]
    assert sorted(cluster.login(*step[:1], f"--nodelist={good}", *step[1:]).split()) == ["n1", "n2", "n4"]
    excluded = f"{step[0]} --exclude=$(paste -sd, {bad}) --nodes=3 --immediate=10 hostname"
    assert sorted(cluster.login("sh", "-c", excluded).split()) == ["n1", "n2", "n4"]
    bad.write_text("")
    assert len(cluster.login("sh", "-c", excluded).split()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("options", ["--array=1-2", "--requeue", "--exclusive", "--oversubscribe"])
def test_batch_jobs_of_every_kind(cluster: Any, launch: Launch, tmp_path: Path, options: str) -> None:
    """A task of an array, a job that is requeued, nodes that are ours alone or shared with another job."""
    launch().wait()
    preflight = f"{sys.executable} -m preflight run --config foo.yaml --only mine --on slurm"
    once = 'if [ -z "$SLURM_RESTART_COUNT" ]; then scontrol requeue $SLURM_JOB_ID; sleep 60; fi\n'
    script = f"#!/bin/sh\n{once if options == '--requeue' else ''}{preflight} >out-$SLURM_JOB_ID\necho $? >>codes\n"
    (tmp_path / "job.sh").write_text(script)
    beside = cluster.start(["srun", "--nodes=4", options, "sleep", "15"] if "over" in options else ["true"])
    cluster.login("sbatch", "--nodes=4", options, f"--chdir={tmp_path}", "--output=log-%j", str(tmp_path / "job.sh"))
    wanted = ["0", "0"] if "array" in options else ["0"]
    codes = tmp_path / "codes"
    until = time.monotonic() + 100
    while not (codes.exists() and codes.read_text().split() == wanted):
        assert time.monotonic() < until, [each.read_text() for each in tmp_path.glob("[ol]*-*")]
        if options == "--requeue":  # else it would wait for two minutes
            cluster.login("sh", "-c", "scontrol update jobid=$(squeue -ho %i --states=PENDING) starttime=now")
        time.sleep(0.3)
    beside.communicate(timeout=30)


@pytest.mark.slow
def test_the_nodes_of_a_job_add_up_together(cluster: Any, launch: Launch) -> None:
    """They find each other by the names that the nodes call themselves, over the network that joins them."""
    pytest.importorskip("torch")
    config = "preflight: {nodes: {silence: 6s, collectives: true}, checks: {}}\n"
    run = launch(config=config, only=("mine", "nodes.add-up-together")).wait()
    assert run.code == 0, run.text
    assert "4 ranks on 4 nodes add up together" in run.text
