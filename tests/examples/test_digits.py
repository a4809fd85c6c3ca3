"""examples/digits trains, passes, and its own checks see what is wrong with digits."""

import csv
import hashlib

import pytest


def state_of(folder):
    """Return a digest of all below a folder: names, kinds, rights, times and contents."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        digest.update(f"{path} {facts.st_mode} {facts.st_mtime_ns} {facts.st_ino}".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def test_the_project_as_it_is(digits):
    answer = digits.preflight()
    assert (answer.errors, answer.code) == ([], 0)
    passed = {result["check"] for result in answer.results if result["status"] == "PASSED"}
    assert {"digits.every-digit-occurs[train]", "digits.images-look-like-digits", "imports.works[torch]"} <= passed
    assert any(check.startswith("seeds.") for check in passed)
    assert not (digits.folder / "runs").exists()


@pytest.mark.slow
def test_a_rehearsal_leaves_nothing_behind(digits, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    before = state_of(digits.folder), state_of(home)
    answer = digits.preflight("--only", "rehearsal")
    assert (answer.errors, answer.code) == ([], 0)
    findings = [finding for result in answer.results for finding in result.get("findings", ())]
    [ran] = [finding for finding in findings if finding["id"] == "rehearsal.ran"]
    assert "of 6 passes; its writes went to a view" in ran["message"]
    assert (state_of(digits.folder), state_of(home)) == before


@pytest.mark.slow
def test_resuming_changes_nothing(digits):
    digits.replace("config.yaml", "epochs: 3", "epochs: 2")
    first, second = digits.python("train.py").stdout.splitlines()
    digits.replace("config.yaml", "epochs: 2", "epochs: 1")
    assert digits.python("train.py").stdout.splitlines() == [first]
    digits.replace("config.yaml", "epochs: 1", "epochs: 2")
    assert digits.python("train.py", "--resume").stdout.splitlines() == [second]


def test_without_its_data(digits):
    (digits.folder / "data").rename(digits.folder / "elsewhere")
    answer = digits.preflight("--only", "data")
    assert answer.code == 1
    assert set(answer.errors) == {"data.missing"}


def test_a_changed_table_of_labels(digits):
    digits.replace("data/labels.csv", "train,0001.npy,1\n", "train,0001.npy,7\n")
    assert digits.preflight("--only", "data").errors == ["data.sha256"]


@pytest.mark.slow
def test_a_digit_that_hardly_occurs(digits):
    table = digits.folder / "data" / "labels.csv"
    with table.open(encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row[0] != "val" or row[2] != "3"]
    with table.open("w", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    answer = digits.preflight("--only", "digits")
    failed = {
        result["check"]: result["findings"][0]["message"] for result in answer.results if result["status"] == "FAILED"
    }
    assert list(failed) == ["digits.every-digit-occurs[val]"]
    assert "{3: 0}" in failed["digits.every-digit-occurs[val]"]


@pytest.mark.slow
def test_images_that_are_no_digits(digits):
    program = """
import numpy as np
np.save("data/train/0001.npy", np.ones((9, 8), np.uint8))
np.save("data/train/0002.npy", np.full((8, 8), 255, np.uint8))
np.save("data/val/0000.npy", np.zeros((8, 8), np.uint8))
"""
    assert digits.python("-c", program).returncode == 0
    digits.replace("config.yaml", "per_class: 20", "per_class: 20, sample: 10000")
    answer = digits.preflight("--only", "digits.images-look-like-digits")
    assert answer.errors == ["digits.pixels", "digits.pixels", "digits.shape"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeding", "finding"), [("torch.seed()", "seeds.differ"), ("torch.manual_seed(1)", "seeds.no-effect")]
)
def test_a_seed_that_does_not_hold(digits, seeding, finding):
    digits.replace("train.py", "torch.manual_seed(seed)\n    settings", f"{seeding}\n    settings")
    assert digits.preflight("--only", "seeds").errors == [finding]
