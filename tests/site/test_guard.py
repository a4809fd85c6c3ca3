"""Who is let in, and who is not."""

from typing import Any

import pytest

from preflight.site.guard import COOKIE


@pytest.mark.parametrize(
    "called", ["localhost", "LOCALHOST:17600", "127.0.0.1", "127.8.8.8:80", "[::1]:8228", "localhost."]
)
def test_this_machine_is_called_by_its_own_names(ask: Any, called: str) -> None:
    assert ask(called=called).status == 200


@pytest.mark.parametrize(
    "called", ["evil.example", "evil.example:8228", "127.0.0.1.evil.example", "10.0.0.7", "", "::", "[", "a b"]
)
def test_a_name_that_was_bound_to_this_address_is_refused(ask: Any, called: str) -> None:
    answer = ask(called=called)
    assert answer.status == 421
    assert "good-0" not in answer.text


def test_where_others_reach_it_a_foreign_name_is_refused_with_the_token_too(ask: Any) -> None:
    assert ask("/?token=abc", host="0.0.0.0", token="abc", called="evil.example").status == 421
    assert ask("/", host="node7", token="abc", called="node7:8228").status == 403
    assert ask("/", host="0.0.0.0", token="abc", called="10.0.0.7:8228").status == 403


@pytest.mark.parametrize("given", ["", "?token=", "?token=ab", "?token=abcd", "?token=%c3%a9", "?token[]=abc"])
def test_without_the_token_nothing_is_told(ask: Any, given: str) -> None:
    for path in ("/", "/run/good-0.html", "/trends.html", "/nothing"):
        answer = ask(f"{path}{given}", token="abc")
        assert (answer.status, "good-0" in answer.text) == (403, False)


@pytest.mark.parametrize("cookie", ["", f"{COOKIE}=", f"{COOKIE}=ab", "other=abc", f"{COOKIE}=é", ";;=", "[]=1"])
def test_a_wrong_cookie_is_none(ask: Any, cookie: str) -> None:
    assert ask(token="abc", HTTP_COOKIE=cookie).status == 403


def test_the_token_becomes_a_cookie_and_leaves_the_address(ask: Any) -> None:
    answer = ask("/run/good-0.html?token=abc&find=a%26b", token="abc")
    assert (answer.status, answer.headers["Location"]) == (303, "/run/good-0.html?find=a%26b")
    assert answer.headers["Set-Cookie"] == f"{COOKIE}=abc; HttpOnly; SameSite=Lax; Path=/"
    assert ask("/run/good-0.html", token="abc", HTTP_COOKIE=f"x=1; {COOKIE}=abc").status == 200


@pytest.mark.parametrize("path", ["//evil.example/", "/%0d%0aX: y", "/a\r\nX: y", "/\\evil.example"])
def test_it_leads_nowhere_else(ask: Any, path: str) -> None:
    answer = ask(f"{path}?token=abc", token="abc")
    assert answer.headers["Location"].startswith("/")
    assert not answer.headers["Location"].startswith(("//", "/\\"))
    assert not set("\r\n") & set(answer.headers["Location"])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "X"])
def test_it_is_only_read(ask: Any, method: str) -> None:
    answer = ask(method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("address", ["/", "/run/bad.html", "/nothing", "/run/nothing.html"])
def test_every_answer_forbids_what_a_page_does_not_need(ask: Any, address: str) -> None:
    answer = ask(address)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in answer.text
    assert "Access-Control-Allow-Origin" not in answer.headers
