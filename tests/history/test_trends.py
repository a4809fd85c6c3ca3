"""Times and figures from run to run."""

from dataclasses import replace
from types import ModuleType

from preflight.history.runs import History
from preflight.history.trends import trends
from preflight.model import Finding, Place, Result, Severity, Status
from preflight.records.folder import Records


def test_each_host_has_its_own_lines(records: Records, history: ModuleType) -> None:
    found = trends(History(records))
    assert set(found.hosts) == {"node07", history.HOSTILE}
    assert (found.looked_at, found.flawed) == (7, ("torn",))
    by_name = {each.name: each for each in found.hosts["node07"]}
    assert by_name["GPU 0 H100: temperature"].values == [40, 41, 42, 43, 46]
    assert by_name["imports.works[torch]"].runs == ["good-0", "good-1", "good-2", "bad", "old"]
    assert by_name["GPU 0 H100: memory in use"].values == [1.0] * 5


def test_nodes_of_one_run_are_hosts(records: Records, history: ModuleType) -> None:
    speed = Finding(severity=Severity.INFO, id="gpu.speed", message="GPU 1: 700 TFLOPS", evidence={"float16": 700.5})
    results = [Result(check="a.b", status=Status.PASSED, place=name, seconds=1.5, findings=[speed]) for name in "xy"]
    places = [Place(name=name, facts={"gpus": [{"name": "A100", "temperature": 50}]}) for name in "xy"]
    report = replace(history.report_of(1), results=results, places=places)
    history.add(records, "many", report)
    found = trends(History(records), 1)
    assert [(each.kind, each.name, each.values) for each in found.hosts["x"]] == [
        ("GPU", "GPU 0 A100: temperature", [50]),
        ("GPU", "GPU 1: float16", [700.5]),
        ("check", "a.b", [1.5]),
    ]


def test_what_is_no_number_is_left_out(records: Records, history: ModuleType) -> None:
    run = history.add(records, "odd", history.report_of(1))
    run.report.write_text(
        run.report.read_text()
        .replace('"temperature": 41', '"temperature": NaN')
        .replace('"seconds": 3.0', '"seconds": "x"')
    )
    found = trends(History(records), 1)
    assert [each.name for each in found.hosts["node07"]] == ["GPU 0 H100: memory in use", "data.is-there[train]"]


def test_facts_of_another_shape_are_counted_as_damaged(records: Records, history: ModuleType) -> None:
    run = history.add(records, "odd", history.report_of(1))
    run.report.write_text(run.report.read_text().replace('"gpus": [', '"gpus": [3, '))
    assert trends(History(records), 1).flawed == ("odd",)
