"""Values of the config that are of another kind than the program takes them for, each beside what is healthy."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from preflight import config
from preflight.model import Finding, Severity

READS = "import yaml\ncfg = yaml.safe_load(open('config.yaml'))\n"


@pytest.fixture(scope="session")
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("config_values")


def about(checks: ModuleType, name: str, root: Path, text: str, code: str) -> list[Finding]:
    (root / "train.py").write_text(READS + code)
    loaded = config.load(root / "config.yaml", text=text, root=root)
    return list(getattr(checks, f"check_{name}")(loaded, root))


def test_an_anchor_that_stands_twice(checks: ModuleType, tmp_path: Path) -> None:
    text = "lr: &rate 1.0e-4\nmin_lr: &rate 1.0e-5\nlast: *rate\n"
    [finding] = about(checks, "the_program_can_read_it", tmp_path, text, "")
    assert (finding.id, finding.severity, finding.line) == ("config.refused", Severity.ERROR, 2)
    assert finding.message == "PyYAML refuses the file: found duplicate anchor 'rate'"
    assert about(checks, "values_are_yaml", tmp_path, f"{text}steps: None\n", "cfg['steps'] is None") == []
    assert about(checks, "the_program_can_read_it", tmp_path, text.replace("min_lr: &rate", "min_lr:"), "") == []
    assert about(checks, "the_program_can_read_it", tmp_path, text, "import ruamel.yaml") == []


@pytest.mark.parametrize(
    "code",
    [
        "if cfg['max_steps'] is not None and step >= cfg['max_steps']: pass",
        "class Trainer:\n    max_steps: Optional[int] = 3",
        "class Trainer:\n    max_steps: int | None",
        "def fit(epochs, max_steps=None): pass",
    ],
)
def test_none_of_python(checks: ModuleType, tmp_path: Path, code: str) -> None:
    [finding] = about(checks, "values_are_yaml", tmp_path, "trainer:\n  max_steps: None\n", code)
    assert (finding.id, finding.severity, finding.line) == ("config.python-value", Severity.ERROR, 2)
    assert finding.message == "trainer.max_steps: None is text to YAML, a string of 4 characters"
    assert about(checks, "values_are_yaml", tmp_path, "trainer:\n  max_steps: null\n", code) == []


def test_none_that_nobody_compares_is_a_warning(checks: ModuleType, tmp_path: Path) -> None:
    [finding] = about(checks, "values_are_yaml", tmp_path, "scheduler: None\n", "make(cfg['scheduler'])")
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("scheduler: None", "if cfg['scheduler'] == 'none': pass"),
        ("scheduler: 'None'", "if cfg['scheduler'] is None: pass"),
        ("note: None", "if cfg['note'] is None: pass"),
        ("note: None of these", "if cfg['note'] is None: pass"),
        ("unused: None", ""),
        ("1: None", "if x is None: pass"),
        ("a: &x None\nb: &x None", "if a is None: pass"),
        ("base: &base {a: 1}\nother: {<<: *base, b: 2}\nlist: [(1, [None, 2]]", "split"),
        ("betas: '(0.9, 0.95)'", ""),
        ("betas: (0.9, 0.95)", "import ast\nast.literal_eval(cfg['betas'])"),
        ("what: (see below)", ""),
        ("title: (1, 2)", ""),
        ("preflight: {checks: {mine: {x: None}}}", "x is None"),
    ],
)
def test_what_is_meant_as_text(checks: ModuleType, tmp_path: Path, text: str, code: str) -> None:
    assert about(checks, "values_are_yaml", tmp_path, text, code) == []


def test_a_tuple_of_python(checks: ModuleType, tmp_path: Path) -> None:
    code = "import torch\ntorch.optim.Adam(p, **cfg['optim'])\n"
    [finding] = about(checks, "values_are_yaml", tmp_path, "optim:\n  betas: (0.9, 0.95)\n", code)
    assert (finding.id, finding.severity) == ("config.python-value", Severity.ERROR)
    assert finding.fix == "Write [0.9, 0.95]"
    assert about(checks, "values_are_yaml", tmp_path, "optim:\n  betas: [0.9, 0.95]\n", code) == []
    [finding] = about(checks, "values_are_yaml", tmp_path, "unused:\n  grid: (3, 3)\n", code)
    assert finding.severity is Severity.WARNING
    lenient = code + "from omegaconf import OmegaConf\n"
    assert about(checks, "values_are_yaml", tmp_path, "optim:\n  betas: (0.9, 0.95)\n", lenient) == []


SPLITS = (
    "def seconds(text):\n    return text.split(':')\n\n\ndef main(cfg):\n    seconds(cfg['budget'])\n\n\nmain(cfg)\n"
)


@pytest.mark.parametrize("written", ["1:30:00", "5400", "2024-01-02"])
def test_a_method_of_text_on_something_else(checks: ModuleType, tmp_path: Path, written: str) -> None:
    [finding] = about(checks, "text_is_text", tmp_path, f"seed: 1\nbudget: {written}\n", SPLITS)
    assert (finding.id, finding.severity, finding.line) == ("config.not-text", Severity.ERROR, 2)
    assert finding.message.startswith(f"budget: {written} is read as the ")
    assert finding.message.endswith("by PyYAML; train.py:4 takes it for text")
    assert finding.fix == f"Write '{written}', in quotes"
    assert about(checks, "text_is_text", tmp_path, f"seed: 1\nbudget: '{written}'\n", SPLITS) == []


@pytest.mark.parametrize(
    "code",
    [
        "def seconds(text):\n    text = str(text)\n    return text.split(':')\n\n\nseconds(cfg['budget'])\n",
        "str(cfg['budget']).split(':')",
        "f\"{cfg['budget']}\".split(':')",
        "value = cfg['budget']\nif isinstance(value, str):\n    value.split(':')\n",
        "value = cfg['budget']\nif not isinstance(value, str):\n    value = '0:0'\nvalue.split(':')\n",
        "try:\n    cfg['budget'].split(':')\nexcept AttributeError:\n    pass\n",
        "if cfg['strict']:\n    cfg['budget'].split(':')\n",
        "def seconds(text):\n    text.split(':')\n\n\nseconds('1:2')\nif x:\n    seconds(cfg['budget'])\n",
        "value = cfg['budget']\nvalue = lookup(value)\nvalue.split(':')\n",
        "time.sleep(cfg['budget'])",
        "cfg['budget'] = str(cfg['budget'])\ncfg['budget'].split(':')\n",
        "for key in cfg:\n    cfg[key] = str(cfg[key])\ncfg['budget'].split(':')\n",
        "cfg.update(vars(args))\ncfg['budget'].split(':')\n",
        "cfg = {**cfg, **vars(args)}\ncfg['budget'].split(':')\n",
        "both = {**cfg, **vars(args)}\nboth['budget'].split(':')\n",
        "both = dict(cfg, **vars(args))\nboth['budget'].split(':')\n",
    ],
)
def test_what_the_program_makes_text_of_or_asks_about(checks: ModuleType, tmp_path: Path, code: str) -> None:
    assert about(checks, "text_is_text", tmp_path, "budget: 1:30:00\nstrict: true\n", code) == []


def test_a_number_within_a_path(checks: ModuleType, tmp_path: Path) -> None:
    code = (
        "import os\nimport numpy as np\n\n\n"
        "def folder(cfg):\n    return os.path.join(cfg['root'], f\"v{cfg['version']}\")\n\n\n"
        "np.load(os.path.join(folder(cfg), 'x.npy'))\n"
    )
    text = f"root: {tmp_path}\nversion: 1.10\n"
    (tmp_path / "v1.10").mkdir()
    (tmp_path / "v1.10" / "x.npy").write_text("x")
    [finding] = about(checks, "text_is_text", tmp_path, text, code)
    assert (finding.id, finding.severity, finding.line) == ("config.not-text", Severity.ERROR, 2)
    assert finding.message.startswith("version: 1.10 is read as the number 1.1 by PyYAML; train.py:11 looks for ")
    assert about(checks, "text_is_text", tmp_path, text.replace("1.10", "'1.10'"), code) == []
    (tmp_path / "v1.10").rename(tmp_path / "v1.1")
    assert about(checks, "text_is_text", tmp_path, text, code) == []
