"""Secrets of the environment, the config, URLs, outputs and tracebacks stand in no format of a real run's report."""

from pathlib import Path

import pytest

from preflight import config as configuration
from preflight.model import Report, Status
from preflight.reports import FORMATS, render
from preflight.run import run
from preflight.verdict import decide

ENVIRONMENT = {"MY_API_KEY": "k3y-from-the-environment", "SERVICE_PASSWORD": "opensesame"}
WANDB = "0af9" * 10
HUB = "hf_" + "Zx7" * 12
URL = "url-pa55word"
CONFIG = "c0nfig-secret-value"
SECRETS = [*ENVIRONMENT.values(), WANDB, HUB, URL, CONFIG]

CHECKS = f"""
import urllib.parse, warnings

def check_prints(experiment):
    print("the key is", os.environ["MY_API_KEY"], file=sys.stderr)
    print("\\x1b[1m" + os.environ["SERVICE_PASSWORD"] + "\\x1b[0m", "{HUB[:10]}" + "{HUB[10:]}")
    yield warning("the token " + experiment["service"]["token"] + " is old", found=experiment["database"])
    evidence = {{"env": dict(os.environ), "list": [{{"url": experiment["database"]}}]}}
    yield info("of wandb: " + "0af9" * 10, evidence=evidence)

def check_raises(experiment):
    secret = os.environ["MY_API_KEY"]
    raise ValueError("401 for " + secret + " at https://h/?q=" + urllib.parse.quote(experiment["service"]["token"]))

def check_asserts(experiment):
    assert os.environ["SERVICE_PASSWORD"] == experiment["database"]

def check_dies(experiment):
    print(os.environ["MY_API_KEY"], flush=True)
    os.abort()

@pytest.fixture
def connection(experiment):
    raise RuntimeError(experiment["database"])

def check_connects(connection):
    pass

def check_skips(experiment):
    pytest.skip("no answer from " + experiment["database"])
"""
TEXT = f"""
service: {{token: {CONFIG}}}
database: postgres://me:{URL}@localhost:1/x
preflight:
  deadline: 60
  data:
    - {{path: "${{database}}"}}
    - {{path: "https://me:{URL}@127.0.0.1:1/data.csv"}}
"""


@pytest.fixture(scope="module")
def report(project_type, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of a run in which everything tells what it should not."""
    project = project_type(tmp_path_factory.mktemp("leaking"))
    project.checks("mine", CHECKS)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        netrc = project.folder / "netrc"
        netrc.write_text(f"machine api.wandb.ai login user password {WANDB}\n")
        patch.setenv("NETRC", str(netrc))
        return run(configuration.load(Path("foo.yaml"), text=TEXT, root=project.folder))


def test_the_checks_say_what_they_say(report: Report) -> None:
    by_name = {each.check: each for each in report.results}
    assert by_name["mine.raises"].reason.startswith("it raised ValueError: 401 for *** at https://h/?q=")
    assert by_name["mine.prints"].findings[0].message == "the token *** is old"
    assert by_name["mine.prints"].findings[0].found == "postgres://***@localhost:1/x"
    assert by_name["mine.dies"].status is Status.BROKEN
    assert "***" in by_name["mine.dies"].output
    assert by_name["mine.skips"].reason == "no answer from postgres://***@localhost:1/x"
    assert by_name["mine.prints"].findings[1].evidence["env"]["PATH"]
    assert any("https://127.0.0.1:1/data.csv" in each for each in by_name)
    assert any("postgres://localhost:1/x" in each for each in by_name)


@pytest.mark.parametrize("form", FORMATS)
def test_no_format_tells_a_secret(form: str, report: Report) -> None:
    text = render(form, report, decide(report))
    assert "mine.raises" in text
    assert [each for each in SECRETS if each in text] == []
