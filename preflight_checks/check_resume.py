"""Resume: whether a run that was broken off ends where it would have ended.

See it by hand:

    preflight seeds --config foo.yaml

Mend it:

    Save and restore what the finding names beside the weights: optimizer, schedule, generators, position in the data.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from preflight import Finding, check, error, warning
from preflight.config import Config, Rehearsal, Seeds
from preflight.phrases import in_a_row, signal_name
from preflight.rehearsal.program import Rehearsed
from preflight.rehearsal.reseeding import read_seeded
from preflight.rehearsal.resumption import Parting, Plan, Resumption, counts, is_repeatable, parting, run_resumption
from preflight.rehearsal.view import ViewRefused

RUNS = 3
NAMES = {
    "parameters": "the parameters",
    "state": "the state of the optimizer",
    "rates": "the learning rate",
    "batch": "the batch, so the order of the data",
    "torch": "the state of torch's generator",
    "numpy": "the state of numpy's generator",
    "random": "the state of random's generator",
}
SAVED = {
    "parameters": "    model.state_dict()",
    "state": "    optimizer.state_dict()",
    "rates": "    scheduler.state_dict()",
    "torch": "    torch.get_rng_state()",
    "numpy": "    np.random.get_state()",
    "random": "    random.getstate()",
}


@check(when="seeds.resume", runs=RUNS)
def check_resumed_run_ends_alike(config: Config, scratch: Path) -> Iterator[Finding]:
    """A run that is broken off after a save and resumed computes what the run without a break computes.

    `seeds.command` runs short, once to its end and once until the first optimizer step after it has saved something;
    there it is killed. `seeds.resume` goes on from what it left. The parameters are compared bit by bit after each
    step, and where they part, what the step started from: parameters, state of the optimizer, learning rate, batch,
    and the states of the global generators.

        resume.differs      the resumed run computes something else: what is not the same when it goes on
        resume.starts-over  the resumed run begins with the parameters of the first step
        resume.fails        the resumed run fails
        resume.no-save      nothing is saved before the last step
    """
    seeds, rehearsal = config.seeds or Seeds(), config.rehearsal or Rehearsal()
    if not seeds.command:
        pytest.skip("seeds.resume goes on where seeds.command was broken off, and there is none")
    command, resume = (read_seeded(text, seeds.value) for text in (seeds.command, seeds.resume))
    until = time.monotonic() + (seeds.deadline or RUNS * rehearsal.time) * 0.9
    try:
        runs = run_resumption(Plan(command, resume, config.root.absolute(), scratch), rehearsal.time, until)
    except ViewRefused as problem:
        pytest.skip(f"{problem}: a run that is broken off must leave nothing behind")
    at = {"file": seeds.at.file, "line": seeds.at.line}
    if runs.straight.code != 0:
        pytest.skip("seeds.command does not come to its end")
    if runs.resumed is None:
        yield _no_save(seeds, at)
    elif not is_repeatable(runs):
        pytest.skip("two runs of seeds.command differ before anything is resumed")
    elif runs.resumed.code != 0:
        yield _fails(runs.resumed, seeds, at)
    elif found := parting(runs):
        yield _differs(runs, found, seeds, at)


def _no_save(seeds: Seeds, at: dict[str, object]) -> Finding:
    return warning(
        f"`{seeds.command}` saves nothing before its last optimizer step",
        id="resume.no-save",
        cause="a run that is broken off has nothing to go on from",
        fix="Save a checkpoint after each epoch",
        **at,
    )


def _fails(resumed: Rehearsed, seeds: Seeds, at: dict[str, object]) -> Finding:
    raised = next(reversed(resumed.of("raised")), None)
    code = resumed.code
    ending = "is not done in time" if code is None else f"ends with {signal_name(-code) if code < 0 else code}"
    place = (raised or {}).get("place") or {}
    if place:
        at = {"file": place["file"], "line": place["line"]}
    return error(
        f"`{seeds.resume}` {ending}" + (f": {raised['type']}: {raised['text']}".partition("\n")[0] if raised else ""),
        id="resume.fails",
        cause="what `seeds.command` saved cannot be gone on from",
        fix="Make it resume, after a run that was broken off",
        evidence={"output": resumed.output[-1000:]},
        **at,
    )


def _differs(runs: Resumption, found: Parting, seeds: Seeds, at: dict[str, object]) -> Finding:
    evidence = {"steps before the break": runs.steps, "parts at step": found.step, "differing": list(found.differing)}
    straight, both = counts(runs)
    if straight != both:
        evidence["steps in all"] = f"{both}, {straight} without a break"
    if found.began == 1 and runs.steps:
        return error(
            f"`{seeds.resume}` starts over: it begins with the parameters of the first step",
            id="resume.starts-over",
            cause="it does not load what was saved",
            fix="Load the checkpoint into the model before training goes on",
            evidence=evidence,
            **at,
        )
    names = [NAMES[name] for name in found.differing] or ["what else decides on the step"]
    cause = "what `seeds.resume` goes on with is not what there was when the run was broken off"
    if "rates" in found.differing:
        cause += f": the learning rate is {found.other['rates']}, {found.one['rates']} without a break"
    missing = "\n".join(SAVED[name] for name in found.differing if name in SAVED)
    return error(
        f"a resumed run parts from one without a break at step {found.step}: {in_a_row(names, most=7)} differ",
        id="resume.differs",
        found=f"`{seeds.resume}` after {runs.steps} steps",
        wanted=f"the same as `{seeds.command}`",
        cause=cause,
        fix=f"Save and load with the checkpoint:\n{missing}" if missing else "Go on with the batch after the last one",
        evidence=evidence,
        **at,
    )
