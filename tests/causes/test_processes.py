"""Failures that reach a program through other processes, and those of a trainer: the first true one is named."""

import re
from collections.abc import Callable

import pytest

from preflight.causes import learning
from preflight.causes.modes import wrong_modes
from preflight.causes.rehearsals import why
from preflight.rehearsal.program import Rehearsed

pytestmark = pytest.mark.slow

FEATURES = ("failures", "loaders")
SPAWNED = """
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

class Digits(torch.utils.data.Dataset):
    def __init__(self):
        self.images = torch.tensor(load_digits().data[:100])
        self.scale = {scale}
    def __len__(self):
        return len(self.images)
    def __getitem__(self, index):
        return self.scale(self.images[index])

if __name__ == "__main__":
    for x in DataLoader(Digits(), batch_size=10, num_workers=1, multiprocessing_context="spawn"):
        pass
"""
RANKS = """
import os
import torch
import torch.distributed as distributed
import torch.multiprocessing
from sklearn.datasets import load_digits

def work(rank):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="{port}")
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32)[rank::2]
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(64, 10))
    settings = {{"rate": 0.1}} if rank == {lacking} else {{}}
    for step in range(2):
        model(images[:8]).sum().backward()
        print(settings["rate"]) if rank == 1 else None
        distributed.all_reduce(torch.ones(1))
    del model
    distributed.destroy_process_group()

if __name__ == "__main__":
    torch.multiprocessing.start_processes(work, nprocs=2, start_method="fork")
"""
TRAINER = """
import numpy, torch
from sklearn.datasets import load_digits
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput

class Reader(PreTrainedModel):
    config_class = PretrainedConfig
    def __init__(self, config):
        super().__init__(config)
        self.layer = torch.nn.Linear(64, 10)
    def forward(self, images, labels=None):
        scores = self.layer(images)
        return SequenceClassifierOutput(torch.nn.functional.cross_entropy(scores, labels), scores)

digits = load_digits()
data = [{{"images": torch.tensor(image, dtype=torch.float32), "labels": label}}
        for image, label in zip(digits.data / 16, digits.target.tolist())]

def compute_metrics(prediction):
    return {{"accuracy": float((prediction.predictions{chosen} == prediction.label_ids).mean())}}

arguments = TrainingArguments("out", num_train_epochs=1, eval_strategy="epoch", report_to=[], use_cpu=True)
Trainer(Reader(PretrainedConfig()), arguments, train_dataset=data[:1500], eval_dataset=data[1500:],
        compute_metrics=compute_metrics).train()
"""


def test_a_lambda_does_not_reach_a_spawned_worker(rehearse_one: Callable[..., Rehearsed]) -> None:
    done = rehearse_one(SPAWNED.format(scale="lambda image: image / 16"), *FEATURES)
    found = why(done)
    assert found, done.output
    assert found.id == "rehearsal.unpicklable", found
    assert "<lambda> cannot be pickled for a worker process" in found.message
    assert "for x in DataLoader" in SPAWNED.splitlines()[found.line - 1]


def test_a_function_does(rehearse_one: Callable[..., Rehearsed]) -> None:
    done = rehearse_one(SPAWNED.format(scale="torch.sigmoid"), *FEATURES)
    assert done.code == 0, done.output


@pytest.fixture(scope="module")
def ranks(rehearse_all: Callable[..., dict[str, Rehearsed]], free_port: Callable[[], int]) -> dict[str, Rehearsed]:
    programs = {
        "lacking": RANKS.format(port=free_port(), lacking=0),
        "whole": RANKS.format(port=free_port(), lacking=1),
    }
    return rehearse_all(programs, *FEATURES)


def test_the_rank_that_fails_first_is_named(ranks: dict[str, Rehearsed]) -> None:
    found = why(ranks["lacking"])
    assert found, ranks["lacking"].output
    assert found.id == "rehearsal.raises"
    assert "KeyError: 'rate'" in found.message
    assert 'settings["rate"]' in RANKS.splitlines()[found.line - 1]


def test_ranks_that_agree_fail_of_nothing(ranks: dict[str, Rehearsed]) -> None:
    assert ranks["whole"].code == 0, ranks["whole"].output


def test_the_evaluation_of_a_trainer_is_reached(rehearse_one: Callable[..., Rehearsed]) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    done = rehearse_one(TRAINER.format(chosen=""), *FEATURES, "frameworks")
    found = why(done)
    assert found, done.output
    assert re.search(
        r"operands could not be broadcast|shapes do not go together|has no attribute 'mean'", found.message
    )
    assert "prediction.predictions" in TRAINER.splitlines()[found.line - 1]


def test_a_trainer_that_evaluates_rightly_fails_of_nothing(rehearse_one: Callable[..., Rehearsed]) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    done = rehearse_one(TRAINER.format(chosen=".argmax(-1)"), *FEATURES, "frameworks", "modes", "learning")
    assert done.code == 0, done.output
    assert not done.of("unable")
    assert done.of("loss")
    judges = (learning.not_finite, learning.without_gradient, learning.one_class, learning.far_from_chance)
    assert not [found for judge in (wrong_modes, *judges) for found in judge(done)]
