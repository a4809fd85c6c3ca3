"""examples/digits trains, passes, and its own checks see what is wrong with digits."""

import csv

import pytest

FIRST_IMAGE = "0001.npy"


def save_image(project, expression):
    """Put another array in the place of the first training image."""
    program = f"import numpy as np; np.save('data/train/{FIRST_IMAGE}', {expression})"
    assert project.python("-c", program).returncode == 0


def test_the_project_as_it_is(digits):
    answer = digits.preflight()
    assert (answer.errors, answer.code) == ([], 0)
    passed = {result["check"] for result in answer.results if result["status"] == "PASSED"}
    assert {"digits.every-digit-occurs[train]", "digits.images-look-like-digits", "imports.works[torch]"} <= passed
    assert any(check.startswith("seeds.") for check in passed)
    assert not (digits.folder / "runs").exists()


def test_training_goes_on_where_it_stopped(digits):
    digits.replace("config.yaml", "epochs: 3", "epochs: 1")
    assert digits.python("train.py").stdout.startswith("epoch 1 ")
    digits.replace("config.yaml", "epochs: 1", "epochs: 2")
    assert digits.python("train.py", "--resume").stdout.startswith("epoch 2 ")


def test_without_its_data(digits):
    (digits.folder / "data").rename(digits.folder / "elsewhere")
    answer = digits.preflight("--only", "data")
    assert answer.code == 1
    assert set(answer.errors) == {"data.missing"}


def test_a_changed_table_of_labels(digits):
    digits.replace("data/labels.csv", "train,0001.npy,1\n", "train,0001.npy,7\n")
    assert digits.preflight("--only", "data").errors == ["data.wrong-checksum"]


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


@pytest.mark.parametrize(
    ("image", "finding"),
    [
        ("np.ones((9, 8), np.uint8)", "digits.shape"),
        ("np.full((8, 8), 255, np.uint8)", "digits.pixels"),
        ("np.zeros((8, 8), np.uint8)", "digits.pixels"),
    ],
)
def test_an_image_that_is_no_digit(digits, image, finding):
    save_image(digits, image)
    assert digits.preflight("--only", "digits.images-look-like-digits").errors == [finding]


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("torch.manual_seed(seed)", "torch.seed()", "seeds.differ"),
        ("torch.manual_seed(seed)", "torch.manual_seed(1)", "seeds.no-effect"),
    ],
)
def test_a_seed_that_does_not_hold(digits, old, new, finding):
    digits.replace("train.py", old, new)
    assert digits.preflight("--only", "seeds").errors == [finding]
