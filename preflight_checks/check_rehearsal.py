"""The rehearsal: whether the experiment's own program comes to its end."""

import shlex
from collections.abc import Iterator

from preflight import Finding, check, error, info
from preflight.config import Config
from preflight.phrases import signal_name
from preflight.rehearsal.program import Rehearsed


@check(when="rehearsal", runs=2)
def check_program_comes_to_its_end(config: Config, rehearsed: Rehearsed) -> Iterator[Finding]:
    """The real program runs to its end on a few batches of each pass, everything written that it writes.

    rehearsal.raises    the program ends with an exception
    rehearsal.exits     the program ends with an exit code other than 0
    rehearsal.dies      a signal ends the program
    rehearsal.unended   the program is still at work when its time is up
    """
    yield from _ending(config, rehearsed)


def _ending(config: Config, done: Rehearsed) -> Iterator[Finding]:
    section = config.rehearsal
    assert section is not None
    at = {"file": section.at.file, "line": section.at.line}
    command = shlex.quote(section.command) if " " not in section.command else f"`{section.command}`"
    evidence = {"output": done.output[-4000:]}
    if done.code is None:
        yield info(f"{command} is still at work after {done.seconds:.0f} s", id="rehearsal.unended", **at)
    elif done.code < 0:
        yield error(f"{command} is ended by {signal_name(-done.code)}", id="rehearsal.dies", evidence=evidence, **at)
    elif done.code:
        raised = next(reversed(done.of("raised")), None)
        if raised and raised["place"]:
            at = {"file": raised["place"]["file"], "line": raised["place"]["line"]}
        last = next((line for line in reversed(done.output.splitlines()) if line.strip()), "")
        text = f"{raised['type']}: {raised['text']}" if raised else last
        named = "rehearsal.raises" if raised or "Traceback (most recent" in done.output else "rehearsal.exits"
        yield error(
            f"{command} ends with exit code {done.code}: {text.strip().partition(chr(10))[0]}",
            id=named,
            evidence=evidence,
            **at,
        )
