"""Every golden report against the schemas of those who read it: Jenkins' JUnit, SARIF 2.1.0, GitLab's code quality."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import xmlschema

GOLDEN = Path(__file__).parents[1] / "golden"
# What GitLab documents: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
CODE_QUALITY = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "additionalProperties": False,
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^(?!/|\\./|\\.\\./)."},
                    "lines": {"type": "object", "properties": {"begin": {"type": "integer", "minimum": 1}}},
                },
            },
        },
    },
}


@pytest.fixture(scope="module")
def junit() -> xmlschema.XMLSchema:
    """The rules of Jenkins' xunit plugin."""
    return xmlschema.XMLSchema(str(Path(__file__).with_name("junit-10.xsd")))


@pytest.fixture(scope="module")
def sarif(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The published schema of SARIF, as an npm package of Microsoft's ships it."""
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("the schema of SARIF comes with an npm package, and there is no npm")
    folder = tmp_path_factory.mktemp("schema")
    command = [npm, "pack", "--silent", "@microsoft/jest-sarif@1.0.0-beta.0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"the schema of SARIF cannot be fetched: {done.stderr.strip()[-200:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        file = archive.extractfile("package/lib/schemas/sarif-2.1.0-rtm.5.json")
        assert file
        schema = json.load(file)
    return jsonschema.validators.validator_for(schema)(schema)


def goldens(form: str) -> list[Path]:
    return sorted(GOLDEN.glob(f"*.{form}"))


@pytest.mark.parametrize("golden", goldens("junit"), ids=lambda path: path.stem)
def test_jenkins_reads_junit(golden: Path, junit: xmlschema.XMLSchema) -> None:
    junit.validate(str(golden))


@pytest.mark.parametrize("golden", goldens("gitlab"), ids=lambda path: path.stem)
def test_gitlab_reads_code_quality(golden: Path) -> None:
    issues = json.loads(golden.read_text())
    jsonschema.validate(issues, CODE_QUALITY)
    assert len({each["fingerprint"] for each in issues}) == len(issues)


@pytest.mark.parametrize("golden", goldens("sarif"), ids=lambda path: path.stem)
def test_sarif_follows_its_schema(golden: Path, sarif: Any) -> None:
    log = json.loads(golden.read_text())
    sarif.validate(log)
    (run,) = log["runs"]
    rules = [each["id"] for each in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    assert all(rules[each["ruleIndex"]] == each["ruleId"] for each in run["results"])
    assert str(run["invocations"][0]["exitCode"]) == golden.stem.rpartition(".")[2]


def test_the_schemas_refuse_what_is_wrong(junit: xmlschema.XMLSchema, sarif: Any) -> None:
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        junit.validate("<testsuites><testsuite><testcase/></testsuite></testsuites>")
    with pytest.raises(jsonschema.ValidationError):
        sarif.validate({"version": "2.1.0", "runs": [{"results": []}]})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([{"description": ""}], CODE_QUALITY)
