"""What the first bytes of a file tell."""

import pytest

from preflight.system.formats import Trouble, trouble_of

PAGE = b"\n  <!DOCTYPE HTML><title>Sign in</title>"


@pytest.mark.parametrize(
    ("path", "start", "trouble"),
    [
        ("a.PNG", b"", Trouble.EMPTY),
        ("a.txt", b"", Trouble.BLANK),
        ("_SUCCESS", b"", Trouble.BLANK),
        ("a.bin", b"version https://git-lfs.github.com/spec/v1\n", Trouble.POINTER),
        ("a.txt", b"version 2 of this text", None),
        ("a.pth", PAGE, Trouble.PAGE),
        ("a.csv", PAGE, Trouble.PAGE),
        ("a.html", PAGE, None),
        ("crawl/00012", PAGE, None),
        ("a.png", b"\x89PNG\r\n", None),
    ],
)
def test_trouble(path: str, start: bytes, trouble: Trouble | None) -> None:
    assert trouble_of(path, start) == trouble
