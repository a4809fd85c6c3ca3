"""Which keys of its config a program reads, and where its use of them cannot be followed."""

import textwrap
from pathlib import Path
from typing import Any

import pytest

from preflight.system.code import read_program
from preflight.system.keys import Reading, read_keys

EXPERIMENT: dict[str, Any] = {"lr": 1, "model": {"depth": 2, "width": 3}, "data": {"root": "x"}}


MATCHED = """
@dataclass
class Options:
    lr: float = 1
p.add_argument("--seed")
found = {}
"""


def reading(folder: Path, code: str, load: str = "yaml.safe_load(open('config.yaml'))") -> Reading | None:
    text = f"import yaml, copy, wandb, argparse\nfrom omegaconf import OmegaConf\ncfg = {load}\n"
    (folder / "train.py").write_text(text + textwrap.dedent(code))
    return read_keys(read_program([folder / "train.py"], folder).sources, EXPERIMENT, "config.yaml")


def keys(folder: Path, code: str, load: str = "yaml.safe_load(open('config.yaml'))") -> set[str]:
    found = reading(folder, code, load)
    assert found is not None
    assert found.passed_on == frozenset()
    return {".".join(key) for key in found.places}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("cfg['lr']", {"lr"}),
        ("cfg.get('lr', 1)\n'momentum' in cfg", {"lr", "momentum"}),
        ("cfg['model']['depth']", {"model", "model.depth"}),
        ("model = cfg['model']\nmodel.get('depth')", {"model", "model.depth"}),
        ("def train(settings):\n    return settings['lr']\ntrain(cfg)", {"lr"}),
        (
            "class A:\n    def __init__(self, c):\n        self.c = c\n    def run(self):\n        self.c['lr']",
            set(),
        ),
        ("class A:\n    def __init__(self, c):\n        self.c = c\n        self.c['lr']\nA(cfg)", {"lr"}),
        ("cfg = {**{'lr': 1}, **cfg}\ncfg['lr']", {"lr"}),
        ("cfg = {'lr': 1} | cfg\ncfg['lr']", {"lr"}),
        (MATCHED.format("{k: v for k, v in cfg.items() if k in vars(Options)}"), {"lr", "seed"}),
        (MATCHED.format("1\nfor k, v in cfg.items():\n    if hasattr(Options, k):\n        pass"), {"lr", "seed"}),
        ("args = argparse.Namespace(**cfg)\nargs.lr\ngetattr(args, 'seed', 0)", {"lr", "seed"}),
        ("cfg = cfg or {}\nprint(cfg)\nwandb.init(config=cfg)\nrow = {'x': 1}\nrow['y']", set()),
        ("cfg.pop('lr')\ncopy.deepcopy(cfg)['seed']", {"lr", "seed"}),
    ],
)
def test_what_is_read(tmp_path: Path, code: str, found: set[str]) -> None:
    assert keys(tmp_path, code) == found


def test_attributes_of_omegaconf(tmp_path: Path) -> None:
    assert keys(tmp_path, "cfg.model.depth", "OmegaConf.load('config.yaml')") == {"model", "model.depth"}


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("unknown(cfg)", ()),
        ("unknown(**cfg)", ()),
        ("unknown(config=cfg)", ()),
        ("for key in cfg:\n    pass", ()),
        ("for key, value in cfg.items():\n    pass", ()),
        ("key = input()\ncfg[key]", ()),
        ("cfg.get(input())", ()),
        ("cfg.update(vars(1))", ()),
        ("unknown({**cfg})", ()),
        ("x = {'config': cfg}", ()),
        ("x = [cfg]", ()),
        ("wandb.init(**cfg)", ()),
        ("torch.optim.SGD(**cfg['model'])", ("model",)),
        ("make = lambda: cfg", ()),
    ],
)
def test_what_is_passed_on_is_not_judged(tmp_path: Path, code: str, part: tuple[str, ...]) -> None:
    found = reading(tmp_path, code)
    assert found is not None
    assert found.passed_on == {part}
    assert found.knows((*part, "depth"))
    assert found.knows(("data", "root")) is (part == ())


@pytest.mark.parametrize(
    "load",
    [
        "open('config.yaml')",
        "yaml.safe_load(open('other.yaml'))",
        "[yaml.safe_load(open(f)) for f in 'ab'] or yaml.safe_load(1)",
    ],
)
def test_a_program_that_reads_something_else(tmp_path: Path, load: str) -> None:
    assert reading(tmp_path, "cfg['lr']", load) is None


def test_a_function_that_loads_several_files(tmp_path: Path) -> None:
    code = "def load(path):\n    return yaml.safe_load(open(path))\na = load('x')\na['lr']\n"
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert keys(one, code, "None") == {"lr"}
    assert reading(two, code + "b = load('y')\n", "None") is None
