"""Names that the installed version of a package does not have, found where the program's imports are imported."""

from pathlib import Path

import pytest

from preflight.model import Severity, Status
from preflight.testing import run_check

TEXT = "preflight: {imports: [numpy, yaml], packages: {lock: requirements.txt}}"
CODE = "import numpy as np\nimport yaml\nprint(np.%s(1))\n"


def test_a_name_that_a_newer_version_removed(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==1.26.4\n")
    (tmp_path / "train.py").write_text(CODE % "float_")
    [result] = run_check("imports.names-are-there", TEXT, root=tmp_path)
    [finding] = result.findings
    assert (finding.id, finding.severity) == ("imports.attribute-gone", Severity.ERROR)
    assert finding.message.startswith("train.py:3 uses numpy.float_, which numpy 2")
    assert finding.message.endswith("does not have; requirements.txt wants 1.26.4")
    assert "was removed in the NumPy 2.0 release" in finding.cause
    (tmp_path / "train.py").write_text(CODE % "float64")
    [result] = run_check("imports.names-are-there", TEXT, root=tmp_path)
    assert (result.status, result.findings) == (Status.PASSED, ())


def test_a_name_that_python_removed(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import yaml\nfrom collections import Mapping\n")
    [result] = run_check("imports.names-are-there", "preflight: {imports: [yaml]}", root=tmp_path)
    [finding] = result.findings
    assert finding.message.startswith("train.py:2 uses collections.Mapping, which Python 3.")


def test_a_package_that_is_not_imported_here_may_add_the_name(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import pandas\n" + CODE % "float_")
    [result] = run_check("imports.names-are-there", "preflight: {imports: [numpy, yaml]}", root=tmp_path)
    assert (result.status, result.findings) == (Status.PASSED, ())


def test_a_stray_version_lacks_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, stray = tmp_path / "project", tmp_path / "stray"
    root.mkdir()
    (stray / "PIL").mkdir(parents=True)
    (stray / "PIL/__init__.py").touch()
    (root / "train.py").write_text("from PIL import Image\n")
    monkeypatch.setenv("PYTHONPATH", str(stray))
    [result] = run_check("imports.names-are-there", "preflight: {imports: [PIL]}", root=root)
    assert [(each.id, each.severity) for each in result.findings] == [("imports.pythonpath-leak", Severity.ERROR)]
    monkeypatch.delenv("PYTHONPATH")
    [result] = run_check("imports.names-are-there", "preflight: {imports: [PIL]}", root=root)
    assert result.status is Status.PASSED
