"""How the text of a project shows the way it reads YAML."""

from pathlib import Path

import pytest

from preflight.system.readers import Readers


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("yaml.safe_load(f)", True),
        ("yaml.load(f, Loader=yaml.SafeLoader)", True),
        ("from yaml import safe_load", True),
        ("json.load(f)", False),
        ("yaml.safe_load(f)\nimport hydra", False),
        ("yaml.safe_load(f)\nfrom pydantic import BaseModel", False),
    ],
)
def test_plain_readers_are_told_from_lenient_ones(text: str, plain: bool) -> None:
    assert Readers((text,)).plain is plain


@pytest.mark.parametrize(
    ("text", "converts"),
    [
        ("x = float(cfg['lr'])", True),
        ("x = float(cfg.lr)", True),
        ("float(cfg['min_lr'])", False),
        ("p.add_argument('--lr', type=float)", True),
        ("lr: float", True),
        ("p.add_argument('--min-lr', type=float)", False),
        ("lr = cfg['lr']", False),
    ],
)
def test_conversions_are_seen(text: str, converts: bool) -> None:
    assert Readers((text,)).converts("lr") is converts


def test_only_the_projects_own_files_are_read(tmp_path: Path) -> None:
    for folder in ("src", ".hidden", "env/lib", "node_modules"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.py").write_text(folder)
    (tmp_path / "env/pyvenv.cfg").touch()
    (tmp_path / "train.py").write_bytes(b"\xff text")
    assert Readers.in_folder(tmp_path).texts == ("\ufffd text", "src")
