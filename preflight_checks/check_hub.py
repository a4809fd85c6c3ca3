"""Hub: models and datasets of the Hugging Face hub are cached here, or the hub hands them out.

See it by hand:

    ls "${HF_HOME:-$HOME/.cache/huggingface}/hub"
    hf auth whoami
    curl -sI https://huggingface.co
    env | grep -E '^HF_'

Mend it:

    Download it on a machine that has a network, accept its terms where it is gated, or correct its name.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from preflight import Finding, check, error, warning
from preflight.causes.network import explain_unreached
from preflight.config import Data
from preflight.phrases import in_a_row, without_secrets
from preflight.system import hub, network, web
from preflight.system.hub import Cached, Held
from preflight.system.web import Trouble

SECONDS_TO_CONNECT = 5.0
LOGIN = "set HF_TOKEN for the job, or log in:\n    hf auth login"


@check(per="data.hub")
def check_can_be_loaded(entry: Data, root: Path) -> Iterator[Finding]:
    """The model or dataset is in the cache, or the Hugging Face hub hands it out to this job.

    A folder of that name counts before the hub, as it does for the clients. The hub is asked only for what no cache of
    this machine has, with the job's token; nothing is downloaded.

        hub.folder          a folder hides the hub's repository of the same name, or lacks files
        hub.missing-folder  the name is a path, and nothing is there
        hub.offline         files are not in the cache, and the job is told not to ask the hub
        hub.no-network      files are not in the cache, and this machine has no network
        hub.host-unknown    files are not in the cache, and the hub's name cannot be resolved
        hub.host-refused    files are not in the cache, and the hub's host refuses the connection
        hub.host-silent     files are not in the cache, and the hub does not answer in time
        hub.host-failed     files are not in the cache, and the connection to the hub fails in another way
        hub.gated           the repository is only for users who were granted access
        hub.not-found       the hub has no such repository, or hides it from this job
        hub.no-file         the repository has no such file
        hub.refused         the hub refuses in another way
        hub.busy            the hub has too much to do now, or is being mended
    """
    folder = root / entry.hub
    if folder.is_dir():
        yield from _judge_folder(entry, folder)
    elif entry.hub.startswith((".", "/", "~")) or entry.hub.count("/") > 1:
        cause = f"{entry.hub} is a path, and there is no folder {folder}"
        fix = "Bring the model there, or name a repository as owner/name"
        yield _error(entry, "missing-folder", f"{entry.hub} is not there", cause=cause, fix=fix)
    else:
        cached = hub.look_into_caches(entry.hub, entry.hub_files)
        if cached.missing and (variable := hub.offline_variable()):
            cause = f"{variable}={os.environ[variable]} tells the job not to ask the hub, and {_not_cached(cached)}"
            yield _error(entry, "offline", _absent(entry, cached), cause=cause, fix=_download(entry, variable))
        elif cached.missing:
            yield from _judge_hub(entry, cached)


def _judge_folder(entry: Data, folder: Path) -> Iterator[Finding]:
    """Judge a folder that stands where the repository's name points: the clients take it for a local copy."""
    missing = [name for name in entry.hub_files if not (folder / name).exists()]
    if missing or not any(each.is_file() for each in folder.rglob("*")):
        what = f"has no {in_a_row(missing)}" if missing else "holds no file"
        cause = f"the clients take a folder of this name for the model or dataset, and {folder} {what}"
        fix = f"Bring the files there, or move the folder away so that the hub's {entry.hub} is meant"
        yield _error(entry, "folder", f"the folder {entry.hub} {what}", cause=cause, fix=fix)


def _judge_hub(entry: Data, cached: Cached) -> Iterator[Finding]:
    held = hub.look_at_hub(entry.hub, cached.missing if entry.hub_files else ())[-1]
    host, port = web.host_of(hub.endpoint())
    if held.answer.status in range(300, 400):
        host, port = web.host_of(held.answer.headers.get("location", ""))
        reached = network.reach(host, port, SECONDS_TO_CONNECT)
        if reached.outcome is not network.Outcome.CONNECTED:
            yield _unreached(entry, cached, reached, host)
    elif held.answer.trouble is Trouble.UNREACHED:
        yield _unreached(entry, cached, network.reach(host, port, SECONDS_TO_CONNECT), host)
    elif held.answer.trouble:
        message = f"{_absent(entry, cached)}, and the hub cannot be asked: {held.answer.error}"
        cause = f"{without_secrets(hub.endpoint())} gives no answer that a client can use, and {_not_cached(cached)}"
        name = "host-silent" if held.answer.trouble is Trouble.SILENT else "host-failed"
        yield _error(entry, name, message, cause=cause, fix=_download(entry))
    elif not held.is_there:
        yield _refused(entry, held)


def _unreached(entry: Data, cached: Cached, reached: network.Reached, host: str) -> Finding:
    why = explain_unreached(reached)
    message = f"{_absent(entry, cached)}, and {host} cannot be reached: {reached.error or reached.outcome}"
    evidence = {
        "cache": str(cached.folder),
        "missing": list(cached.missing),
        "endpoint": without_secrets(hub.endpoint()),
    }
    cause = f"{why.cause}, and {_not_cached(cached)}"
    return _error(entry, why.name, message, cause=cause, fix=_download(entry), evidence=evidence)


def _refused(entry: Data, held: Held) -> Finding:
    """Say what the hub's refusal means for this job."""
    status, code = held.answer.status, held.code
    who = "the token that the job has" if hub.has_token() else "a job without a token (HF_TOKEN)"
    said = f"the hub answers {status}{f' ({code})' if code else ''} to {who}"
    page = f"{without_secrets(hub.endpoint())}/{'datasets/' if held.kind == 'datasets' else ''}{entry.hub}"
    if code == "GatedRepo" or (status == 403 and not code):
        message = f"{entry.hub} is gated: access to it is not granted"
        return _error(entry, "gated", message, cause=said, fix=f"Ask for access at {page}, then {LOGIN}")
    if code == "EntryNotFound" or (status == 404 and held.file and code != "RepoNotFound"):
        return _error(entry, "no-file", f"{entry.hub} has no file {held.file}", cause=said, fix="Correct `files:`")
    if status in (401, 404):
        message = f"{entry.hub} is not on the hub, or hidden from this job (401 unauthorized and 404 look alike there)"
        return _error(entry, "not-found", message, cause=said, fix=f"Correct the name; if it is private, {LOGIN}")
    fix = "Wait and try again, or download it beforehand"
    if status in (429, 502, 503, 504):
        message = f"the hub cannot answer for {entry.hub} now: {status}"
        return warning(message, id="hub.busy", cause=said, fix=fix, file=entry.at.file, line=entry.at.line)
    return _error(entry, "refused", f"the hub refuses {entry.hub}: {status}", cause=said, fix=fix)


def _absent(entry: Data, cached: Cached) -> str:
    if "*" in cached.missing:
        return f"{entry.hub} is not in the cache"
    return f"{in_a_row(cached.missing)} of {entry.hub} {'are' if len(cached.missing) > 1 else 'is'} not in the cache"


def _not_cached(cached: Cached) -> str:
    broken = ", where a download was broken off" if cached.unfinished else ""
    return f"{cached.folder} does not have it{broken}"


def _download(entry: Data, variable: str = "HF_HUB_OFFLINE") -> str:
    """Return how to get the files onto a machine without network."""
    where = "a login node, say" if not os.environ.get("HTTPS_PROXY") else "or with another proxy"
    client = "hf" if shutil.which("hf", path=os.path.dirname(sys.executable)) else "huggingface-cli"
    command = " ".join([client, "download", quote(entry.hub), *map(quote, entry.hub_files)])
    return (
        f"Download it where there is a network ({where}), into a cache that this machine sees, then run offline; "
        f"or set HTTPS_PROXY; or give the path of a local copy:\n    {command}\n    export {variable}=1"
    )


def _error(entry: Data, name: str, message: str, **more: object) -> Finding:
    return error(message, id=f"hub.{name}", file=entry.at.file, line=entry.at.line, **more)
