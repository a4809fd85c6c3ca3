"""The site as one asks it, without a network."""

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote
from wsgiref.util import setup_testing_defaults

import pytest

from preflight.history.runs import History
from preflight.records.folder import Records
from preflight.site.server import application


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str


Asking = Callable[..., Answer]


@pytest.fixture
def ask(records: Records) -> Asking:
    """Return `ask("/path?question", host="127.0.0.1", token="", method="GET", called="localhost", …)`."""
    pytest.importorskip("bottle", reason="serving needs bottle")

    def asking(
        address: str = "/",
        *,
        host: str = "127.0.0.1",
        token: str = "",
        method: str = "GET",
        called: str = "localhost:1",
        **more: str,
    ) -> Answer:
        path, _, question = address.partition("?")
        environ: dict[str, Any] = {
            "PATH_INFO": unquote(path, encoding="latin-1"),
            "QUERY_STRING": question,
            "REQUEST_METHOD": method,
        }
        setup_testing_defaults(environ)
        environ |= {"HTTP_HOST": called, **more}
        said: list[Any] = []
        body = application(History(records), host, token)(environ, lambda *words: said.extend(words[:2]))
        text = b"".join(body).decode()
        return Answer(int(said[0].split()[0]), dict(said[1]), text)

    return asking
