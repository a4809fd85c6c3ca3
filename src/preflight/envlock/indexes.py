"""Which indexes the user's pip goes by: its configuration files, its environment variables, its default."""

from __future__ import annotations

import configparser
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from preflight.envlock.environment import Environment

_DEFAULT = re.compile(r'PyPI = PackageIndex\(\s*"([^"]+)"')
_MODULE = "pip/_internal/models/index.py"


def indexes(environment: Environment) -> list[str]:
    """Return the URLs of the simple indexes that pip asks, credentials included, in its order."""
    settings = _settings(environment)
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        return []
    first = settings.get("index-url") or _default_index(environment)
    more = (settings.get("extra-index-url") or "").split()
    return [url.rstrip("/") for url in dict.fromkeys([first, *more]) if url.startswith(("http://", "https://"))]


def certificates(environment: Environment) -> str:
    """Return the file of certificates that pip trusts, empty for the system's."""
    return _settings(environment).get("cert", "")


def _settings(environment: Environment) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in _files(environment):
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue
        for section in ("global", "install"):
            found |= dict(parser.items(section)) if parser.has_section(section) else {}
    variables = {name[4:].lower().replace("_", "-"): value for name, value in os.environ.items() if name[:4] == "PIP_"}
    return {**found, **{name: value for name, value in variables.items() if value}}


def _files(environment: Environment) -> Iterator[Path]:
    """Yield pip's configuration files, the weakest first."""
    chosen = os.environ.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:
        return
    home = Path(os.path.expanduser("~"))
    for folder in (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep):
        yield Path(folder, "pip", "pip.conf")
    yield Path("/etc/pip.conf")
    yield Path("/Library/Application Support/pip/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield home / "Library" / "Application Support" / "pip" / "pip.conf"
    yield Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")
    yield environment.prefix / "pip.conf"
    if chosen:
        yield Path(chosen)


def _default_index(environment: Environment) -> str:
    """Return the index that pip asks where nobody says another, as its own source names it."""
    for folder in environment.site_packages:
        try:
            return _named((Path(folder) / _MODULE).read_text(encoding="utf-8"))
        except OSError:
            continue
    try:
        import ensurepip

        [bundled, *_] = Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")
        with zipfile.ZipFile(bundled) as archive:
            return _named(archive.read(_MODULE).decode())
    except (ImportError, OSError, ValueError, KeyError, zipfile.BadZipFile):
        return ""


def _named(source: str) -> str:
    found = _DEFAULT.search(source)
    return f"{found[1].rstrip('/')}/simple" if found else ""
