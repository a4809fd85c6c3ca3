"""`preflight completion`: the script that completes commands, options, ids and runs in bash, zsh or fish."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from preflight.cli import options
from preflight.cli.main import COMMANDS

# What only a look at the project can tell, by what stands for it in a parser.
_ASKED = {"ID": "ids", "RUN": "runs", "REPORT.json|RUN": "runs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """An option, or what stands without one (`names` is empty there), and what may follow.

    `values` are all there are; `asked` names the question (`checks`, `ids` or `runs`) that tells them; `takes` is
    false for what takes no value.
    """

    names: Sequence[str] = ()
    values: Sequence[str] = ()
    asked: str = ""
    takes: bool = True
    help: str = ""


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("completion", "Print the script that completes commands in a shell.")
    parser.add_argument(
        "of",
        metavar="bash|zsh|fish",
        choices=[*_SCRIPTS, "checks", "ids", "runs"],
        help="which shell; `checks`, `ids` and `runs` print the names that its script asks for",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Print the script, or the names that it asks for."""
    of = parser().parse_args(argv).of
    if of == "ids":
        from preflight.cli.explain import read_pages

        lines = [name for page in read_pages(Path()) for name in (page.id, *page.findings)]
    elif of == "checks":
        from preflight.cli.explain import read_pages

        lines = [page.id for page in read_pages(Path())]
    elif of == "runs":
        lines = sorted(options.records_of(argparse.Namespace(config=None)).names())
    else:
        lines = list(_SCRIPTS[of](words()))
    options.say("".join(f"{line}\n" for line in lines))
    return 0


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command."""
    return {name: import_module(f"preflight.cli.{name}").parser() for name in COMMANDS}


def words() -> dict[str, list[Word]]:
    """Return what may follow each command; the options of an action (`env lock`) are its command's."""
    return {name: list(_words(parser)) for name, parser in parsers().items()}


def _words(parser: argparse.ArgumentParser) -> Iterator[Word]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to tell what a parser takes
        inner = action.choices if isinstance(action.choices, Mapping) else {}
        metavar = action.metavar if isinstance(action.metavar, str) else ""
        yield Word(
            names=action.option_strings,
            values=[str(each) for each in action.choices or ()],
            asked="checks" if metavar == "ID" and action.option_strings else _ASKED.get(metavar, ""),
            takes=action.nargs != 0,
            help=(action.help or "").replace("%%", "%"),
        )
        for each in inner.values():
            yield from _words(each)


def _bash(known: Mapping[str, Sequence[Word]]) -> Iterator[str]:
    yield "# Completes preflight in bash:  source <(preflight completion bash)"
    yield "_preflight() {"
    yield '    local word="${COMP_WORDS[COMP_CWORD]}" words=""'
    yield from _cases(known, "$COMP_CWORD -eq 1", "${COMP_WORDS[1]}", "${COMP_WORDS[COMP_CWORD-1]}")
    yield '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")'
    yield "}"
    yield "complete -o default -F _preflight preflight"


def _zsh(known: Mapping[str, Sequence[Word]]) -> Iterator[str]:
    yield "#compdef preflight"
    yield "# Completes preflight in zsh:  source <(preflight completion zsh)"
    yield "_preflight() {"
    yield '    local command="${words[2]}" before="${words[CURRENT-1]}" place=$CURRENT'
    yield '    local words=""'
    yield from _cases(known, "$place -eq 2", "$command", "$before")
    yield "    compadd -- ${=words} || _files"
    yield "}"
    yield "compdef _preflight preflight"


def _cases(known: Mapping[str, Sequence[Word]], first: str, command: str, before: str) -> Iterator[str]:
    """Yield the lines, alike in bash and zsh, that set `words` to what may stand here; empty where that is a file."""
    yield f"    if [ {first} ]; then"
    yield f"        words={shlex.quote(' '.join([*known, '--help', '--version']))}"
    yield "    else"
    yield f'        case "{command} {before}" in'
    for name, taken in known.items():
        for word in taken:
            if word.names and word.takes:
                patterns = "|".join(shlex.quote(f"{name} {each}") for each in word.names)
                yield f"            {patterns}) words={_values(word)} ;;"
    yield "            *)"
    yield f'                case "{command}" in'
    for name, taken in known.items():
        fixed = " ".join(each for word in taken for each in (word.names or word.values))
        asked = {word.asked: f'" $(preflight completion {word.asked} 2>/dev/null)"' for word in taken if not word.names}
        asked.pop("", None)
        yield f"                    {name}) words={shlex.quote(fixed)}{''.join(asked.values())} ;;"
    yield "                esac ;;"
    yield "        esac"
    yield "    fi"


def _values(word: Word) -> str:
    if word.asked:
        return f'"$(preflight completion {word.asked} 2>/dev/null)"'
    return shlex.quote(" ".join(word.values))


def _fish(known: Mapping[str, Sequence[Word]]) -> Iterator[str]:
    yield "# Completes preflight in fish:  preflight completion fish | source"
    for name, what in COMMANDS.items():
        yield f"complete -c preflight -n __fish_use_subcommand -f -a {name} -d {_fish_quoted(what)}"
    for name, taken in known.items():
        for word in taken:
            start = f"complete -c preflight -n '__fish_seen_subcommand_from {name}'"
            flags = "".join(f" -l {each[2:]}" if each.startswith("--") else f" -s {each[1:]}" for each in word.names)
            told = f" -d {_fish_quoted(word.help)}" if word.help else ""
            if word.asked:
                offer = f" -x -a '(preflight completion {word.asked} 2>/dev/null)'"
            elif word.values:
                offer = f" -x -a {_fish_quoted(' '.join(word.values))}"
            else:
                offer = " -r" if word.names and word.takes else ""
            if flags or offer:
                yield f"{start}{flags}{offer if flags else offer.replace(' -x', ' -f')}{told}"


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_SCRIPTS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
