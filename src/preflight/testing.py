"""For those who test their checks: `run_check` runs one as `preflight run` would and returns its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from preflight.model import Result


def run_check(
    check: Callable[..., Any] | str,
    config: Mapping[str, Any] | str = "",
    *,
    root: Path,
    facts: Mapping[str, Any] | None = None,
) -> list[Result]:
    """Run one check for a project in `root` and return its results, one for each entry that it is asked about.

    `check` is the function, or an id as `preflight run --only` takes it. `config` is the text of foo.yaml or what it
    would hold: `run_check(check_every_shard_opens, {"data": {"root": "shards"}}, root=tmp_path)`. The check must lie
    in a folder of checks: built in, the project's `preflight_checks/`, or an installed package's. `facts` of GPUs, as
    `preflight facts capture` writes them, are judged in place of this machine's. Raises UserError where the config is
    wrong.
    """
    import yaml

    from preflight import config as configuration
    from preflight.run import run
    from preflight.worker.collect import family_of
    from preflight.worker.request import Selection

    if callable(check):
        name = check.__name__.removeprefix("check_").replace("_", "-")
        check = f"{family_of(Path(check.__code__.co_filename))}.{name}"
    text = config if isinstance(config, str) else yaml.safe_dump(dict(config))
    settings = configuration.load(Path("config.yaml"), text=text, root=root)
    results = run(settings, selection=Selection(only=(check,)), facts=facts).results
    return [result for result in results if result.check.partition("[")[0] == check.partition("[")[0]]
