"""Saves scikit-learn's handwritten digits to disk, one array a digit and one table of labels."""

import csv
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from settings import load_settings

VALIDATION_EVERY = 5


def save_digits(root: Path) -> None:
    """Write `train/NNNN.npy`, `val/NNNN.npy` and `labels.csv` below `root`."""
    digits = load_digits()
    for split in ("train", "val"):
        (root / split).mkdir(parents=True, exist_ok=True)
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["split", "file", "label"])
        for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            split = "val" if number % VALIDATION_EVERY == 0 else "train"
            np.save(root / split / f"{number:04}.npy", image.astype(np.uint8))
            table.writerow([split, f"{number:04}.npy", label])


if __name__ == "__main__":
    save_digits(Path(load_settings("config.yaml")["data"]["root"]))
