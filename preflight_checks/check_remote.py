"""Remote data: URLs of web servers and object stores can be read from here, with the credentials of the job.

See it by hand:

    curl -sI URL
    python -c 'import fsspec; print(fsspec.open("URL").open().read(16))'
    aws s3 ls s3://BUCKET

Mend it:

    Give the job the address and the credentials that work from this machine, and the package that opens such addresses.
"""

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import pytest

from preflight import Finding, check, error, warning
from preflight.causes.network import explain_unreached
from preflight.config import Data
from preflight.phrases import counted, in_a_row, without_secrets
from preflight.system import network, stores, web
from preflight.system.stores import Refused, Stored
from preflight.system.web import Answer

SECONDS_TO_CONNECT = 5.0
PAGES = {".html", ".htm", ".xhtml", ".php", ".asp", ".aspx", ".jsp"}
CONTENTS = ("open", "columns", "rows", "missing", "values", "encoding")
FETCH_AGAIN = "Look at what stands there, and put the right file in its place"
# What a status means for the job: the finding's name, what is said, and what to do.
STATUSES = {
    401: (
        "unauthorized",
        "the server wants a login (401 Unauthorized)",
        "Give the job a login, in ~/.netrc for instance",
    ),
    403: (
        "forbidden",
        "the server does not hand it out to this job (403 Forbidden)",
        "Ask for access, or renew the link",
    ),
    404: ("not-found", "the server has nothing at this address (404 Not Found)", "Correct the URL"),
    407: ("proxy", "the proxy wants a login (407)", "Put the login of the proxy into HTTPS_PROXY"),
    410: ("not-found", "the server has it no more (410 Gone)", "Find where it has moved to"),
}
TROUBLES = {
    web.Trouble.SILENT: ("host-silent", "the server takes the connection and then does not answer in time"),
    web.Trouble.CERTIFICATE: ("certificate", "the certificate of the server, or of a proxy before it, is not trusted"),
    web.Trouble.REDIRECTS: ("redirect-loop", "the server redirects in a circle"),
    web.Trouble.BROKEN: ("host-failed", "the address is none, or the server ends the connection or speaks no HTTP"),
}
# The same for an object store: `{bucket}` is the first part of the path.
REFUSALS = {
    stores.Trouble.MISSING: ("not-found", "the store has nothing at this address (404)", "Correct the URL"),
    stores.Trouble.NO_CONTAINER: ("no-bucket", "there is no bucket {bucket}", "Correct the name of the bucket"),
    stores.Trouble.FORBIDDEN: (
        "forbidden",
        "the credentials of the job do not allow it (403); who may not list is told so of what is missing, too",
        "Ask for the right to read {bucket}, or give the job other credentials",
    ),
    stores.Trouble.NO_CREDENTIALS: (
        "no-credentials",
        "the client finds no credentials on this machine",
        "Give the job credentials, in its environment or where the client looks for them",
    ),
    stores.Trouble.BAD_CREDENTIALS: (
        "bad-credentials",
        "the store does not accept the credentials of the job",
        "Renew the credentials of the job, and set the clock of this machine if that is what is wrong",
    ),
    stores.Trouble.REGION: ("region", "the bucket {bucket} lies in another region", "Set the region"),
    stores.Trouble.FAILED: (
        "failed",
        "the store, or the client, fails in another way",
        "Try it with the client's own tool",
    ),
}


@check(per="data.url")
def check_can_be_read(entry: Data) -> Iterator[Finding]:
    """The URL can be read from this machine, by the job's own means, and what comes looks like data.

    The first bytes are read, for `sha256:` the whole file: http and https as a browser would, everything else with the
    fsspec of the experiment's environment. Logins, tokens and signatures are never shown.

        remote.not-found        nothing is at the address
        remote.no-bucket        the bucket does not exist
        remote.unauthorized     the server wants a login that the job does not have
        remote.forbidden        the job may not read it
        remote.no-credentials   the client has no credentials
        remote.bad-credentials  the store does not accept the credentials, or they have expired
        remote.public           it can be read, but only without credentials
        remote.region           the bucket lies in another region
        remote.proxy            the proxy wants a login
        remote.certificate      the server's certificate is not trusted
        remote.redirect-loop    the server redirects in a circle
        remote.server-error     the server fails
        remote.busy             the server has too much to do now, or is being mended
        remote.failed           the server or the client fails in another way
        remote.no-network       this machine has no network
        remote.host-unknown     the host's name cannot be resolved
        remote.host-refused     the host refuses the connection
        remote.host-silent      the host does not answer in time
        remote.host-failed      the connection ends without an answer
        remote.cut-off          fewer bytes come than the server announces
        remote.web-page         a web page comes in place of the data
        remote.lfs-pointer      a Git LFS pointer comes in place of the data
        remote.empty            nothing is in the file, or no file is in the folder
        remote.count            fewer or more files than `files:` says
        remote.sha256           another checksum than `sha256:` says
    """
    findings = list(_judge(entry))
    yield from findings
    asked = [key for key in CONTENTS if getattr(entry, key) not in (None, "", (), {})]
    if asked and not findings:
        pytest.skip(f"{_shown(entry)} can be read, but {in_a_row(asked)} is looked at in local files only")


def _judge(entry: Data) -> Iterator[Finding]:
    if entry.url.startswith(("http://", "https://")):
        if entry.files:
            pytest.skip("a web server does not list its files, so that `files:` cannot be counted")
        yield from _judge_answer(entry, web.ask(entry.url, whole=bool(entry.sha256)))
        return
    try:
        yield from _judge_stored(entry, stores.look_at(entry.url, entry.files.glob if entry.files else ""))
        if entry.sha256:
            yield from _judge_digest(entry, stores.digest(entry.url))
    except Refused as refused:
        yield from _judge_refusal(entry, refused)


def _judge_answer(entry: Data, answer: Answer) -> Iterator[Finding]:
    """Say what is wrong with the answer of a web server."""
    if answer.trouble is web.Trouble.UNREACHED:
        yield _unreached(entry, answer.url)
    elif answer.trouble:
        name, cause = TROUBLES[answer.trouble]
        message = f"{_shown(entry)} cannot be read: {without_secrets(answer.error)}"
        yield _error(entry, name, message, cause=cause, fix="Try it by hand, and ask who runs the server")
    elif answer.status not in (200, 206):
        yield _refused(entry, answer)
    elif answer.is_cut_off:
        found, wanted = counted(answer.received, "byte"), counted(answer.announced or 0, "byte")
        message = f"{_shown(entry)} is cut off after {found}, {wanted} are announced"
        cause = "the server ends the connection early: the file there is truncated, or has a wrong length in its books"
        yield _error(entry, "cut-off", message, cause=cause, fix=FETCH_AGAIN, found=found, wanted=wanted)
    elif finding := _judge_start(entry, answer.start, entry.url, answer.headers.get("content-type", "")):
        yield finding
    elif entry.sha256:
        yield from _judge_digest(entry, answer.sha256)


def _refused(entry: Data, answer: Answer) -> Finding:
    status = answer.status
    cause, fix = f"the server answers {status}", "Wait, or ask who runs the server"
    if status in (429, 502, 503, 504):
        message = f"{_shown(entry)} cannot be read now: {status}"
        return _say(warning, entry, "busy", message, cause=cause, fix=fix)
    name, cause, fix = STATUSES.get(status, ("server-error" if status >= 500 else "failed", cause, fix))
    return _error(entry, name, f"{_shown(entry)} cannot be read: {status}", cause=cause, fix=fix)


def _judge_start(entry: Data, start: bytes, url: str, kind: str = "") -> Finding | None:
    """Say what is wrong with a file that starts so."""
    suffix = PurePosixPath(urlsplit(url).path).suffix.lower()
    if not start:
        return _error(entry, "empty", f"{_shown(entry)} is empty", cause="the file has no byte", fix=FETCH_AGAIN)
    if start.startswith(b"version https://git-lfs"):
        cause = "the address is that of the repository's text, not of the content that Git LFS keeps elsewhere"
        fix = "Take the address of the content (on GitHub under media.githubusercontent.com, on the hub `resolve`)"
        return _error(entry, "lfs-pointer", f"{_shown(entry)} is a Git LFS pointer", cause=cause, fix=fix)
    is_page = start.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html"))
    if is_page and suffix not in PAGES and (suffix or kind.startswith("text/html")):
        cause = "the server answers 200 with a page: a login, a notice, or the page about the file"
        fix = "Open the URL in a browser, and take the address of the file itself"
        return _error(entry, "web-page", f"{_shown(entry)} is a web page (HTML), not data", cause=cause, fix=fix)
    return None


def _judge_stored(entry: Data, stored: Stored) -> Iterator[Finding]:
    """Say what is wrong with what an object store shows."""
    least, most = (entry.files.min, entry.files.max) if entry.files else (None, None)
    empty = [name for name, size in stored.files.items() if not size]
    if stored.is_public:
        message = f"{_shown(entry)} can be read, but only anonymously"
        fix = 'Have the code read it with storage_options={"anon": True}, or give the job credentials'
        cause = "the client finds no credentials on this machine"
        yield _say(warning, entry, "public", message, cause=cause, fix=fix)
    if not stored.files and least != 0:
        cause = "the store has this folder, and no file in it" + (" that matches" if entry.files else "")
        yield _error(entry, "empty", f"{_shown(entry)} holds no file", cause=cause, fix="Correct the URL")
    elif (least is not None and len(stored.files) < least) or (most is not None and len(stored.files) > most):
        found, wanted = (
            f"{len(stored.files):,}",
            f"at least {least:,}" if most is None else f"{least or 0:,} to {most:,}",
        )
        message = f"{_shown(entry)} holds {counted(len(stored.files), 'file')}, wanted {wanted}"
        yield _error(entry, "count", message, found=found, wanted=wanted, fix="Bring the rest, or correct `files:`")
    elif empty and stored.is_folder:
        message = f"{_shown(entry)}: {in_a_row(empty)} {'is' if len(empty) == 1 else 'are'} empty"
        yield _say(warning, entry, "empty", message, cause="an upload was broken off", fix=FETCH_AGAIN)
    elif stored.files and (finding := _judge_start(entry, stored.start, next(iter(stored.files)))):
        yield finding


def _judge_refusal(entry: Data, refused: Refused) -> Iterator[Finding]:
    said = {"code": refused.code, "says": refused.words.replace(entry.url, _shown(entry))}
    if refused.trouble is stores.Trouble.NOT_INSTALLED:
        install = f" (python -m pip install {refused.code})" if refused.code else ""
        pytest.skip(f"{_shown(entry)} cannot be looked at: {refused.words}{install}")
    if refused.trouble is stores.Trouble.UNREACHED:
        yield _unreached(entry, refused.url or entry.url)
    elif refused.trouble is stores.Trouble.BUSY:
        message, fix = f"{_shown(entry)} cannot be read now: {refused.code}", "Wait and try again"
        yield _say(warning, entry, "busy", message, cause="the store has too much to do", fix=fix, evidence=said)
    else:
        name, cause, fix = REFUSALS[refused.trouble]
        bucket = urlsplit(_shown(entry)).netloc
        cause, fix = cause.format(bucket=bucket), fix.format(bucket=bucket)
        if refused.region:
            cause, fix = f"{cause}: {refused.region}", f"{fix}:\n    export AWS_DEFAULT_REGION={refused.region}"
        shown = f"{_shown(entry)} cannot be read: {refused.code or refused.trouble}"
        yield _error(entry, name, shown, cause=cause, fix=fix, evidence=said)


def _unreached(entry: Data, url: str) -> Finding:
    host, port = web.host_of(url)
    reached = network.reach(host, port, SECONDS_TO_CONNECT)
    why = explain_unreached(reached)
    message = f"{_shown(entry)} cannot be reached: {reached.error or why.name}"
    evidence = {"host": host, "addresses": list(reached.addresses), "proxy": reached.proxy}
    return _error(entry, why.name, message, cause=why.cause, fix=why.fix, evidence=evidence)


def _judge_digest(entry: Data, found: str) -> Iterator[Finding]:
    if found != entry.sha256.lower():
        message = f"{_shown(entry)} has another SHA-256 than the config says"
        cause = "the file was replaced or cut off since its checksum was written down"
        fix = "Correct the URL, or write down the new checksum if the change is meant"
        yield _error(entry, "sha256", message, found=found, wanted=entry.sha256, cause=cause, fix=fix)


def _shown(entry: Data) -> str:
    return without_secrets(entry.url)


def _error(entry: Data, name: str, message: str, **more: object) -> Finding:
    return _say(error, entry, name, message, **more)


def _say(say: Callable[..., Finding], entry: Data, name: str, message: str, **more: object) -> Finding:
    return say(message, id=f"remote.{name}", file=entry.at.file, line=entry.at.line, **more)
