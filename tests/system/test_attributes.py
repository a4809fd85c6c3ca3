"""What a program surely takes from modules, told from what it may do without."""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

import pytest

from preflight.system.attributes import gone, is_unknown, taken_names
from preflight.system.code import read_program


def missing(folder: Path, code: str, **files: str) -> list[str]:
    """Return the names of the installed modules that the program uses and they do not have."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "train.py").write_text(code)
    program = read_program([folder / "train.py"], folder)
    return [f"{each.module}.{each.name}" for each in gone(taken_names(program))]


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import yaml\nyaml.absent(1)", ["yaml.absent"]),
        ("import yaml as y\nfor _ in range(3):\n    y.absent.deeper", ["yaml.absent"]),
        ("from yaml import absent", ["yaml.absent"]),
        ("from yaml.absent import thing", ["yaml.absent"]),
        ("from collections import Mapping", ["collections.Mapping"]),
        ("import yaml\ndef main():\n    yaml.absent\nif __name__ == '__main__':\n    main()", ["yaml.absent"]),
        ("import yaml\nclass Net(object):\n    def forward(self):\n        yaml.absent\nNet()(1)", ["yaml.absent"]),
        ("import yaml\nwith open('x') as f:\n    x = [yaml.absent(y) for y in f]", ["yaml.absent"]),
        ("import yaml\ntry:\n    yaml.absent\nexcept KeyboardInterrupt:\n    pass", ["yaml.absent"]),
        ("import yaml\ntry:\n    pass\nfinally:\n    yaml.absent", ["yaml.absent"]),
    ],
)
def test_what_is_taken_and_not_there(tmp_path: Path, code: str, names: list[str]) -> None:
    assert missing(tmp_path, code) == names


@pytest.mark.parametrize(
    "code",
    [
        "import yaml\nyaml.safe_load",
        "import yaml.loader\nyaml.loader.SafeLoader",
        "import xml\nxml.dom.minidom",
        "import yaml\ntry:\n    yaml.absent\nexcept AttributeError:\n    pass",
        "try:\n    from yaml import absent\nexcept ImportError:\n    absent = None",
        "import yaml\nif yaml.__version__ < '3':\n    yaml.absent",
        "import yaml\nx = yaml.absent if yaml.__version__ < '3' else 1",
        "import yaml\nx = hasattr(yaml, 'absent') and yaml.absent",
        "import yaml\nif not hasattr(yaml, 'absent'):\n    yaml.absent = 1\nyaml.absent",
        "import yaml\ndef old():\n    if yaml.__version__ > '3':\n        return 1\n    return yaml.absent\nold()",
        "import yaml\ndef nobody_calls():\n    yaml.absent",
        "import yaml\nclass Net(object):\n    def helper(self):\n        yaml.absent\nNet()",
        "import yaml\ndef main(yaml):\n    yaml.absent\nmain(1)",
        "import yaml\nfor yaml in []:\n    yaml.absent",
        "import yaml\ndef main(x: yaml.absent) -> yaml.absent:\n    y: yaml.absent = 1\nmain(1)",
        "import contextlib, yaml\nwith contextlib.suppress(AttributeError):\n    yaml.absent",
        "import yaml\nhandle = lambda: yaml.absent",
        "import yaml\nyaml.SafeLoader.absent",
        "import yaml\nyaml.__absent__",
        "import typing\nif typing.TYPE_CHECKING:\n    from yaml import absent",
        "import yaml\nmatch yaml.__version__:\n    case '3':\n        yaml.absent",
        "from . import yaml\nyaml.absent",
    ],
)
def test_what_is_there_or_may_be_done_without(tmp_path: Path, code: str) -> None:
    assert missing(tmp_path, code) == []


def test_a_file_of_the_project_is_no_installed_module(tmp_path: Path) -> None:
    assert missing(tmp_path, "from random import sample_batch\nimport yaml\nyaml.absent", random="", yaml="") == []


def test_what_another_file_sets_or_asks_for(tmp_path: Path) -> None:
    code = "import compat\nimport yaml\nyaml.absent\nyaml.lacking"
    assert missing(tmp_path, code, compat="import yaml\nsetattr(yaml, 'absent', 1)\n") == ["yaml.lacking"]


def test_what_a_module_says_of_a_removed_name_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_from_spec(ModuleSpec("lazy", None))

    def answer(name: str) -> object:
        if name == "broken":
            raise RuntimeError("needs a GPU")
        raise AttributeError(f"`{name}` was removed\nin 2.0")

    monkeypatch.setattr(module, "__getattr__", answer, raising=False)
    monkeypatch.setitem(sys.modules, "lazy", module)
    (tmp_path / "train.py").write_text("import lazy\nlazy.broken\nlazy.old\n")
    [found] = gone(taken_names(read_program([tmp_path / "train.py"], tmp_path)))
    assert (found.name, found.reason, found.taken.line) == ("old", "`old` was removed in 2.0", 3)


def test_what_is_installed_and_not_imported_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_unknown("yaml")
    assert not is_unknown("absent_thing")
    monkeypatch.delitem(sys.modules, "yaml")
    assert is_unknown("yaml")


def test_what_only_looks_like_a_module_makes_its_names_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "made_up", ModuleType("made_up"))
    (tmp_path / "train.py").write_text("import made_up\nmade_up.absent\n")
    assert list(gone(taken_names(read_program([tmp_path / "train.py"], tmp_path)))) == []
