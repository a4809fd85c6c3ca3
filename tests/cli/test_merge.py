"""The reports of a job's parts are judged as one, with what the config ignores as long as it is there."""

import json
from pathlib import Path

import pytest

from preflight.cli.merge import main
from preflight.config import load
from preflight.model import Report, Result, Status
from preflight.reports import render
from preflight.verdict import decide

IGNORES = "preflight: {ignore: [{id: nodes.packages, reason: the old one will do}]}\n"


def write_report(folder: Path, number: int, torch: str, digest: str) -> str:
    part = {"node": f"n{number}", "kind": "node", "number": number, "of": 3, "job": "7"}
    report = Report(
        results=[Result(check="paths.have-room", status=Status.PASSED)],
        facts={"part": part, "packages": {"torch": torch}, "config_digest": digest, "drafted": False},
        started="2026-01-01T10:00:00+00:00",
        config="foo.yaml",
    )
    (folder / f"{number}.json").write_text(render("json", report, decide(report)))
    return f"{number}.json"


@pytest.mark.parametrize(("then", "code"), [("as it is", 0), ("edited since", 1), ("gone", 1)])
def test_what_the_config_ignores_covers_what_nodes_differ_in(
    then: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only where it is the config that the nodes were checked with; else that is said."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "foo.yaml"
    config.write_text(IGNORES)
    digest = load(Path("foo.yaml")).digest
    files = [write_report(tmp_path, number, torch, digest) for number, torch in enumerate(("2.13", "2.13", "2.12"))]
    if then == "gone":
        config.unlink()
    elif then == "edited since":
        config.write_text(f"# mended\n{IGNORES}")
    assert main([*files, "--format", "json"]) == code
    said = capsys.readouterr()
    assert ("foo.yaml is not here as it was checked" in said.err) is (code == 1)
    (odd,) = (finding for each in json.loads(said.out)["results"] for finding in each.get("findings", ()))
    assert odd.get("ignored", "") == ("the old one will do" if code == 0 else "")
