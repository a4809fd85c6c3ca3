"""What this project alone can know about its data."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from preflight import check, error

AGAIN = "Save the digits again:\n    python prepare.py"


@pytest.fixture
def data(experiment, root):
    """The folder that prepare.py fills."""
    return root / experiment["data"]["root"]


@pytest.mark.parametrize("split", ["train", "val"])
def check_every_digit_occurs(split, data, experiment, settings):
    """Both splits hold every digit often enough."""
    wanted = settings.get("per_class", 10)
    with (data / "labels.csv").open(encoding="utf-8") as file:
        count = Counter(int(row["label"]) for row in csv.DictReader(file) if row["split"] == split)
    rare = {digit: count[digit] for digit in range(experiment["data"]["classes"]) if count[digit] < wanted}
    assert not rare, f"{split} holds fewer than {wanted} of some digits: {rare}"


@check(needs="numpy")
def check_images_look_like_digits(data, settings):
    """A sample of the images is 8 x 8, with pixels from 0 to 16, and not blank.

    A wrong shape stops the training at the first batch. Pixels beyond 16 do not: the network learns, and learns badly.

        digits.shape    the array is no image of 8 x 8 pixels
        digits.pixels   a pixel is brighter than 16, or all are 0
    """
    import numpy as np

    paths = sorted(Path(data).glob("*/*.npy"))
    for path in paths[:: max(1, len(paths) // settings.get("sample", 100))]:
        image = np.load(path)
        if image.shape != (8, 8):
            yield error(f"{path.name} is no image of 8 x 8", id="digits.shape", found=str(image.shape), wanted="(8, 8)")
        elif not 0 < image.max() <= 16:
            brightest = str(image.max())
            yield error(f"{path.name} is no digit", id="digits.pixels", found=brightest, wanted="1 to 16", fix=AGAIN)
