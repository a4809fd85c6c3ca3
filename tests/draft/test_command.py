"""The command of a program is written where its code shows how it is started, and left out where it does not."""

import textwrap
from pathlib import Path

import pytest

from preflight import draft
from preflight.config import load

LEARNS = """
import torch
torch.manual_seed(0)
loss = torch.nn.Linear(2, 2)(torch.ones(2)).sum()
loss.backward()
"""
GROUP = """
import os
torch.distributed.init_process_group("gloo", rank=int(os.environ.get("RANK", 0)), world_size=int({size}))
"""
PARSER = "import argparse\nparser = argparse.ArgumentParser()\n"


@pytest.fixture
def drafted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(code, config="seed: 3\n", source="foo.yaml", script="train.py"):
        Path(script).parent.mkdir(exist_ok=True)
        Path(script).write_text(textwrap.dedent(code))
        section = draft.draft(config, Path(source), [Path(script)], tmp_path)
        load(Path(source), text=config + draft.append(config, draft.write(section), source))
        return section.get("rehearsal", {}).get("command"), section.get("seeds")

    return make


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ("", "python train.py"),
        ('parser.add_argument("--config", required=True)', "python train.py --config foo.yaml"),
        ('parser.add_argument("-c", "--cfg")', "python train.py --cfg foo.yaml"),
        ('parser.add_argument("config_file")', "python train.py foo.yaml"),
        ('parser.add_argument("--lr", type=float, default=0.1)', "python train.py"),
        ('parser.add_argument("extra", nargs="?")', "python train.py"),
        ('parser.add_argument("--data", required=True)', None),
        ('parser.add_argument("data")', None),
        ("import sys; print(sys.argv[1])", None),
        ("import click\n@click.command()\ndef main(): pass", None),
        ('torch.distributed.init_process_group("gloo")', None),
        (GROUP.format(size='os.environ["WORLD_SIZE"]'), None),
        (GROUP.format(size='os.environ.get("WORLD_SIZE", 2)'), None),
        (GROUP.format(size='os.environ.get("WORLD_SIZE", 1)'), "python train.py"),
    ],
)
def test_how_the_program_is_started(drafted, options, command):
    seeds = {"value": "${seed}", "command": command} if command else None
    assert drafted(LEARNS + PARSER + options) == (command, seeds)


def test_a_program_that_does_not_learn_is_not_rehearsed(drafted):
    assert drafted("import torch\nprint(torch.ones(2))") == (None, None)


def test_a_seed_that_the_config_does_not_have_or_the_program_does_not_set(drafted):
    assert drafted(LEARNS, "lr: 0.1\n") == ("python train.py", None)
    assert drafted(LEARNS.replace("torch.manual_seed(0)", "")) == ("python train.py", None)


def test_the_file_that_is_preflights_own_is_not_the_programs(drafted):
    config = LEARNS + PARSER + 'parser.add_argument("--config"'
    assert drafted(config + ")", source="preflight.yaml")[0] == "python train.py"
    assert drafted(config + ", required=True)", source="preflight.yaml")[0] is None


def test_a_part_of_a_package_is_not_started_as_a_file(drafted):
    Path("package").mkdir()
    Path("package/__init__.py").touch()
    assert drafted(LEARNS, script="package/train.py") == (None, None)
    assert drafted(LEARNS, script="scripts/train.py")[0] == "python scripts/train.py"
