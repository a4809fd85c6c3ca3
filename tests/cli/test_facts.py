"""`preflight facts capture` and `preflight run --facts`, as a user types them."""

import json
from pathlib import Path
from typing import Any

import pytest

from preflight.system.gpu.facts import Gpus

FACTS = Path(__file__).parents[1] / "facts/h100.json"


def test_facts_are_captured(project: Path, preflight: Any) -> None:
    done = preflight("facts", "capture", "here.json", "--without-torch")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("here.json: ")
    assert Gpus.from_json(json.loads(Path("here.json").read_text())).torch is None


@pytest.mark.slow
def test_torch_says_its_own(project: Path, preflight: Any) -> None:
    torch = pytest.importorskip("torch")
    assert preflight("facts", "capture", "here.json").returncode == 0
    view = Gpus.from_json(json.loads(Path("here.json").read_text())).torch
    assert view is not None
    assert view.version == str(torch.__version__)


@pytest.mark.parametrize(("count", "code", "word"), [(1, 0, "GO"), (2, 1, "NO-GO")])
def test_a_file_is_judged(count: int, code: int, word: str, *, project: Path, preflight: Any) -> None:
    Path("foo.yaml").write_text(f"preflight: {{gpu: {{count: {count}}}}}\n")
    done = preflight("run", "--config", "foo.yaml", "--facts", str(FACTS), "--only", "gpu", "--format", "json")
    assert done.returncode == code, done.stdout
    report = json.loads(done.stdout)
    assert report["verdict"]["word"] == word
    assert report["facts"]["driver_version"] == "580.159.04"
    assert not [each for each in report["results"] if each["check"].startswith("gpu-results")]


@pytest.mark.parametrize(
    "content", [None, "", "{}", '{"schema": "preflight.report/1"}', '{"schema": "preflight.facts/1", "devices": 3}']
)
def test_what_holds_no_facts_is_refused(content: str | None, project: Path, preflight: Any) -> None:
    if content is not None:
        Path("facts.json").write_text(content)
    done = preflight("run", "--facts", "facts.json")
    assert done.returncode == 2
    assert "facts.json" in done.stderr
    assert "preflight facts capture" in done.stderr
    assert "Traceback" not in done.stderr
