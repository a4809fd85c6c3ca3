"""Every finding of the seeds check, over wrong steps and right ones, each call in a process of its own."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Config, Seeds
from preflight.isolation.children import How, run
from preflight.model import Finding, Status
from preflight.testing import run_check
from preflight.worker.fixtures import ChildFailed


@pytest.fixture(scope="session")
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("seeds")


def fresh(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a child, as the fixture of that name does."""
    ending = run(lambda send: send({"value": function(*arguments)}), 20.0)
    if ending.how is not How.FINISHED:
        raise ChildFailed(str(ending.how))
    return next(message["value"] for message in ending.messages if "value" in message)


@pytest.fixture
def said(
    checks: ModuleType, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[Finding]]:
    """Return a function that writes a step and returns what is said of it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def judge(text: str, step: str = "step") -> list[Finding]:
        # A name of its own for each text: this process keeps no module, but its finders remember the folder.
        name = f"train_{os.urandom(4).hex()}"
        (tmp_path / f"{name}.py").write_text(text)
        sys.path_importer_cache.clear()
        config = Config(root=tmp_path, seeds=Seeds(value=17, step=f"{name}:{step}"))
        return list(checks.check_same_seed_gives_same_bits(config, fresh, Path(mkdtemp(dir=scratch))))

    return judge


GOOD = {
    "random": "import random\ndef step(seed):\n    random.seed(seed)\n    return {'loss': random.random()}\n",
    "numpy": "import numpy\ndef step(seed):\n    numpy.random.seed(seed)\n    return {'loss': numpy.random.rand(3)}\n",
    "torch": "import torch\ndef step(seed):\n    torch.manual_seed(seed)\n    return {'loss': torch.rand(3)}\n",
}


@pytest.mark.parametrize("name", ["random", "numpy", "torch"])
def test_the_generator_that_is_not_seeded_is_named(said: Callable[..., list[Finding]], name: str) -> None:
    if name != "random":
        pytest.importorskip(name)
    lines = GOOD[name].splitlines(keepends=True)
    [finding] = said("".join(line for line in lines if "seed(seed)" not in line))
    assert finding.id == "seeds.unseeded"
    who = "Python" if name == "random" else name
    assert f"{who}'s global generator is used and never seeded: `return {{'loss'" in finding.message
    assert "value['loss']" in finding.cause
    assert finding.line == 3
    assert finding.fix.endswith("seed(seed)")
    assert said(GOOD[name]) == []


def test_what_no_generator_decides(said: Callable[..., list[Finding]]) -> None:
    [finding] = said("import os\ndef step(seed):\n    return [seed, os.urandom(4).hex()]\n")
    assert finding.id == "seeds.unseeded"
    assert "`return [seed, os.urandom(4).hex()]`" in finding.message
    assert finding.found != finding.wanted


def test_a_seed_without_effect(said: Callable[..., list[Finding]]) -> None:
    [finding] = said("def step(seed):\n    return 0.5\n")
    assert finding.id == "seeds.no-effect"
    assert said("def step(seed):\n    return 0.5 + seed\n") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def other(seed): ...", "is not there"),
        ("def step(): ...", "cannot be called with a seed alone: too many positional arguments"),
        ("def step(seed, model): ...", "missing a required argument: 'model'"),
        ("import absent_thing", "cannot be imported: ModuleNotFoundError: No module named 'absent_thing'"),
        ("step = 3", "is not there"),
    ],
)
def test_a_step_that_cannot_be_called(said: Callable[..., list[Finding]], text: str, words: str) -> None:
    [finding] = said(text)
    assert finding.id == "seeds.no-step"
    assert words in finding.message


def test_a_step_that_raises_is_told_with_its_place(said: Callable[..., list[Finding]]) -> None:
    [finding] = said("def step(seed):\n    x = 1\n    return x / 0\n")
    assert finding.id == "seeds.raises"
    assert "raises ZeroDivisionError: division by zero" in finding.message
    assert finding.line == 3


def test_a_step_whose_process_dies(said: Callable[..., list[Finding]]) -> None:
    [finding] = said("import os\ndef step(seed):\n    os._exit(3)\n")
    assert finding.id == "seeds.raises"


@pytest.mark.parametrize("value", ["None", "[]", "{'model': object()}"])
def test_a_step_that_returns_nothing_to_compare(said: Callable[..., list[Finding]], value: str) -> None:
    [finding] = said(f"def step(seed):\n    return {value}\n")
    assert finding.id == "seeds.nothing"


def test_a_step_in_a_class(said: Callable[..., list[Finding]]) -> None:
    text = "class Trainer:\n    @staticmethod\n    def step(seed):\n        return seed\n"
    assert said(text, "Trainer.step") == []


def test_a_run_tells_an_unseeded_step(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import random\ndef step(seed):\n    return random.random()\n")
    text = "preflight: {imports: [train], seeds: {value: 3, step: 'train:step'}}"
    [result] = run_check("seeds.same-seed-gives-same-bits", text, root=tmp_path)
    assert [finding.id for finding in result.findings] == ["seeds.unseeded"]
    (tmp_path / "train.py").write_text("def step(seed):\n    return seed\n")
    [result] = run_check("seeds.same-seed-gives-same-bits", text, root=tmp_path)
    assert (result.status, result.findings) == (Status.PASSED, ())


COMMAND = "seed: 17\npreflight: {seeds: {value: '${seed}', command: python train.py --config config.yaml}}\n"
READS_CONFIG = "import json, random\nseed = int(open('config.yaml').read().split()[1])\nrandom.seed(seed)\n"


def judge_program(folder: Path, text: str) -> list[Finding]:
    """Return what a run says of a program that reads its seed from the config."""
    (folder / "config.yaml").write_text(COMMAND)
    (folder / "train.py").write_text(READS_CONFIG + text)
    [result] = run_check("seeds.program-repeats-itself", COMMAND, root=folder)
    assert result.status is not Status.BROKEN, result.reason
    return list(result.findings)


def test_labels_that_are_numbered_by_a_set(tmp_path: Path) -> None:
    text = "rows = ['cat', 'dog', 'owl', 'cat', 'pig']\nlabels = {name: n for n, name in enumerate({})}\n"
    text += "print([labels[row] for row in rows], random.random())\n"
    [finding] = judge_program(tmp_path, text.replace("{})", "set(rows))"))
    assert (finding.id, finding.line) == ("seeds.hash-order", 5)
    assert "`enumerate(set(rows))` at train.py:5" in finding.message
    assert judge_program(tmp_path, text.replace("{})", "sorted(set(rows)))")) == []


def test_a_vocabulary_that_is_saved_in_the_order_of_a_set(tmp_path: Path) -> None:
    text = "words = set('the quick brown fox jumps'.split())\nvocabulary = {word: n for n, word in enumerate(WORDS)}\n"
    text += "with open('vocabulary.json', 'w') as file:\n    json.dump(vocabulary, file)\nprint(random.random())\n"
    [finding] = judge_program(tmp_path, text.replace("WORDS", "words"))
    assert finding.id == "seeds.hash-order"
    assert "vocabulary.json" in finding.cause
    assert judge_program(tmp_path, text.replace("WORDS", "sorted(words)")) == []
    assert not (tmp_path / "vocabulary.json").exists()


def test_a_prediction_that_depends_on_the_hash_of_a_text(tmp_path: Path) -> None:
    text = "weights = [random.random() for _ in range(64)]\nprint(weights[hash('a token') % 64])\n"
    [finding] = judge_program(tmp_path, text)
    assert (finding.id, finding.line) == ("seeds.hash-order", 5)
    assert judge_program(tmp_path, text.replace("hash('a token')", "len('a token')")) == []


def test_a_seed_of_the_config_that_nothing_uses(tmp_path: Path) -> None:
    [finding] = judge_program(tmp_path, "random.seed(3)\nprint(random.random())\n")
    assert finding.id == "seeds.no-effect"
    assert "under the seeds 17 and 18" in finding.message


def test_a_program_that_fails_is_told_with_its_place(tmp_path: Path) -> None:
    [finding] = judge_program(tmp_path, "print({}['absent'])\n")
    assert (finding.id, Path(finding.file).name, finding.line) == ("seeds.raises", "train.py", 4)
    assert "ends with exit code 1" in finding.message
    assert "absent" in finding.message
