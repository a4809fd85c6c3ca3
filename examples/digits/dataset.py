"""The digits as tensors."""

import csv
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import TensorDataset

BRIGHTEST = 16


def load_split(root: Path, split: str) -> TensorDataset:
    """Return images (float, 0 to 1, one channel) and labels of `train` or `val`."""
    with (root / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    images = np.stack([np.load(root / split / row["file"]) for row in rows])
    labels = torch.tensor([int(row["label"]) for row in rows])
    return TensorDataset(torch.from_numpy(images).float().div(BRIGHTEST).unsqueeze(1), labels)
