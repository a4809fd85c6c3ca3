"""Brings the evaluations, saves and end of a framework's training loop within reach of a few batches.

`trainer` {framework, place, epochs, steps, save_steps, eval_steps, save_limit, accumulation}: what the loop would truly
do, null where it does not say; told once, before it begins.
"""

import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, guard, places, wire

# A second epoch is where what was closed or freed after the first one is missed.
EPOCHS = 2
_told: "weakref.WeakSet[Any]" = weakref.WeakSet()
_shown = 4


def install(settings: dict[str, Any]) -> None:
    """Count on passes of `settings["batches"]` batches and the last."""
    global _shown  # noqa: PLW0603
    _shown = settings.get("batches", 3) + 1
    arrivals.when_imported("transformers.trainer", lambda module: _before(module, ("train",), _shorten_transformers))
    for name in ("lightning.pytorch", "pytorch_lightning"):
        arrivals.when_imported(f"{name}.trainer.trainer", _patch_lightning)


def _patch_lightning(module: ModuleType) -> None:
    _before(module, ("fit", "validate", "test", "predict"), _shorten_lightning)


def _before(module: ModuleType, names: tuple[str, ...], prepare: Callable[..., None]) -> None:
    """Have a Trainer prepared each time it is set going."""
    for name in names:
        setattr(module.Trainer, name, guard.before(getattr(module.Trainer, name), prepare))


def _tell(trainer: Any, **facts: Any) -> None:
    if trainer not in _told:
        _told.add(trainer)
        wire.tell("trainer", place=places.here(), **facts)


def _lower(thing: Any, name: str, most: int) -> None:
    """Lower an attribute that is a number of steps; a share of them (0.1) and what is off (0, -1, None) stay."""
    value = getattr(thing, name, None)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 1 and value > most:
        object.__setattr__(thing, name, most)


def _shorten_transformers(trainer: Any, *_: Any, **__: Any) -> None:
    """See `transformers.TrainingArguments`; a save must stay a multiple of an evaluation, so both get one number."""
    told = trainer.args
    _tell(
        trainer,
        framework="transformers",
        epochs=told.num_train_epochs if told.max_steps <= 0 else None,
        steps=told.max_steps if told.max_steps > 0 else None,
        save_steps=told.save_steps if str(getattr(told.save_strategy, "value", "")) == "steps" else None,
        eval_steps=told.eval_steps,
        save_limit=told.save_total_limit,
        accumulation=told.gradient_accumulation_steps,
    )
    reach = max(1, -(-_shown // told.gradient_accumulation_steps))
    for name in ("logging_steps", "eval_steps", "save_steps"):
        _lower(told, name, reach)
    _lower(told, "eval_delay", 0)
    _lower(told, "max_steps", EPOCHS * reach)
    _lower(told, "num_train_epochs", EPOCHS)


def _shorten_lightning(trainer: Any, *_: Any, **__: Any) -> None:
    """See `lightning.pytorch.Trainer` and its `ModelCheckpoint`."""
    fit, checkpoint = trainer.fit_loop, trainer.checkpoint_callback
    _tell(
        trainer,
        framework="lightning",
        epochs=fit.max_epochs if (fit.max_epochs or 0) > 0 else None,
        steps=fit.epoch_loop.max_steps if fit.epoch_loop.max_steps > 0 else None,
        save_steps=getattr(checkpoint, "_every_n_train_steps", None) or None,
        eval_steps=trainer.val_check_interval if isinstance(trainer.val_check_interval, int) else None,
        save_limit=getattr(checkpoint, "save_top_k", None),
        accumulation=trainer.accumulate_grad_batches,
    )
    reach = max(1, -(-_shown // trainer.accumulate_grad_batches))
    _lower(trainer, "val_check_interval", _shown)
    _lower(trainer, "check_val_every_n_epoch", 1)
    _lower(trainer, "log_every_n_steps", reach)
    _lower(fit.epoch_loop, "max_steps", EPOCHS * reach)
    if fit.max_epochs is not None and fit.max_epochs != 0:
        fit.max_epochs = EPOCHS if fit.max_epochs < 0 else min(EPOCHS, fit.max_epochs)
    for callback in trainer.checkpoint_callbacks:
        _lower(callback, "_every_n_train_steps", reach)
        _lower(callback, "_every_n_epochs", 1)
    for stage in ("train", "val", "test", "predict"):
        # A tenth of a few batches is none.
        if isinstance(share := getattr(trainer, f"limit_{stage}_batches", None), float) and share > 0:
            setattr(trainer, f"limit_{stage}_batches", 1.0)
