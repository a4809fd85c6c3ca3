"""What GitHub's runner understands of the log: annotations at their places, folds, and no command of a stranger."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from preflight.model import Finding, Report, Result, Severity, Status
from preflight.reports import render
from preflight.verdict import decide

COMMAND = re.compile(r"::([\w-]+)(?: ([^:]*))?::(.*)")


@dataclass
class Log:
    """What the runner has understood."""

    shown: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    commands: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    open_groups: int = 0

    def of(self, name: str) -> list[tuple[dict[str, str], str]]:
        """Return properties and message of each command of that name."""
        return [(properties, message) for each, properties, message in self.commands if each == name]


def read(text: str) -> Log:
    """Return what a runner makes of a log."""
    log, token = Log(), ""
    for line in text.split("\n")[:-1]:
        found = COMMAND.match(line.lstrip())
        if token:
            if line.strip() == f"::{token}::":
                token = ""
            else:
                log.shown.append(line)
        elif not found:
            log.shown.append(line)
        elif found[1] == "stop-commands":
            token = found[3]
        elif found[1] == "group":
            log.groups.append(unquote(found[3]))
            log.open_groups += 1
        elif found[1] == "endgroup":
            log.open_groups -= 1
        else:
            pairs = (each.split("=", 1) for each in (found[2] or "").split(",") if each)
            log.commands.append((found[1], {key: unquote(value) for key, value in pairs}, unquote(found[3])))
    assert not token, "commands stay stopped"
    return log


def log_of(report: Report) -> Log:
    return read(render("github", report, decide(report)))


def error(message: str, **more: object) -> Finding:
    return Finding(severity=Severity.ERROR, message=message, **more)  # type: ignore[arg-type]


FAILED = Result(
    check="data.is-there[train]", status=Status.FAILED, findings=[error("50 % a,b: gone\r\nnow", id="data.missing")]
)


def test_an_annotation_says_what_the_finding_says() -> None:
    finding = error(
        "50 % a,b: gone", found="a", cause="b\nc", fix="Do:\n    x", id="d.e", file="conf/a,b:c.yaml", line=7
    )
    log = log_of(Report(results=[replace(FAILED, findings=[finding])]))
    wanted = {"file": "conf/a,b:c.yaml", "line": "7", "endLine": "7", "title": "data.is-there[train] d.e"}
    assert log.of("error") == [(wanted, "50 % a,b: gone\nfound: a\ncause: b\nc\nfix: Do:\n    x")]
    assert log.shown[-1].startswith("NO-GO  1 failed")


def test_places_are_seen_from_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "workspace" / "examples"
    project.mkdir(parents=True)
    monkeypatch.chdir(project)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "workspace"))
    files = ["foo.yaml", str(project / "train.py"), "/usr/lib/python3/os.py", "../../outside", ""]
    findings = [error(f"m{n}", file=file, line=3, id=f"a.{n}") for n, file in enumerate(files)]
    log = log_of(Report(results=[replace(FAILED, findings=findings)]))
    found = [properties.get("file", "") for properties, _ in log.of("error")]
    assert found == ["examples/foo.yaml", "examples/train.py", "", "", ""]
    own = replace(FAILED, findings=[error("m")], file=str(project / "preflight_checks" / "check_a.py"), line=5)
    crash = replace(own, status=Status.BROKEN, findings=[], reason="it raised ValueError")
    for result in (own, crash):
        ((properties, _),) = log_of(Report(results=[result])).of("error")
        assert properties["file"] == "examples/preflight_checks/check_a.py"
        assert properties["line"] == "5"


def test_a_workspace_behind_a_link_is_the_same_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path / "link")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "link"))
    log = log_of(Report(results=[replace(FAILED, findings=[error("m", file="foo.yaml")])]))
    assert log.of("error")[0][0]["file"] == "foo.yaml"


@pytest.mark.parametrize(
    "evil",
    [
        "::set-env name=A::b",
        "##[add-mask]x",
        "::stop-commands::x\n::add-path::/tmp",
        "x\r::error::y",
        "%0A::error::y",
        "\n::endgroup::",
    ],
)
def test_nobody_commands_the_runner(evil: str) -> None:
    result = Result(
        check=f"mine.{evil}",
        status=Status.FAILED,
        findings=[error(evil, id=evil, found=evil, file=evil, line=1, evidence={"out": f"{evil}\n{evil}"})],
        output=f"{evil}\n{evil}\n",
        place=evil,
    )
    broken = replace(result, status=Status.BROKEN, reason=evil, traceback=f"{evil}\n{evil}")
    report = Report(results=[result, broken], config=evil, facts={"host": evil})
    log = log_of(report)
    assert {name for name, _, _ in log.commands} == {"error"}
    assert log.open_groups == 0
    assert len(log.groups) == 1
    assert all(set(properties) <= {"file", "line", "endLine", "title"} for properties, _ in log.of("error"))


def test_the_most_telling_come_first_and_the_others_are_counted() -> None:
    alike = [error(f"{n} is empty", id="data.empty") for n in range(5_000)]
    other = Result(check="paths.is-usable[x]", status=Status.FAILED, findings=[error("x is full", id="paths.full")])
    warnings = [Finding(severity=Severity.WARNING, message=f"w{n}", id="a.b") for n in range(11)]
    broken = Result(check="seeds.x", status=Status.BROKEN, reason="it died")
    report = Report(results=[replace(FAILED, findings=[*alike, *warnings]), other, broken])
    log = log_of(report)
    errors = [message for _, message in log.of("error")]
    assert errors[:3] == ["0 is empty", "x is full", "it died"]
    assert len(errors) == 10
    assert errors[-1] == "and 4,993 errors more: the log and the summary tell them"
    assert len(log.of("warning")) == 10
    assert log.of("warning")[-1][1].startswith("and 2 warnings more")


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (Report(results=[]), "no check ran"),
        (Report(results=[Result(check="a.b", status=Status.PASSED)], interrupted=True), "interrupted before"),
    ],
)
def test_what_is_no_go_is_never_without_an_error(report: Report, message: str) -> None:
    ((properties, told),) = log_of(report).of("error")
    assert properties == {"title": "preflight: NO VERDICT"}
    assert told.startswith(message)


def test_go_annotates_nothing() -> None:
    ignored = replace(FAILED, status=Status.PASSED, findings=[replace(FAILED.findings[0], ignored="known")])
    log = log_of(Report(results=[ignored, Result(check="a.b", status=Status.PASSED)]))
    assert log.commands == []
    assert log.groups == ["a  1 passed  0 s", "data  1 passed  0 s"]
    assert log.shown[-1].startswith("GO  2 passed")


def test_a_thousand_nodes_fold() -> None:
    results = [Result(check=f"gpu.c{c}", status=Status.PASSED, place=f"n{n}") for n in range(1_000) for c in range(5)]
    text = render("github", Report(results=results), decide(Report(results=results)))
    assert len(text.splitlines()) < 600
    assert "and 4,500 checks more" in text


def test_the_page_is_chosen_in_a_job_and_the_summary_appended(tmp_path: Path, project, monkeypatch) -> None:
    project.checks("mine", "def check_fails():\n    assert 1 == 2, 'one is not two'\n")
    (project.folder / "foo.yaml").write_text("preflight: {deadline: 60}\n")
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    environment = {
        **os.environ,
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_WORKSPACE": str(project.folder),
    }
    command = [sys.executable, "-m", "preflight", "run", "--config", "foo.yaml", "--only", "mine"]
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)
    log = read(done.stdout)
    ((properties, message),) = log.of("error")
    assert properties["file"] == "preflight_checks/check_mine.py"
    assert (
        (project.folder / properties["file"])
        .read_text()
        .splitlines()[int(properties["line"]) - 1]
        .strip()
        .startswith("assert")
    )
    assert message.startswith("one is not two")
    assert summary.read_text().startswith("before\n## preflight: NO-GO\n")
    command += ["--format", "terminal"]
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)
    assert "::" not in done.stdout
    environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "none" / "x")
    done = subprocess.run(
        command[:-2], cwd=project.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "the summary cannot be written" in done.stderr
