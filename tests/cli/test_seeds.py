"""A step or a command is judged by hand, and the story of its runs is told."""

from pathlib import Path

import pytest

from preflight.cli.seeds import main
from preflight.errors import UserError

PROGRAM = "import random, sys\n{}\nprint(random.random() + int(sys.argv[2]) / 3)\n"
STEP = "import random\nLABELS = {}\ndef step(seed):\n    random.seed(seed)\n    return LABELS, random.random()\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_command(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--seed", "17", "python", "train.py", "--seed", "{seed}"]
    (project / "train.py").write_text(PROGRAM.format(""))
    assert main(words) == 1
    shown = capsys.readouterr().out
    assert "  another random: ended with 0 after" in shown
    assert "Python's global generator is used and never seeded" in shown
    assert shown.count("under another seed") == 1
    (project / "train.py").write_text(PROGRAM.format("random.seed(int(sys.argv[2]))"))
    assert main(words) == 0


def test_a_step_is_called_in_processes_of_its_own_where_its_module_needs_that(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = 'list({"cat", "dog", "owl", "pig"})'
    (project / "steps.py").write_text(STEP.format(labels))
    assert main(["steps:step"]) == 1
    assert f"`{labels}` at steps.py:2" in capsys.readouterr().out
    (project / "steps.py").write_text(STEP.format(labels.replace("list", "sorted")))
    assert main(["steps:step"]) == 0


def test_what_the_config_has(project: Path) -> None:
    (project / "steps.py").write_text("def step(seed):\n    return seed\n")
    (project / "preflight.yaml").write_text("preflight: {seeds: {value: 3, step: 'steps:step'}}\n")
    assert main([]) == 0


def test_nothing_to_run() -> None:
    with pytest.raises(UserError, match="no step and no command"):
        main([])
