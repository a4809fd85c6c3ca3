"""Trains the network: python train.py [--config config.yaml] [--resume]."""

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from dataset import Digits
from model import DigitNet
from settings import load_settings


def new_model(settings: dict[str, Any]) -> DigitNet:
    """Return an untrained network."""
    return DigitNet(**settings["model"], classes=settings["data"]["classes"])


def new_batches(settings: dict[str, Any], split: str) -> DataLoader[Any]:
    """Return the batches of `train`, shuffled anew in each epoch, or of `val`."""
    digits = Digits(Path(settings["data"]["root"]), split)
    return DataLoader(digits, batch_size=settings["train"]["batch_size"], shuffle=split == "train")


def loss_of(model: DigitNet, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the loss of one batch in training mode."""
    model.train()
    return nn.functional.cross_entropy(model(images), labels)


class Training:
    """Model, optimizer and data of one run; the same seed gives the same run."""

    def __init__(self, settings: dict[str, Any], seed: int) -> None:
        torch.manual_seed(seed)
        self.epoch = 0
        self.model = new_model(settings)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings["train"]["learning_rate"])
        self.batches = new_batches(settings, "train")

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        """Learn from one batch and return its loss."""
        self.optimizer.zero_grad()
        loss = loss_of(self.model, images, labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def save(self, path: Path) -> None:
        """Write all that `load` needs to go on; a checkpoint is there whole or not at all."""
        state = {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        torch.save(state, path.with_suffix(".partial"))
        os.replace(path.with_suffix(".partial"), path)

    def load(self, path: Path) -> None:
        """Go on where the checkpoint was written."""
        state = torch.load(path, weights_only=True)
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])


def accuracy(model: DigitNet, batches: DataLoader[Any]) -> float:
    """Return the share of images whose digit is read correctly."""
    model.eval()
    with torch.no_grad():
        hits = [(model(images).argmax(dim=1) == labels) for images, labels in batches]
    return float(torch.cat(hits).float().mean())


def one_step(seed: int) -> dict[str, Any]:
    """Return loss and gradients of the first batch, all that an optimizer sees; preflight calls this twice."""
    torch.manual_seed(seed)
    settings = load_settings("config.yaml")
    model = new_model(settings)
    loss = loss_of(model, *next(iter(new_batches(settings, "train"))))
    loss.backward()
    return {"loss": loss.item(), "gradients": {name: each.grad for name, each in model.named_parameters()}}


def main() -> None:
    """Train for as many epochs as the config says, with a checkpoint after each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", default="config.yaml")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    options = parser.parse_args()
    settings = load_settings(options.config)
    output = Path(settings["output_dir"])
    output.mkdir(parents=True, exist_ok=True)
    training = Training(settings, settings["seed"])
    if options.resume:
        training.load(output / "last.pt")
    validation = new_batches(settings, "val")
    while training.epoch < settings["train"]["epochs"]:
        losses = [training.step(images, labels) for images, labels in training.batches]
        training.epoch += 1
        mean_loss, score = sum(losses) / len(losses), accuracy(training.model, validation)
        print(f"epoch {training.epoch}  loss {mean_loss:.3f}  accuracy {score:.3f}")
        # Last, since a pass over the validation set draws from the random state that the checkpoint keeps.
        training.save(output / "last.pt")


if __name__ == "__main__":
    main()
