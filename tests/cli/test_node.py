"""The check of a node for Slurm's own hooks: bounded, nearly silent, exit codes by Slurm's rules."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from preflight.config import load

SLURM = Path(__file__).parents[1] / "slurm"
PAGE = Path(__file__).parents[2] / "docs" / "gates.md"
SCRIPTS = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
NODE = [sys.executable, "-P", "-m", "preflight", "node", "--config"]
CHECKS = """
import os, time
from pathlib import Path

def check_is_well():
    bad = Path(__file__).with_name("bad")
    name = os.environ["SLURMD_NODENAME"]
    assert not bad.exists() or name not in bad.read_text().split(), "the disk is dying"

def check_that_lasts():
    time.sleep(60 if Path(__file__).with_name("lasts").exists() else 0)
"""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """Return a folder with a config and two checks of the site's own, which files `bad` and `lasts` can break."""
    folder = tmp_path / "etc"
    (folder / "preflight_checks").mkdir(parents=True)
    (folder / "preflight_checks" / "check_mine.py").write_text(CHECKS)
    (folder / "preflight.yaml").write_text("preflight: {checks: {}}\n")
    return folder


def node(config: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command as slurmd does: with next to no environment, in another folder."""
    command = [*NODE, str(config), "--only", "mine", *options]
    environment = {"SLURMD_NODENAME": "n7"}
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_word_is_said_only_of_what_is_wrong(etc: Path) -> None:
    done = node(etc / "preflight.yaml", "--as", "prolog")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (etc / "preflight_checks" / "bad").write_text("n7")
    done = node(etc / "preflight.yaml", "--as", "prolog")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "preflight: NO-GO at n7: mine.is-well: the disk is dying\n"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 3),
        (["--as", "prolog"], 0),
        (["--as", "healthcheck"], 0),
        (["--as", "prolog", "--without-verdict", "refuse"], 1),
    ],
)
def test_a_node_that_cannot_be_judged_is_not_refused_unless_wanted(etc: Path, options: list[str], code: int) -> None:
    (etc / "preflight.yaml").write_text("preflight: {pathes: []}\n")
    done = node(etc / "preflight.yaml", *options)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.startswith("preflight: NO VERDICT at n7: ")
    assert "pathes" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_a_config_that_cannot_be_read_holds_nobody_up(etc: Path) -> None:
    os.mkfifo(etc / "hangs.yaml")
    began = time.monotonic()
    done = node(etc / "hangs.yaml", "--as", "prolog", "--deadline", "5s")
    assert time.monotonic() - began < 25
    assert (done.returncode, done.stdout) == (
        0,
        "preflight: NO VERDICT at n7: not all checks had ended within 5 s\n",
    )


@pytest.mark.slow
def test_what_is_known_at_the_deadline_counts(etc: Path) -> None:
    (etc / "preflight_checks" / "lasts").touch()
    done = node(etc / "preflight.yaml", "--as", "prolog", "--deadline", "15s")
    assert (done.returncode, done.stdout) == (
        0,
        "preflight: NO VERDICT at n7: not all checks had ended within 15 s\n",
    )
    (etc / "preflight_checks" / "bad").write_text("n7")
    done = node(etc / "preflight.yaml", "--as", "prolog", "--deadline", "15s")
    assert (done.returncode, done.stdout) == (1, "preflight: NO-GO at n7: mine.is-well: the disk is dying\n")


def test_the_pages_config_is_understood() -> None:
    (block,) = re.findall(r"^```yaml\n(preflight:.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert load(None, text=block).paths


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--deadline", "soon"], "'soon' is not a duration"),
        (["--deadline", "2s"], "at least 5 s"),
        (["--as", "healthcheck", "--deadline", "60s"], "at most 55 s"),
        (["--as", "prolog", "--drain"], "a Prolog must not call Slurm's commands"),
    ],
)
def test_mistakes(etc: Path, options: list[str], said: str) -> None:
    done = node(etc / "preflight.yaml", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


Hook = Callable[..., None]


@pytest.fixture
def cluster(etc: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    """Start a real Slurm of two nodes; return `hook(name)`, which sets it as docs/gates.md shows."""
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")
    if missing := [name for name in ("slurmctld", "slurmd", "srun", "munged") if not shutil.which(name)]:
        pytest.skip(f"Slurm is not installed: there is no {missing[0]}")
    folder = Path("/tmp", f"preflight-hooks-{os.getpid()}")
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))

    def hook(name: str, more: str = "") -> None:
        script = etc / name
        text = next(block for block in SCRIPTS if f"--as {name.lower().removesuffix('program')}" in block)
        text = text.replace("/opt/preflight/bin/preflight", f"{sys.executable} -P -m preflight")
        text = text.replace("/etc/preflight.yaml", f"{etc}/preflight.yaml --only mine")
        script.write_text(text.replace("/etc/slurm", str(folder)))
        script.chmod(0o755)
        with (folder / "slurm.conf").open("a") as conf:
            conf.write(f"{name}={script}\n{more}")
        subprocess.run(["scontrol", "reconfigure"], check=True)

    up = subprocess.run(
        [SLURM / "up", folder, str(17300 + os.getpid() % 90)], capture_output=True, text=True, check=False
    )
    try:
        assert up.returncode == 0, up.stderr
        yield hook
    finally:
        subprocess.run([SLURM / "down", folder], timeout=120, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def slurm(*argv: str) -> str:
    """Return what a command of Slurm's says."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stdout.strip()


def state(name: str, until: str = "") -> str:
    """Return the state of a node and the reason for it, once `until` is in them."""
    end = time.monotonic() + 120
    while until not in (said := slurm("sinfo", "--noheader", f"--nodes={name}", "--format=%T %E")):
        assert time.monotonic() < end, said
        time.sleep(0.2)
    return said


def wait_for_words(name: str, words: str) -> None:
    """Return once the log of a node's slurmd has them, which it writes after the program has ended."""
    log = Path(os.environ["SLURM_CONF"]).parent / "log" / name
    end = time.monotonic() + 120
    while words not in log.read_text():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)


def runs_at(name: str) -> bool:
    """Tell whether a job starts at a node."""
    return slurm("srun", "--immediate=20", f"--nodelist={name}", "sh", "-c", "echo $SLURMD_NODENAME") == name


@pytest.mark.slow
def test_as_prolog_it_keeps_a_job_from_a_bad_node(cluster: Hook, etc: Path) -> None:
    (etc / "preflight_checks" / "bad").write_text("n2")
    cluster("Prolog")
    assert runs_at("n1")
    assert not runs_at("n2")
    assert state("n2", "drain").endswith("Prolog error")
    assert "drain" not in state("n1")
    wait_for_words("n2", "preflight: NO-GO at n2: mine.is-well: the disk is dying")
    (etc / "preflight_checks" / "bad").unlink()
    slurm("scontrol", "update", "nodename=n2", "state=resume")
    assert runs_at("n2")


@pytest.mark.slow
def test_as_healthcheck_it_drains_a_bad_node_with_the_reason(cluster: Hook, etc: Path) -> None:
    slurm("scontrol", "update", "nodename=n1", "state=drain", "reason=a fan")
    (etc / "preflight_checks" / "bad").write_text("n1 n2")
    cluster("HealthCheckProgram", more="HealthCheckInterval=15\n")
    assert state("n2", "drain").endswith("preflight: mine.is-well: the disk is dying")
    wait_for_words("n2", "the disk is dying; n2 is drained")
    wait_for_words("n1", "the disk is dying")
    assert state("n1").endswith("a fan"), "the reason of an administrator is not ours to replace"
