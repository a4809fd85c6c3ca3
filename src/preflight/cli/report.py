"""`preflight report`: the history of runs as pages, served here or written to a folder."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from preflight.cli import options
from preflight.errors import UserError
from preflight.phrases import counted
from preflight.reports.text import visible

PORT = 8228


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("report", "Show the history of runs in a browser.")
    actions = parser.add_subparsers(dest="action", metavar="serve|export", required=True)
    serve = actions.add_parser("serve", help="serve it until Ctrl-C; it follows the runs that go on")
    options.add_config(serve)
    serve.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}; 0 stands for any that is free")
    serve.add_argument(
        "--bind", metavar="ADDRESS", default="127.0.0.1", help="where others reach it too, for whom a token is needed"
    )
    serve.add_argument("--token", action="store_true", help="want a token here too: others may work on this machine")
    export = actions.add_parser("export", help="write it to a folder that opens without a server")
    options.add_config(export)
    export.add_argument("--dir", metavar="DIR", type=Path, required=True, help="the folder; it is made where it is not")
    export.add_argument("--last", metavar="N", type=int, default=200, help="how many runs; default: 200")
    return parser


def main(argv: Sequence[str]) -> int:
    """Serve or write; returns 0."""
    arguments = parser().parse_args(argv)
    return _export(arguments) if arguments.action == "export" else _serve(arguments)


def _serve(arguments: argparse.Namespace) -> int:
    from preflight.history.runs import History
    from preflight.site.guard import is_loopback
    from preflight.site.server import application, serve

    if not 0 <= arguments.port < 2**16:
        raise UserError(f"--port {arguments.port} is no port", fix="Use a number from 0 to 65535.")
    is_open = not is_loopback(arguments.bind)
    token = secrets.token_urlsafe(32) if is_open or arguments.token else ""
    records = options.records_of(arguments)
    app = application(History(records), arguments.bind, token)

    def ready(host: str, port: int) -> None:
        import ipaddress
        import socket

        name = f"[{host}]" if ":" in host else host
        with suppress(ValueError):
            name = socket.gethostname() if ipaddress.ip_address(host).is_unspecified else name
        question = f"?token={token}" if token else ""
        options.say(f"the runs in {visible(str(records.folder))}: http://{name}:{port}/{question}\n")
        if is_open:
            options.note("what is sent is not encrypted; ssh -L reaches a server that only listens here")

    serve(app, arguments.bind, arguments.port, ready)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from preflight.history.runs import History
    from preflight.site.export import export

    if arguments.last < 1:
        raise UserError(f"--last {arguments.last} is no number of runs", fix="Use 1 or more.")
    history = History(options.records_of(arguments))
    written = export(history, arguments.dir, arguments.last)
    options.say(f"{counted(written, 'page')}: {visible(str(arguments.dir / 'index.html'))}\n")
    return 0
