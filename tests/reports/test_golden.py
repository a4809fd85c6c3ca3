"""One report of each kind through every format, compared with what lies in tests/golden as NAME.EXIT.FORMAT."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preflight.drift import are_alike
from preflight.model import Finding, Place, Presence, Report, Result, Severity, Status
from preflight.reports import FORMATS, render
from preflight.verdict import decide

GOLDEN = Path(__file__).parents[1] / "golden"


def finding(severity: str, message: str, **more: Any) -> Finding:
    return Finding(severity=Severity(severity), message=message, **more)


def result(check: str, status: str = "PASSED", *findings: Finding, **more: Any) -> Result:
    return Result(check=check, status=Status(status), findings=findings, **{"seconds": 0.25, **more})


def report(*results: Result, **more: Any) -> Report:
    facts = {"host": "node07", "python": "3.11.7"}
    known: dict[str, Any] = {"config": "foo.yaml", "started": "2026-05-01T18:04:05+02:00", "seconds": 3.2}
    return Report(results=results, facts=facts, **{**known, **more})


def alike(name: str) -> Finding:
    return finding("error", f"{name} is empty", id="data.empty", cause="a copy broke off", fix="Copy it again")


TORCH = result("imports.works[torch]", seconds=2.1, title="Every import works.")
LABELS = result("data.is-there[labels.csv]", seconds=0.012)
MISSING = result(
    "data.is-there[train]",
    "FAILED",
    finding(
        "error",
        "/data/cifar/train does not exist",
        id="data.missing",
        found="/data/cifar, with test and labels.csv in it",
        wanted="a folder with at least 50,000 files",
        cause="the folder is called training there",
        fix="Make it:\n    python prepare.py --out /data/cifar --and-more-options-so-that-80-columns-are-not-enough\n"
        "or mend the path in foo.yaml",
        file="foo.yaml",
        line=12,
    ),
    title="What the experiment reads is there.",
)
FULL = result(
    "paths.is-usable[runs]",
    "PASSED",
    finding("warning", "/scratch is 97 % full", id="paths.nearly-full", found="12 GB free", fix="Remove old runs"),
)
HUNG = result(
    "seeds.same-seed-gives-same-bits",
    "BROKEN",
    reason="no answer within 60 s, it was sleeping or waiting",
    seconds=60.0,
    traceback="".join(f'  File "train.py", line {line} in step\n' for line in range(20)),
    output="".join(f"step {step}\n" for step in range(3)),
)
ASKED = result("data.is-cached[bert]", "SKIPPED", reason="a later version answers data.hub", asked=True, seconds=0.0)
NO_GPU = result("gpu.computes", "SKIPPED", reason="no device to compute on", seconds=0.0)
KNOWN = replace(FULL, findings=(replace(FULL.findings[0], ignored="shared disk, not ours"),))
GPU = result("gpu.is-seen", "PASSED", finding("info", "4 x H100, driver 550.54", id="gpu.seen"))
HOSTILE = result(
    "mine.holds[[bold]\x1b[31m\udcff]",
    "FAILED",
    finding(
        "error",
        "the file a\nb\x1b[2J\x07\u202egnp.exe ]]> <b>&amp;</b> [red]is[/red] not\x00 there \ufffe",
        id="mine.\x1b[1mid",
        cause="\tthe name\r\nhas control characters: \x9b31m \u2028 \x85",
        evidence={"stack": "one\n\x1b]0;title\x07two", "size": float("nan"), "where": Path("/tmp/ä")},
    ),
    finding("warning", "x" * 3_000),
    output="100%|████| 3/3\rdone\x1b[0m \x08\x08\nGO  99 passed in 0.1 s\n",
)


def many_nodes() -> Report:
    """Twelve nodes: four lack the data, one fell silent, one never started, one has another torch."""
    names = [f"n{number}" for number in range(1, 13)]
    fates = {
        "n5": {
            "presence": Presence.SILENT,
            "reason": "silent for 30 s in data.is-there[train]",
            "running": ("data.is-there[train]",),
        },
        "n12": {"presence": Presence.ABSENT, "reason": "Unable to contact slurm controller: connection refused"},
    }
    odd = {"n2": {"packages": {"torch": "2.12.1"}}}
    facts = {name: odd.get(name, {"packages": {"torch": "2.13.0"}}) for name in names}
    places = tuple(
        Place(name=name, facts=facts[name] if name != "n12" else {}, **fates.get(name, {})) for name in names
    )
    results = [
        replace(each, place=name, seconds=each.seconds + number / 100)
        for number, name in enumerate(names)
        if name != "n12"
        for each in (TORCH, LABELS, FULL, MISSING if name in ("n3", "n7", "n8", "n9") else GPU)
        if name != "n5" or each is TORCH
    ]
    silent = [
        result("node.answers", "BROKEN", reason=str(fate["reason"]), place=name, seconds=0.0)
        for name, fate in fates.items()
    ]
    whole = report(*results, *are_alike(places), *silent, places=places)
    return replace(whole, facts={**whole.facts, "on": "slurm"})


REPORTS = {
    "go": report(TORCH, LABELS, result("data.is-there[train]"), GPU, NO_GPU),
    "go_with_warnings": report(TORCH, FULL, replace(FULL, check="paths.is-usable[cache]"), replace(KNOWN, check="a.b")),
    "strict": report(TORCH, FULL, strict=True),
    "no_go": report(TORCH, LABELS, MISSING, FULL, HUNG, NO_GPU),
    "broken": report(TORCH, HUNG),
    "asked_skipped": report(TORCH, ASKED),
    "nothing_ran": report(NO_GPU, config="", seconds=0.04),
    "empty": Report(results=()),
    "interrupted": report(TORCH, interrupted=True),
    "interrupted_no_go": report(TORCH, MISSING, interrupted=True),
    "alike_findings": report(result("data.is-readable", "FAILED", *(alike(f"{n}.png") for n in range(50)))),
    "alike_results": report(
        TORCH,
        *(result(f"data.is-there[{n}]", "FAILED", alike(f"{n}.csv")) for n in range(20)),
        *(result(f"mine.answers[{n}]", "BROKEN", reason="the worker died") for n in range(5)),
        *(replace(NO_GPU, check=f"gpu.computes[{n}]") for n in range(8)),
    ),
    "nodes": many_nodes(),
    "places": report(replace(TORCH, place="node1"), replace(MISSING, place="node2", output="line\n" * 30)),
    "hostile": report(HOSTILE, config="a b\x1b.yaml"),
}


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("form", FORMATS)
def test_looks_as_it_should(name: str, form: str, request: pytest.FixtureRequest) -> None:
    verdict = decide(REPORTS[name])
    text = without_what_all_pages_have(render(form, REPORTS[name], verdict))
    golden = GOLDEN / f"{name}.{verdict.exit_code}.{form}"
    if request.config.getoption("--update-golden", default=False):
        golden.write_bytes(text.encode())
    assert text.encode() == golden.read_bytes()


def without_what_all_pages_have(text: str) -> str:
    """Leave out style and script, which lie in files of their own and are seen at work in a browser's tests."""
    for kind in ("style", "script"):
        text = re.sub(rf"(?s)(<{kind}>).+?(</{kind}>)", r"\1…\2", text)
    return re.sub(r"'sha256-[^']+'", "'sha256-…'", text)


def test_no_golden_is_left_over() -> None:
    wanted = {f"{name}.{decide(each).exit_code}.{form}" for name, each in REPORTS.items() for form in FORMATS}
    assert {path.name for path in GOLDEN.iterdir()} == wanted
