"""The site as files."""

import os
import re
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

from preflight.errors import UserError
from preflight.history.runs import History
from preflight.records.folder import Records
from preflight.site.export import export


def test_every_link_is_a_file_beside_it(records: Records, tmp_path: Path) -> None:
    written = export(History(records), tmp_path / "out")
    files = [each for each in (tmp_path / "out").rglob("*") if each.is_file()]
    assert len(files) == written == 8 + 8 + 2 + 2
    for file in files:
        for link in re.findall(r'href="([^"#][^"]*)"', file.read_text()):
            assert (file.parent / unquote(link)).is_file(), f"{file.name} leads to {link}"


def test_it_holds_the_last_ones_and_is_written_again(records: Records, history: ModuleType, tmp_path: Path) -> None:
    export(History(records), tmp_path, 2)
    assert sorted(os.listdir(tmp_path / "run")) == ["no record.html", "old.html"]
    history.add(records, "new")
    export(History(records), tmp_path, 2)
    assert "new" in (tmp_path / "index.html").read_text()
    assert not list(tmp_path.rglob(".preflight-*"))


def test_it_asks_no_server(records: Records, tmp_path: Path) -> None:
    export(History(records), tmp_path)
    for file in tmp_path.rglob("*.html"):
        text = file.read_text()
        assert "data-live=" not in text.partition("<script>")[0]
        assert " action=" not in text


def test_a_folder_that_cannot_be_made_is_told(records: Records, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="the report cannot be written"):
        export(History(records), tmp_path / "file")


def test_a_file_among_the_records_is_no_run(records: Records, tmp_path: Path) -> None:
    (records.folder / "notes").touch()
    export(History(records), tmp_path)
    assert "notes" not in (tmp_path / "index.html").read_text()
