"""The story that the README tells: a launch that works, an update, and the launch that says what it broke."""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
OLD, NEW = "def area(radius):\n    return 3.14 * radius**2\n", "def surface(radius):\n    return 3.14 * radius**2\n"
TRAIN = "from shapes import area\n\nif __name__ == '__main__':\n    print('trained on', area(1))\n"


def install(site: Path, version: str, code: str) -> None:
    """Do what `pip install shapes==VERSION` does."""
    for old in site.glob("shapes*"):
        subprocess.run(["rm", "-r", str(old)], check=True)
    (site / "shapes.py").write_text(code)
    folder = site / f"shapes-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: shapes\nVersion: {version}\n")
    (folder / "RECORD").write_text(f"shapes.py,,\nshapes-{version}.dist-info/METADATA,,\n")
    (folder / "INSTALLER").write_text("pip\n")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment of this test's own, which also has what this one has."""
    folder = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [site] = (folder / "lib").glob("python*/site-packages")
    (site / "also.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return folder


def test_the_story(tmp_path: Path, environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    [site] = (environment / "lib").glob("python*/site-packages")
    install(site, "1.0", OLD)
    project = tmp_path / "project"
    project.mkdir()
    (project / "config.yaml").write_text("preflight:\n  imports: [shapes, train]\n")
    (project / "train.py").write_text(TRAIN)
    who = ["-c", "user.name=Me", "-c", "user.email=me@example.org"]
    for words in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message=first"]):
        subprocess.run(["git", *words], cwd=project, check=True)

    def launch() -> subprocess.CompletedProcess[str]:
        words = [str(environment / "bin" / "python"), "-m", "preflight", "launch", "--config", "config.yaml", "--"]
        words.append(str(environment / "bin" / "python"))
        return subprocess.run([*words, "train.py"], cwd=project, capture_output=True, text=True, timeout=100)

    worked = launch()
    assert (worked.returncode, worked.stdout) == (0, "trained on 3.14\n"), worked.stderr
    install(site, "2.0", NEW)
    broken = launch()
    assert (broken.returncode, broken.stdout) == (125, "")
    told = [masked(line) for line in broken.stderr.splitlines()]
    [story] = re.findall(r"^```text\n(\$ preflight launch.*?)^```", README, re.MULTILINE | re.DOTALL)
    shown = story.rpartition("...\n")[2].splitlines() + story.split("...\n")[1].splitlines()
    missing = [line for line in shown if line and masked(line) not in told]
    assert missing == [], broken.stderr


def masked(line: str) -> str:
    """Return a line of an output without its times."""
    line = re.sub(r" \(/.*", "", re.sub(r"\(\w\w\w \d\d:\d\d\)", "(then)", line))
    return re.sub(r"\b\d+(\.\d+)? ?m?s\b", "_ s", re.sub(r"\d+ passed", "_ passed", line))
