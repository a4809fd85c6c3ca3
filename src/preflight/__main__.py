"""Where the command begins: puts the path of imports right first, then has the last word on every way it can end."""

import os
import sys

USER_ERROR = 2
NO_VERDICT = 3
NOT_STARTED = 125
INTERRUPTED = 130
# Their exit codes are those of the command that they start; ours are all told by one number.
STARTING = ("gate", "launch", "rerun", "job")


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code; nothing that goes wrong shows a traceback."""
    _put_path_right()
    import signal

    _open_closed_streams()
    arguments = sys.argv[1:] if argv is None else argv
    is_starting = bool(arguments) and arguments[0] in STARTING
    try:
        from preflight.cli.main import main as command

        return command(arguments)
    except KeyboardInterrupt:
        if argv is None:
            # A second Ctrl-C while the interpreter tidies up would end it by its signal instead of our code.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        _say("preflight: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return NO_VERDICT
    except SystemExit as leaving:  # argparse has told what it is about
        return NOT_STARTED if is_starting and leaving.code else int(leaving.code or 0)
    except Exception as problem:  # noqa: BLE001 - the last word
        code = _told(problem)
        return getattr(problem, "exit_code", NOT_STARTED) if is_starting else code


def _put_path_right() -> None:
    """Keep the working directory and `PYTHONPATH` from hiding what we import: a user's `random.py`, another `yaml`."""
    here = _working_directory()
    if sys.path and sys.path[0] in ("", here):
        del sys.path[0]
    listed = os.environ.get("PYTHONPATH", "")
    if listed and not sys.flags.ignore_environment:
        late = {os.path.normpath(os.path.join(here, each)) for each in listed.split(os.pathsep)}
        late.discard(os.path.dirname(os.__file__))
        sys.path.sort(key=lambda each: each in late)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return ""


def _open_closed_streams() -> None:
    """Open /dev/null where a standard stream is closed, lest the next file that is opened take its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _told(problem: Exception) -> int:
    from preflight.errors import UserError
    from preflight.reports.text import visible

    if isinstance(problem, UserError):
        _say("\n".join(visible(line) for line in f"preflight: {problem}".splitlines()))
        return USER_ERROR
    _say(visible(f"preflight itself failed: {type(problem).__name__}: {problem}")[:300])
    _say(f"the traceback is in {_kept(problem)}; please report it")
    return NO_VERDICT


def _kept(problem: Exception) -> str:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="preflight-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.writelines(traceback.format_exception(problem))
    return file.name


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        return  # nobody hears; the exit code still tells


if __name__ == "__main__":
    sys.exit(main())
