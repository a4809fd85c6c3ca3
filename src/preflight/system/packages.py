"""The distributions that are installed: what each requires, which one a module belongs to, and what does not fit."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from preflight.system.origins import STRAY, SearchPath, Source

_INFO = (".dist-info", ".egg-info")
# Import names whose distribution has another name, where no metadata is there to ask.
_DISTRIBUTIONS = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "distutils": "setuptools",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "PyMuPDF",
    "git": "GitPython",
    "google.protobuf": "protobuf",
    "hydra": "hydra-core",
    "igraph": "python-igraph",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "Levenshtein": "python-Levenshtein",
    "magic": "python-magic",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyOpenSSL",
    "PIL": "Pillow",
    "pkg_resources": "setuptools<81",
    "pynvml": "nvidia-ml-py",
    "ruamel": "ruamel.yaml",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "skopt": "scikit-optimize",
    "slugify": "python-slugify",
    "umap": "umap-learn",
    "usb": "pyusb",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}


@dataclass(frozen=True)
class Distribution:
    """One installed distribution, by its metadata folder; `name` and `version` are empty where the metadata is lost."""

    name: str
    version: str
    requires: tuple[str, ...]
    info: Path

    @property
    def key(self) -> str:
        """The name as all spellings of it compare equal; of a broken one, as its folder has it."""
        return canonicalize_name(self.name or self.info.name.partition("-")[0])

    @property
    def folder(self) -> str:
        """The folder that its modules lie in."""
        return str(self.info.parent)

    @cached_property
    def record(self) -> str:
        """The text that lists what was installed, empty where none was kept."""
        return _text(self.info / "RECORD") or _text(self.info / "installed-files.txt")

    @cached_property
    def installer(self) -> str:
        """The program that installed it, empty where none says."""
        return _text(self.info / "INSTALLER").strip()

    @cached_property
    def direct_url(self) -> Mapping[str, Any]:
        """What it was installed from where that was no index (PEP 610), empty where none was kept."""
        try:
            kept = json.loads(_text(self.info / "direct_url.json"))
        except ValueError:
            return {}
        return kept if isinstance(kept, dict) and isinstance(kept.get("url"), str) else {}

    @cached_property
    def source_tree(self) -> str:
        """The folder that it was installed from, where that was a local one."""
        url = urlsplit(self.direct_url.get("url", ""))
        return unquote(url.path) if url.scheme == "file" else ""

    def lacks_modules_of(self, other: Distribution) -> bool:
        """Say whether none of the modules that `other` records is in the folder of this one."""
        names = {line.partition("/")[0].partition(",")[0].strip('"') for line in other.record.splitlines()}
        tops = {name for name in names if name not in ("..", "") and not name.endswith(_INFO)}
        return bool(tops) and not any(os.path.exists(os.path.join(self.folder, name)) for name in tops)

    def owns(self, file: str) -> bool:
        """Say whether `file` belongs to it, by its record, by the folder it was installed from, or by its name."""
        if self.source_tree and file.startswith(self.source_tree + os.sep):
            return True
        within = os.path.relpath(file, self.folder)
        if within.startswith(os.pardir):
            return False
        if self.record:
            lines = f"\n{self.record}\n"
            return any(line in lines for line in (f"\n{within},", f'\n"{within}",', f"\n../{within}\n"))
        return canonicalize_name(within.split(os.sep)[0].partition(".")[0]) == self.key


class Installed:
    """The distributions in some folders, in the order in which Python would find them."""

    def __init__(self, distributions: Sequence[Distribution]) -> None:
        self.all = tuple(distributions)
        self._by_key: dict[str, Distribution] = {}
        for distribution in self.all:
            self._by_key.setdefault(distribution.key, distribution)

    @classmethod
    def in_folders(cls, folders: Iterable[str]) -> Installed:
        """Read the metadata of all that is installed in `folders`; nothing of it is run."""
        unique = dict.fromkeys(os.path.realpath(folder) for folder in folders)
        return cls([_read(info) for folder in unique for info in _infos(folder)])

    def __iter__(self) -> Iterator[Distribution]:
        return iter(self._by_key.values())

    def get(self, name: str) -> Distribution | None:
        """Return the distribution of that name, however it is spelled."""
        return self._by_key.get(canonicalize_name(name))

    def owner(self, file: str) -> Distribution | None:
        """Return the distribution that `file` belongs to."""
        if not file:
            return None
        names = (os.path.basename(file).partition(".")[0], os.path.basename(os.path.dirname(file)))
        likely = [found for name in names if (found := self.get(distribution_name(name)))]
        return next((each for each in (*likely, *self.all) if each.owns(file)), None)

    def installer(self) -> str:
        """Return the program that installed most of them (`pip`, `uv`, `conda`), `pip` where none says."""
        tools = Counter(each.installer for each in self.all)
        del tools[""]
        return tools.most_common(1)[0][0] if tools else "pip"

    def records(self, key: str) -> list[Distribution]:
        """Return every distribution of that key, the ones that are not found first too."""
        return [each for each in self.all if each.key == key]

    def rivals(self, path: SearchPath) -> list[list[Distribution]]:
        """Return the groups of records of one name of which only one can be true, the one found first at the front.

        They lie in one folder, or one of them lies in a stray folder that has none of its modules.
        """
        groups = defaultdict(list)
        for each in self.all:
            groups[each.key].append(each)
        stray = {os.path.realpath(folder) for folder in path.folders_of(Source.PROJECT, *STRAY)}
        found = []
        for group in groups.values():
            true = [each for each in group if each.folder not in stray]
            empty = [each for each in group if each.folder in stray and any(each.lacks_modules_of(it) for it in true)]
            found += [[*empty, true[0]]] if empty else []
            found += [twins for twins in _by_folder(group) if len(twins) > 1]
        return found


def _by_folder(distributions: Iterable[Distribution]) -> list[list[Distribution]]:
    groups = defaultdict(list)
    for each in distributions:
        groups[each.folder].append(each)
    return list(groups.values())


def leftovers(folders: Iterable[str]) -> list[Path]:
    """Return what pip left in `folders` of packages that it began to remove: their names begin with a tilde."""
    return [Path(folder, name) for folder in dict.fromkeys(folders) for name in _names(folder) if name[0] == "~"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet:
    """A requirement that is not met: `version` is what is installed instead, empty where nothing is."""

    by: Distribution
    requirement: Requirement
    version: str = ""


def unmet_requirements(installed: Installed) -> list[Unmet]:
    """Return what the installed distributions require and do not have, of the extras those that somebody requires."""
    extras = _wanted_extras(installed)
    unmet = []
    for distribution in installed:
        for requirement in active_requirements(distribution, extras[distribution.key]):
            other = installed.get(requirement.name)
            if other is None:
                unmet.append(Unmet(by=distribution, requirement=requirement))
            elif other.version and not satisfies(other.version, requirement):
                unmet.append(Unmet(by=distribution, requirement=requirement, version=other.version))
    return unmet


def active_requirements(
    distribution: Distribution, extras: Iterable[str] = (), markers: Mapping[str, str] | None = None
) -> Iterator[Requirement]:
    """Yield the requirements that hold here, with `extras`; unreadable ones are passed over.

    `markers` are the values of another interpreter than this one.
    """
    environments = [{**(markers or {}), "extra": extra} for extra in ("", *extras)]
    for line in distribution.requires:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or any(requirement.marker.evaluate(each) for each in environments):
            yield requirement


def satisfies(version: str, requirement: Requirement) -> bool:
    """Say whether an installed version will do, a pre-release too; one that cannot be compared will."""
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def closure(installed: Installed, names: Iterable[str]) -> set[str]:
    """Return the keys of the distributions `names` and of all that they require, directly or not."""
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            distribution = installed.get(key)
            waiting += (
                [canonicalize_name(each.name) for each in active_requirements(distribution)] if distribution else []
            )
    return found


def owner_of(file: str, path: SearchPath) -> Distribution | None:
    """Return the distribution that gave `file`, looked for in its own folder and then in all others."""
    near = [folder for folder in [path.of_file(file)[0]] if folder]
    return Installed.in_folders([*near, *path.installations]).owner(file)


def is_project(distribution: Distribution, root: Path) -> bool:
    """Say whether a distribution was made from the project in `root`."""
    from tomllib import TOMLDecodeError, loads

    if distribution.source_tree and os.path.realpath(distribution.source_tree) == os.path.realpath(root):
        return True
    try:
        name = loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    except (OSError, UnicodeDecodeError, TOMLDecodeError, KeyError, TypeError):
        return False
    return canonicalize_name(str(name)) == distribution.key


def distribution_name(module: str) -> str:
    """Return the requirement that installs `module`, as far as its name tells."""
    top = module.partition(".")[0]
    return _DISTRIBUTIONS.get(module) or _DISTRIBUTIONS.get(top) or top.replace("_", "-")


def install_command(requirements: Sequence[str], installer: str, prefix: str = sys.prefix, python: str = "") -> str:
    """Return the command that installs `requirements` into an environment, by default that of this interpreter."""
    import shlex
    import shutil

    python = python or sys.executable
    if installer == "uv" and shutil.which("uv"):
        command = ["uv", "pip", "install", "--python", python]
    elif installer == "conda" and shutil.which("conda"):
        command = ["conda", "install", "--prefix", prefix, "--channel", "conda-forge"]
    else:
        command = [python, "-m", "pip", "install"]
    return shlex.join([*command, *requirements])


def _wanted_extras(installed: Installed) -> dict[str, set[str]]:
    extras: dict[str, set[str]] = defaultdict(set)
    waiting = list(installed)
    while waiting:
        distribution = waiting.pop()
        for requirement in active_requirements(distribution, extras[distribution.key]):
            other = installed.get(requirement.name)
            if other and not requirement.extras <= extras[other.key]:
                extras[other.key] |= requirement.extras
                waiting.append(other)
    return extras


def _infos(folder: str) -> list[Path]:
    return [Path(folder, name) for name in _names(folder) if name.endswith(_INFO) and not name.startswith("~")]


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _read(info: Path) -> Distribution:
    text = _text(info / "METADATA") or _text(info / "PKG-INFO") or _text(info)
    fields: dict[str, list[str]] = defaultdict(list)
    # Not by the email package: it takes longer than all else here, and these three fields are never folded.
    for line in text.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(": ")
        fields[name].append(value.strip())
    requires = fields["Requires-Dist"] or _egg_requires(_text(info / "requires.txt"))
    name, version = (next(iter(fields[key]), "") for key in ("Name", "Version"))
    return Distribution(name, version, tuple(requires), info)


def _egg_requires(text: str) -> list[str]:
    plain = re.split(r"^\[", text, maxsplit=1, flags=re.MULTILINE)[0]
    return [line for line in plain.splitlines() if line.strip()]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
