"""URLs as a file may keep them: without credentials, and channels by the name that people know them by."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit, urlunsplit

# Channels that every client of conda's finds by their bare name.
_NAMED = frozenset({"bioconda", "conda-forge", "fastai", "huggingface", "nvidia", "pytorch", "rapidsai", "xformers"})


def without_credentials(url: str) -> str:
    """Return a URL without user, password, token and query; its fragment stays.

    The user of a URL of ssh's (`git@`) is an account that everybody shares, and stays where no password goes with it.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        return re.sub(r"^[^/@]+:[^/@]*@", "", url)
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    is_account = scheme.rpartition("+")[2] == "ssh" and ":" not in login and "%3a" not in login.lower()
    path = re.sub(r"/t/[^/]+(?=/|$)", "", parts.path)
    return urlunsplit((parts.scheme, parts.netloc if is_account else host, path, "", _harmless(parts.fragment)))


def with_variables(url: str) -> str:
    """Return a channel's URL with `${NAME}` where it names an environment variable, and no credentials in clear."""
    braced = re.sub(r"\$(\w+)", r"${\1}", url)
    parts = urlsplit(braced)
    login, separator, host = parts.netloc.rpartition("@")
    if not re.fullmatch(r"\$\{\w+\}(:\$\{\w+\})?", login):
        login, separator = "", ""
    path = re.sub(r"/t/(?!\$\{\w+\}(?:/|$))[^/]+(?=/|$)", "", parts.path)
    return urlunsplit((parts.scheme, f"{login}{separator}{host}", path, "", "")) if parts.scheme else braced


def variables(url: str) -> list[str]:
    """Return the environment variables that a channel's URL names."""
    return sorted(set(re.findall(r"\$\{(\w+)\}", url)))


def _harmless(fragment: str) -> str:
    """Return those parts of a fragment that say how to install (`subdirectory=`, `egg=`)."""
    return "&".join(part for part in fragment.split("&") if part.startswith(("subdirectory=", "egg=")))


def channel_of(url: str) -> str:
    """Return the channel of a conda package by the URL of its file, empty where that is no URL."""
    parts = urlsplit(without_credentials(url))
    channel = parts.path.rpartition("/")[0].rpartition("/")[0]
    if not parts.scheme or not channel.strip("/"):
        return ""
    name = channel.strip("/")
    if (parts.hostname or "").startswith("conda.") and name in _NAMED:
        return name
    return urlunsplit((parts.scheme, parts.netloc, channel, "", ""))


def file_name(url: str) -> str:
    """Return the name of the file that a URL leads to."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def build_of(url: str) -> str:
    """Return the build in the name of a conda package's file: `py_0` of `six-1.17.0-py_0.conda`."""
    stem = file_name(url).removesuffix(".conda").removesuffix(".tar.bz2")
    return stem.rpartition("-")[2] if stem.count("-") > 1 else ""
