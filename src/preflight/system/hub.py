"""The Hugging Face hub as its clients see it: what is cached here, and what the hub says of the rest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from preflight.system import web

_YES = {"1", "true", "yes", "on"}
_KINDS = ("models", "datasets")
# A file that is in every repository: whether it may be fetched tells whether any may.
_EVERYWHERE = ".gitattributes"
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """What the caches of this machine have of a repository.

    `folder` is the snapshot that has the most of it, else the cache that clients write to; `missing` are the files that
    are not there (`*` where not one is), `unfinished` counts downloads that were broken off.
    """

    folder: Path
    missing: tuple[str, ...] = ()
    unfinished: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the hub says of one file, or of the repository where `file` is empty."""

    kind: str
    file: str
    answer: web.Answer

    @property
    def code(self) -> str:
        """The hub's own word for an error: `GatedRepo`, `RepoNotFound`, `EntryNotFound`."""
        return self.answer.headers.get("x-error-code", "")

    @property
    def is_there(self) -> bool:
        """Whether the hub would hand it out; content may lie on another host, to which it then redirects."""
        return 200 <= self.answer.status < 400


def endpoint() -> str:
    """Return the address of the hub."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def offline_variable() -> str:
    """Return the variable that tells the clients not to ask the hub, empty where none does."""
    variables = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
    return next((name for name in variables if os.environ.get(name, "").lower() in _YES), "")


def has_token() -> bool:
    """Tell whether the clients would send a token."""
    return bool(_token())


def caches() -> list[Path]:
    """Return the folders where the clients keep what they have downloaded, the one that they write to first."""
    variables = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE")
    named = [_expanded(os.environ[name]) for name in variables if os.environ.get(name)]
    return list(dict.fromkeys([*named, _home() / "hub"]))


def look_into_caches(name: str, files: Sequence[str]) -> Cached:
    """Return what is cached of the repository `name`: of `files`, or of anything where none are listed."""
    folders = caches()
    if _is_prepared(name):
        return Cached(folder=_datasets())
    repositories = [folder / f"{kind}--{name.replace('/', '--')}" for folder in folders for kind in _KINDS]
    unfinished = sum(each.suffix == ".incomplete" for repository in repositories for each in repository.glob("blobs/*"))
    found = [(_missing(snapshot, files), snapshot) for each in repositories for snapshot in each.glob("snapshots/*")]
    nothing = (tuple(files) or ("*",), folders[0])
    missing, folder = min([*found, nothing], key=lambda each: (len(each[0]), "*" in each[0]))
    return Cached(folder=folder, missing=missing, unfinished=unfinished)


def look_at_hub(name: str, files: Sequence[str]) -> list[Held]:
    """Ask the hub for the repository `name`, a model or else a dataset, and for each of `files`, with the job's token.

    Where an answer is no success it is the last. Files themselves are not fetched.
    """
    answers: list[Held] = []
    for kind in _KINDS:
        answers = list(_until_refused(_questions(kind, name, files)))
        last = answers[-1]
        if last.answer.status not in (401, 404) or last.code in ("GatedRepo", "EntryNotFound"):
            break
    return answers


def _questions(kind: str, name: str, files: Sequence[str]) -> Iterator[Held]:
    """Ask one after the other: for each file, or for the repository and then for the right to fetch from it."""
    top = f"{endpoint()}/{'datasets/' if kind == 'datasets' else ''}{quote(name)}/resolve/main"
    for file in files:
        yield Held(kind=kind, file=file, answer=web.ask(f"{top}/{quote(file)}", method="HEAD", headers=_headers()))
    if not files:
        url = f"{endpoint()}/api/{kind}/{quote(name)}"
        yield Held(kind=kind, file="", answer=web.ask(url, headers=_headers()))
        gate = web.ask(f"{top}/{_EVERYWHERE}", method="HEAD", headers=_headers())
        if gate.status in (401, 403):
            yield Held(kind=kind, file="", answer=gate)


def _until_refused(answers: Iterable[Held]) -> Iterator[Held]:
    for held in answers:
        yield held
        if not held.is_there:
            return


def _missing(snapshot: Path, files: Sequence[str]) -> tuple[str, ...]:
    """Return which of `files` a snapshot lacks; where none are listed, which of those that it links to or needs."""
    present = [each for each in snapshot.rglob("*") if each.is_file() or each.is_symlink()]
    if not present:
        return tuple(files) or ("*",)
    wanted = {snapshot / name for name in files} or {*present, *(snapshot / name for name in _shards(snapshot))}
    return tuple(sorted(str(each.relative_to(snapshot)) for each in wanted if not each.is_file()))


def _shards(snapshot: Path) -> set[str]:
    """Return the files that the index of a model in parts names."""
    for name in _INDEXES:
        with suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
            return set(json.loads((snapshot / name).read_text(encoding="utf-8"))["weight_map"].values())
    return set()


def _is_prepared(name: str) -> bool:
    """Tell whether the `datasets` library has a dataset of this name ready, which it then loads without the hub."""
    folder = name.replace("/", "___")
    return any((_datasets() / each).is_dir() for each in {folder, folder.lower()})


def _datasets() -> Path:
    return _expanded(os.environ.get("HF_DATASETS_CACHE") or str(_home() / "datasets"))


def _home() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return _expanded(os.environ.get("HF_HOME") or os.path.join(cache, "huggingface"))


def _headers() -> dict[str, str]:
    token = _token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _token() -> str:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return token
    with suppress(OSError, UnicodeDecodeError):
        file = os.environ.get("HF_TOKEN_PATH") or str(_home() / "token")
        return _expanded(file).read_text(encoding="utf-8").strip()
    return ""


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(os.path.expanduser(path)))
