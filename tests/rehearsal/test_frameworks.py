"""A framework's loop reaches its evaluations, saves and end within a few batches, and says what it would truly do."""

import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from preflight.rehearsal import forecasts
from preflight.rehearsal.command import Command
from preflight.rehearsal.events import Event
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, Written, rehearse

pytestmark = pytest.mark.slow

DATA = """
import numpy, pathlib, sklearn, torch
rows = numpy.loadtxt(pathlib.Path(sklearn.__file__).parent / "datasets/data/digits.csv.gz", delimiter=",")
images, labels = torch.tensor(rows[:961, :64]), torch.tensor(rows[:961, 64], dtype=torch.long)
"""


def run(folder: Path, program: str) -> Rehearsed:
    project = folder / "project"
    project.mkdir()
    (project / "train.py").write_text(DATA + dedent(program))
    orders = Orders(root=project, answers=folder / "answers", features=("loaders", "meters"))
    done = rehearse(Command(words=(sys.executable, "train.py")), orders, seconds=100)
    assert done.code == 0, done.output
    assert not of("unable", done.events), of("unable", done.events)
    return done


def of(kind: str, events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event["kind"] == kind]


TRAINER = """
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
data = [{"input_ids": image.long() + 1, "labels": label} for image, label in zip(images, labels)]
model = BertForSequenceClassification(BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_labels=10,
                                                 num_attention_heads=2, intermediate_size=8))
arguments = TrainingArguments(output_dir="out", per_device_train_batch_size=32, num_train_epochs=20, save_steps=500,
                              eval_steps=100, eval_strategy="steps", logging_steps=50, report_to=[], OPTIONS)
trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data[:33])
trainer.train()
print("evaluated", sum("eval_loss" in each for each in trainer.state.log_history), trainer.state.global_step)
"""


def test_the_trainer_of_transformers(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    done = run(tmp_path, TRAINER.replace("OPTIONS", "save_total_limit=3"))
    assert "evaluated 2 8" in done.output
    (told,) = of("trainer", done.events)
    wanted = {"framework": "transformers", "epochs": 20, "steps": None, "save_steps": 500, "save_limit": 3}
    assert wanted.items() <= told.items()
    assert told["place"]["file"].endswith("train.py")
    assert {"checkpoint-4", "checkpoint-8"} <= {path.name for path in (tmp_path / "project" / "out").iterdir()}
    saved = [Path(event["path"]).name for event in of("saved", done.events)]
    assert saved.count("model.safetensors") == saved.count("optimizer.pt") == 2

    main = max(forecasts.main_loaders(done.events), key=lambda each: each.length or 0)
    assert (main.length, [len(each.batches) for each in main.passes]) == (31, [4, 4])
    assert forecasts.duration(done).repeats == 10  # type: ignore[union-attr]
    out = tmp_path / "project" / "out"
    files = [Written(path=str(each), bytes=each.stat().st_size, new=True) for each in out.rglob("*") if each.is_file()]
    numbered = forecasts.storage(Rehearsed(**{**_fields(done), "written": files})).numbered
    # Of 620 steps, one in 500 is saved, and the last.
    assert numbered[f"{out}/checkpoint-#/optimizer.pt"][0] == 2


def _fields(done: Rehearsed) -> dict[str, object]:
    return {name: getattr(done, name) for name in Rehearsed.__dataclass_fields__}


def test_the_trainer_is_told_its_steps(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    done = run(tmp_path, TRAINER.replace("OPTIONS", "max_steps=10000, gradient_accumulation_steps=2"))
    assert "evaluated 2 4" in done.output
    (told,) = of("trainer", done.events)
    assert (told["steps"], told["epochs"], told["accumulation"]) == (10000, None, 2)
    assert forecasts.duration(done).repeats == 10000 * 2 / 31 / 2  # type: ignore[union-attr]


def test_the_trainer_of_lightning(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    program = """
        import lightning.pytorch as pl
        from torch.utils.data import DataLoader, TensorDataset

        class Net(pl.LightningModule):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(64, 10)
            def training_step(self, batch, index):
                return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])
            def validation_step(self, batch, index):
                print("evaluated", len(batch[1]))
            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), 0.1)

        data = TensorDataset(images.float(), labels)
        kept = pl.callbacks.ModelCheckpoint("kept", every_n_train_steps=200, save_top_k=-1)
        trainer = pl.Trainer(max_epochs=50, val_check_interval=25, limit_val_batches=0.1, callbacks=[kept],
                             logger=False, accelerator="cpu", enable_progress_bar=False)
        trainer.fit(Net(), DataLoader(data, 32, shuffle=True), DataLoader(data, 32))
        print("steps", trainer.global_step)
        """
    done = run(tmp_path, program)
    assert "steps 8" in done.output
    assert done.output.count("evaluated 1\n") == 2
    (told,) = of("trainer", done.events)
    wanted = {"framework": "lightning", "epochs": 50, "save_steps": 200, "eval_steps": 25, "save_limit": -1}
    assert wanted.items() <= told.items()
    assert len(list((tmp_path / "project" / "kept").iterdir())) == 2
    assert len(of("saved", done.events)) == 2
