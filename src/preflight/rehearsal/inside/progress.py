"""Tells what each optimizer step starts from and leads to, and can break the program off after it has saved.

`progress` {rank, optimizer, step, parameters, state, rates, batch, random, numpy, torch, after}: digests of what there
was before a step, `batch` that of the last one handed out by a DataLoader, and of the parameters `after` it; `rates`
are the learning rates themselves. `broken-off` {steps}: the process ends itself before the first step after a save,
where it is told to by `{"breaks": true}`.
"""

import functools
import os
import signal
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, guard, holdings, wire
from preflight.rehearsal.inside.digests import digest_of

_MOST = 300
_SAVERS = {"torch": "save", "safetensors.torch": "save_file"}


class _Progress:
    """How far the program is."""

    def __init__(self) -> None:
        self.steps = self.saves = 0
        self.breaks = False
        self.optimizers: dict[int, int] = {}
        self.batch = ""
        self.before: dict[str, Any] = {}

    def begin(self, optimizer: Any, *_: Any) -> None:
        """Note what a step starts from, or end here."""
        if self.breaks and self.saves:
            wire.tell("broken-off", steps=self.steps)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.steps < _MOST:
            number = self.optimizers.setdefault(id(optimizer), len(self.optimizers))
            self.before = {"optimizer": number, **_state_of(optimizer), "batch": self.batch, **_generators()}

    def end(self, optimizer: Any, *_: Any) -> None:
        """Tell of a step that was taken."""
        self.steps += 1
        if self.steps <= _MOST:
            after = digest_of([group["params"] for group in optimizer.param_groups])
            rank = os.environ.get("RANK", "0")
            wire.tell("progress", rank=rank, step=self.steps, **self.before, after=after)

    def saved(self) -> None:
        """Note that something was saved; what is saved before the first step is no checkpoint."""
        self.saves += self.steps > 0


_progress = _Progress()


def install(settings: dict[str, Any]) -> None:
    """Follow every optimizer of torch; end after a save where `settings["breaks"]` says so."""
    _progress.breaks = bool(settings.get("breaks"))
    arrivals.when_imported("torch.optim.optimizer", _watch_steps)
    arrivals.when_imported("torch.utils.data.dataloader", _watch_batches)
    for name, saver in _SAVERS.items():
        arrivals.when_imported(name, functools.partial(_watch_saving, saver))


def _watch_steps(module: ModuleType) -> None:
    module.register_optimizer_step_pre_hook(guard.quietly(_progress.begin))
    module.register_optimizer_step_post_hook(guard.quietly(_progress.end))


def _watch_batches(module: ModuleType) -> None:
    kind = module._BaseDataLoaderIter  # noqa: SLF001
    following = kind.__next__

    def __next__(self: Any) -> Any:  # noqa: N807
        batch = following(self)
        # Batches of an evaluation come between two steps as well; the last one before a step is the step's own.
        _progress.batch = digest_of(batch)
        return batch

    kind.__next__ = __next__


def _watch_saving(name: str, module: ModuleType) -> None:
    save = getattr(module, name)

    @functools.wraps(save)
    def saving(*arguments: Any, **more: Any) -> Any:
        result = save(*arguments, **more)
        _progress.saved()
        return result

    setattr(module, name, saving)


def _state_of(optimizer: Any) -> dict[str, Any]:
    groups = optimizer.param_groups
    # By the order of the parameters: a state that was loaded has its entries in another one.
    state = [optimizer.state.get(each, {}) for group in groups for each in group["params"]]
    return {
        "parameters": digest_of([group["params"] for group in groups]),
        "state": digest_of([sorted(each.items(), key=lambda item: str(item[0])) for each in state]),
        "rates": [float(group["lr"]) for group in groups if "lr" in group],
    }


def _generators() -> dict[str, str]:
    found = {name.partition(".")[0]: holdings.digest(generator) for name, generator in holdings.of_libraries()}
    return {"numpy": "", **found}
