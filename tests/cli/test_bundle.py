"""What goes into a bug report, and what never does."""

import json
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from preflight.cli.bundle import main
from preflight.errors import UserError
from preflight.model import Finding, Report, Result, Severity, Status
from preflight.records.folder import Records
from preflight.records.record import Record
from preflight.reports.json import render
from preflight.verdict import decide

KEY = "hf_" + "Abcd1234" * 5
SECRETS = {"correct-horse-battery-staple-9", KEY, "hunter2", "pa55w0rd99", "s3cr3t-from-env-1"}


def held(path: Path) -> dict[str, str]:
    """Return the files of an archive by their names below its one folder."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    else:
        with tarfile.open(path) as archive:
            files = {each.name: archive.extractfile(each).read() for each in archive}
    assert len({name.partition("/")[0] for name in files}) == 1
    return {name.partition("/")[2]: data.decode() for name, data in files.items()}


@pytest.fixture
def leaky(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with secrets wherever one may stand."""
    monkeypatch.setenv("WANDB_API_KEY", "s3cr3t-from-env-1")
    (project / "foo.yaml").write_text(
        "db: {password: correct-horse-battery-staple-9}\n"
        "login:\n  password: hunter2\n"
        "data: postgresql://me:pa55w0rd99@host/db\n"
        "tokenizer: bert\npreflight: {}\n"
    )
    said = f"cannot read postgresql://me:pa55w0rd99@host/db with {KEY} and hunter2"
    finding = Finding(severity=Severity.ERROR, message=said, evidence={"key": "s3cr3t-from-env-1"})
    broken = Result(check="mine.fails", status=Status.FAILED, findings=(finding,), output=said, traceback=said)
    report = Report(results=(broken,), facts={"host": "h"})
    (project / "report.json").write_text(render(report, decide(report)))
    run = Records(project / ".preflight" / "runs").create(
        Record(name="monday", command=("python", "train.py", f"--token={KEY}")),
        config=(project / "foo.yaml").read_text(),
    )
    run.report.write_text((project / "report.json").read_text())
    run.log.write_text("first\n" + f"{said}\n" * 40_000 + "last s3cr3t-from-env-1\n")
    return project


@pytest.mark.parametrize("name", ["bug.tar.gz", "bug.tgz", "bug.zip"])
def test_no_secret_is_in_it(leaky: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monday", "--config", "foo.yaml", "--output", name]) == 0
    files = held(leaky / name)
    assert [(secret, file) for file, text in files.items() for secret in SECRETS if secret in text] == []
    assert "tokenizer: bert" in files["config.yaml"]
    assert json.loads(files["report.json"])["results"][0]["check"] == "mine.fails"
    assert files["log.txt"].endswith("last ***\n")
    assert all(name in files["README.txt"] for name in files if name != "README.txt")
    assert set(files) == {
        *("README.txt", "report.json", "record.json", "config.yaml", "log.txt", "facts.json", "packages.txt"),
        "versions.txt",
    }
    assert max(map(len, files.values())) < 1_100_000
    assert stat.S_IMODE((leaky / name).stat().st_mode) == 0o600
    assert f"{name} holds 7 files" in capsys.readouterr().out


def test_a_report_and_no_run(leaky: Path) -> None:
    assert main(["report.json", "--config", "foo.yaml", "--output", "bug.zip"]) == 0
    files = held(leaky / "bug.zip")
    assert "hunter2" not in files["report.json"]
    assert "pytest==" in files["packages.txt"]
    assert "Python 3" in files["versions.txt"]


def test_a_config_that_is_not_understood_is_packed_all_the_same(leaky: Path) -> None:
    (leaky / "foo.yaml").write_text("password: hunter2\npreflight: {imports: 3}\n")
    assert main(["--config", "foo.yaml", "--output", "bug.zip"]) == 0
    files = held(leaky / "bug.zip")
    assert "not understood" in files["versions.txt"]
    assert files["config.yaml"] == "password: ***\npreflight: {imports: 3}\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--output", "bug.rar"], "no archive's name"),
        (["tuesday", "--output", "bug.zip"], "no run called tuesday"),
        (["--config", "gone.yaml", "--output", "bug.zip"], "gone.yaml"),
        (["--output", "gone/bug.zip"], "cannot be written"),
    ],
)
def test_mistakes(project: Path, arguments: list[str], why: str) -> None:
    with pytest.raises(UserError, match=why):
        main(arguments)
