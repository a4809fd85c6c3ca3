"""Keeps trackers and hubs from sending what a rehearsal makes: what the program itself tells them to is overruled."""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside.arrivals import when_imported


def install(_: object) -> None:
    """Wait for the libraries; nothing is told."""
    when_imported("wandb", _keep_wandb)
    when_imported("mlflow", _keep_mlflow)
    when_imported("comet_ml", _keep_comet)
    when_imported("transformers.training_args", _keep_transformers)
    when_imported("transformers.utils.hub", _keep_hub)


def _keep_wandb(wandb: ModuleType) -> None:
    init = wandb.init

    @functools.wraps(init)
    def offline(*words: Any, **more: Any) -> Any:
        if more.get("mode") not in ("offline", "disabled"):
            more["mode"] = "offline"
        return init(*words, **more)

    wandb.init = offline  # type: ignore[attr-defined]


def _keep_mlflow(mlflow: ModuleType) -> None:
    set_tracking_uri = mlflow.set_tracking_uri

    @functools.wraps(set_tracking_uri)
    def local(uri: Any) -> None:
        is_server = str(uri).startswith(("http:", "https:", "databricks"))
        set_tracking_uri("mlruns" if is_server else uri)

    mlflow.set_tracking_uri = local  # type: ignore[attr-defined]


def _keep_comet(comet: ModuleType) -> None:
    def offline(*_: Any, **more: Any) -> Any:
        more = {name: value for name, value in more.items() if name != "api_key"}
        return comet.OfflineExperiment(**more)

    for name in ("Experiment", "start"):
        if hasattr(comet, name):
            setattr(comet, name, functools.wraps(getattr(comet, name))(offline))
    if hasattr(comet, "login"):
        comet.login = _nothing(comet.login)  # type: ignore[attr-defined]


def _keep_transformers(arguments: ModuleType) -> None:
    made = arguments.TrainingArguments.__post_init__

    @functools.wraps(made)
    def unpushed(self: Any) -> None:
        self.push_to_hub = False
        made(self)

    arguments.TrainingArguments.__post_init__ = unpushed


def _keep_hub(hub: ModuleType) -> None:
    hub.PushToHubMixin.push_to_hub = _nothing(hub.PushToHubMixin.push_to_hub)


def _nothing(function: Callable[..., Any]) -> Callable[..., None]:
    """Return what takes the same and does nothing."""

    @functools.wraps(function)
    def nothing(*_: Any, **__: Any) -> None:
        return None

    return nothing
