"""What an ending means: the Result of a check whose child has ended, in whatever way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from preflight.isolation.child import UNDELIVERED
from preflight.isolation.children import Ending, How
from preflight.model import Finding, Planned, Result, Severity, Status
from preflight.phrases import signal_name

_DOING = {
    "R": "it was computing",
    "S": "it was sleeping or waiting",
    "T": "it was stopped by a signal",
    "D": "the kernel held it, waiting for a device or a mount that does not answer",
}
_FRAME = re.compile(r'File "([^"]+)", line (\d+) in (\S+)')


def result_of(planned: Planned, ending: Ending, place: str) -> Result:
    """Return the Result of a check whose child ended so."""
    findings = tuple(Finding.from_json(each["finding"]) for each in ending.messages if "finding" in each)
    outcome: Mapping[str, Any] = next((each["outcome"] for each in ending.messages if "outcome" in each), {})
    if ending.how is How.FINISHED and outcome:
        status, reason = Status(outcome["status"]), outcome.get("reason", "")
        traceback = outcome.get("traceback", "")
    else:
        status, reason, traceback = Status.BROKEN, why_broken(ending), ending.stack
    if status is Status.PASSED and any(finding.severity is Severity.ERROR for finding in findings):
        status = Status.FAILED
    return Result(
        check=planned.id,
        status=status,
        title=planned.title,
        findings=findings,
        reason=reason,
        asked=planned.asked,
        place=place,
        started=ending.started,
        seconds=ending.seconds,
        output=ending.output,
        traceback=traceback,
        file=planned.file,
        line=planned.line,
    )


def unanswered(planned: Planned, status: Status, reason: str, place: str) -> Result:
    """Return the Result of a check that could not run, and why."""
    return Result(
        check=planned.id,
        status=status,
        title=planned.title,
        reason=reason,
        asked=planned.asked,
        place=place,
        file=planned.file,
        line=planned.line,
    )


def why_broken(ending: Ending) -> str:
    """Return in one line why a child gave no answer."""
    match ending.how:
        case How.DEADLINE | How.STUCK:
            doing = _DOING.get(ending.state, "")
            parts = [f"no answer within {ending.deadline:g} s", *([doing] if doing else []), *_where(ending.stack)]
            if ending.how is How.STUCK:
                parts.append("and even SIGKILL does not end it")
            return ", ".join(parts)
        case How.SIGNALLED:
            name = signal_name(ending.code)
            return ", ".join([f"its process was ended by {name}", *_where(ending.stack)])
        case How.NOT_STARTED:
            return f"no process could be started for it: {ending.output}"
        case _ if ending.code == UNDELIVERED:
            return "its answer could not be delivered: it closed the file that the answer goes to"
        case _:
            return f"its process left with exit code {ending.code} before the check had finished (os._exit?)"


def _where(stack: str) -> list[str]:
    """Return the innermost frame that is neither Python's nor ours, as `in f (x.py:3)`."""
    # faulthandler writes the newest frame first, and the main thread's stack last.
    last = stack.rpartition("thread 0x")[2] or stack
    frames = _FRAME.findall(last)
    for file, line, function in frames:
        if "/preflight/" not in file and "/_pytest/" not in file and "/pluggy/" not in file and "/python3" not in file:
            return [f"in {function} ({file}:{line})"]
    return [f"in {frames[0][2]} ({frames[0][0]}:{frames[0][1]})"] if frames else []
