"""The digits on disk as a data set."""

import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

BRIGHTEST = 16


class Digits(Dataset[tuple[Tensor, int]]):
    """One split, `train` or `val`: images (one channel, 0 to 1) and labels; an image is read when it is asked for."""

    def __init__(self, root: Path, split: str) -> None:
        with (root / "labels.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == split]
        self.folder = root / split
        self.files = [row["file"] for row in rows]
        self.labels = [int(row["label"]) for row in rows]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(np.load(self.folder / self.files[index])).float().div(BRIGHTEST)
        return image.unsqueeze(0), self.labels[index]
