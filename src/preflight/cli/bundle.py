"""`preflight bundle`: one archive with what a bug report needs, and without what is secret."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from preflight import writing
from preflight.cli import options
from preflight.errors import UserError
from preflight.phrases import counted
from preflight.quantities import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.config import Config
    from preflight.records.folder import Run
    from preflight.system.secrets import Secrets

_LARGEST = 1_000_000
_ENDINGS = (".tar.gz", ".tgz", ".zip")
# However short it is: what stands in a config under such a name.
_HELD = re.compile(
    r"(?im)^([ \t-]*[\"']?[\w.-]*(?:token|secret|passw(?:or)?d|passphrase|api_?key|credentials?)"
    r"[\"']?[ \t]*:[ \t]*)\S.*$"
)
_ABOUT = """What this archive holds, for a bug report of preflight.

{files}

Values that look secret by their name or their shape are left out (***), of the environment only variables that hold
none are told. Look through it before you send it: names of files, hosts and users are in it.
"""
_WHAT = {
    "report.json": "the report of the run",
    "record.json": "how the run was started and how it ended",
    "config.yaml": "the config",
    "log.txt": "the last of what the run printed",
    "facts.json": "this machine, its limits and its GPUs",
    "packages.txt": "what is installed here",
    "versions.txt": "which preflight and Python wrote this",
}


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("bundle", "Pack what a bug report needs into one archive, without secrets.")
    options.add_config(parser)
    parser.add_argument(
        "report", metavar="REPORT.json|RUN", nargs="?", default="", help="a stored report or a run; default: neither"
    )
    parser.add_argument(
        "--output", metavar="FILE", type=Path, required=True, help=f"the archive, which ends in {' or '.join(_ENDINGS)}"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Write the archive and say what is in it."""
    arguments = parser().parse_args(argv)
    output: Path = arguments.output
    if not output.name.endswith(_ENDINGS):
        raise UserError(f"--output {output} is no archive's name", fix=f"Let it end in {' or '.join(_ENDINGS)}.")
    files = _gathered(arguments)
    listed = [f"  {name:<13}{format_size(len(data)):>8}  {_WHAT[name]}" for name, data in files.items()]
    about = _ABOUT.format(files="\n".join(listed)).encode()
    folder = re.sub(r"(\.tar\.gz|\.tgz|\.zip)$", "", output.name)
    packed = {f"{folder}/{name}": data for name, data in {"README.txt": about, **files}.items()}
    writing.save({output: _zip(packed) if output.suffix == ".zip" else _tar(packed)}, mode=0o600)
    said = f"{output} holds {counted(len(files), 'file')}; look through it before you send it"
    options.say("\n".join([said, *listed]) + "\n")
    return 0


def _gathered(arguments: argparse.Namespace) -> dict[str, bytes]:
    """Return the files by their names in the archive; what cannot be had tells why in its place."""
    from preflight.config import Config, load

    run = None
    held: dict[str, str] = {}
    if arguments.report and not os.path.isfile(arguments.report):
        run = options.records_of(arguments).run(arguments.report)
        held = _of_run(run)
    elif arguments.report:
        held["report.json"] = _read(Path(arguments.report))
    try:
        config = load(arguments.config)
    except UserError as mistake:
        # A config that is not understood is a good reason for a bug report.
        source = arguments.config or Path("preflight.yaml")
        if not source.is_file():
            raise
        config = Config(root=Path.cwd(), source=str(source), text=_read(source))
        held["versions.txt"] = f"the config is not understood: {mistake}\n"
    held.setdefault("config.yaml", config.text)
    held["facts.json"] = json.dumps(_facts(config), indent=2, default=str)
    held["packages.txt"] = "".join(f"{name}=={version}\n" for name, version in _installed())
    version = metadata.version("pytest-preflight")
    held["versions.txt"] = f"preflight {version}\nPython {sys.version}\n{held.get('versions.txt', '')}"
    secrets = _secrets(config, held["config.yaml"])
    held["config.yaml"] = _HELD.sub(r"\1***", held["config.yaml"])
    return {name: _bounded(_without(secrets, name, held[name])) for name in _WHAT if held.get(name)}


def _of_run(run: Run) -> dict[str, str]:
    parts = {"report.json": run.report, "config.yaml": run.config, "log.txt": run.log}
    held = {name: _read(path) for name, path in parts.items() if path.exists()}
    return {**held, "record.json": json.dumps(run.read().to_json(), indent=2, default=str)}


def _read(path: Path) -> str:
    """Return the text of a file, of a long one its end, or why there is none."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            is_log = path.suffix == ".txt"
            file.seek(max(0, size - _LARGEST) if is_log else 0)
            return file.read(_LARGEST if is_log else 20 * _LARGEST).decode("utf-8", "replace")
    except OSError as problem:
        raise UserError(f"{path} cannot be read: {problem.strerror}") from None


def _facts(config: Config) -> Mapping[str, Any]:
    from preflight.worker import facts

    told: dict[str, Any] = {}
    for gather in (facts.host, facts.python, facts.commit, facts.gpus):
        try:
            told |= gather(config)
        except Exception as problem:  # noqa: BLE001 - on a broken machine the rest is worth more than nothing
            told[f"{gather.__name__} cannot be told"] = repr(problem)
    return told


def _installed() -> list[tuple[str, str]]:
    found = {(each.name or "?", each.version or "?") for each in metadata.distributions()}
    return sorted(found, key=lambda each: each[0].lower())


def _secrets(config: Config, text: str) -> Secrets:
    from preflight.config.document import parse, plain
    from preflight.system.secrets import Secrets, named, passwords

    held: list[Mapping[str, Any]] = [dict(os.environ)]
    with suppress(UserError):  # its lines are still looked at one by one
        held.append(plain(parse(text, config.source)))
    short = (match[0].partition(":")[2].strip().strip("\"'") for match in _HELD.finditer(text))
    known = [each for each in short if len(each) >= 6 and "${" not in each and not each.isdecimal()]
    return Secrets([*(value for values in held for value in named(values)), *passwords(), *known])


def _without(secrets: Secrets, name: str, text: str) -> str:
    if name.endswith(".json"):
        try:
            return json.dumps(secrets.hide(json.loads(text)), indent=2) + "\n"
        except (ValueError, RecursionError):
            pass  # damaged, which is for whoever reads the bug report to see
    return str(secrets.hide(text))


def _bounded(text: str) -> bytes:
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= _LARGEST:
        return data
    half = _LARGEST // 2
    return data[:half] + f"\n[... {len(data) - _LARGEST:,} bytes left out ...]\n".encode() + data[-half:]


def _tar(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return written.getvalue()


def _zip(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return written.getvalue()
