"""Back to the lock: conda's packages by py-rattler, pip's by the environment's own pip, or by uv."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from preflight.envlock.drift import drift
from preflight.envlock.environment import Environment
from preflight.envlock.inventory import Inventory
from preflight.envlock.lock import read_lock
from preflight.envlock.model import Change, Package
from preflight.envlock.pylock import read_pylock
from preflight.envlock.wording import lines
from preflight.errors import UserError

_OURS = ("conda-lock.yml", "pylock.toml")


def restore(lock: Path, environment: Environment, root: Path) -> list[str]:
    """Install what the lock says and remove what it does not name; return a line for each change.

    What no lock can hold is left alone. Raises UserError where the lock is another tool's, where a package is not the
    one that was locked, and where what installs is missing or fails.
    """
    if lock.name not in _OURS:
        raise UserError(f"{lock.name} is another tool's", where=str(lock), fix="Let the tool that wrote it install it")
    inventory = Inventory.of(environment)
    locked = _locked(lock, inventory)
    before = _to_undo(lock, inventory, root, locked)
    if any(change.manager == "conda" for change in before):
        _restore_conda([package for package in locked.values() if package.manager == "conda"], inventory)
        # What a new Python brings is not known of the environment as it was.
        environment = Environment(environment.prefix, environment.why)
        inventory = Inventory.of(environment)
    pip = [change for change in _to_undo(lock, inventory, root, locked) if change.manager == "pip"]
    if pip:
        _restore_pip(pip, locked, environment)
    return lines(before, len(before))


def _locked(lock: Path, inventory: Inventory) -> dict[tuple[str, str], Package]:
    packages = read_pylock(lock)[0] if lock.suffix == ".toml" else read_lock(lock).packages(inventory.platform)
    return {(each.manager, each.name): each for each in packages}


def _to_undo(lock: Path, inventory: Inventory, root: Path, locked: Mapping[tuple[str, str], Package]) -> list[Change]:
    """Return what differs, without what could not be locked: that cannot be installed either."""
    changes = drift(lock, inventory, root).changes
    return [change for change in changes if change.before is None or (change.manager, change.name) in locked]


def _restore_conda(packages: Sequence[Package], inventory: Inventory) -> None:
    prefix = inventory.environment.prefix
    try:
        import rattler
    except ImportError:
        command = f"conda-lock install --prefix {prefix} conda-lock.yml"
        fix = f"Install it, or let conda-lock do it:\n    python -m pip install py-rattler\n    {command}"
        raise UserError("py-rattler, which installs conda's packages, is not installed", fix=fix) from None
    import asyncio

    for package in packages:
        _refuse_tampered(package)
    there = {package.name: package for package in inventory.conda}
    again = {each.name for each in packages if each.name in there and there[each.name].sha256 != each.sha256}
    records = [_record(rattler, package, inventory.platform) for package in packages]
    try:
        asyncio.run(rattler.install(records, prefix, reinstall_packages=again, show_progress=False))
    except Exception as problem:  # noqa: BLE001 - whatever rattler raises, its text is what there is to say
        raise UserError(
            f"conda's packages cannot be installed: {_first_line(str(problem))}", where=str(prefix)
        ) from None


def _refuse_tampered(package: Package) -> None:
    """Refuse a local file that is not the one that was locked: nobody else looks."""
    parts = urlsplit(package.url)
    if parts.scheme == "file":
        try:
            data = Path(unquote(parts.path)).read_bytes()
        except OSError as problem:
            raise UserError(f"{package.name} cannot be read: {problem.strerror}", where=package.url) from None
        if package.sha256 and hashlib.sha256(data).hexdigest() != package.sha256:
            raise UserError(f"the file of {package.name} {package.version} is not the locked one", where=package.url)


def _record(rattler: Any, package: Package, platform: str) -> Any:
    folder, _, name = urlsplit(package.url).path.rpartition("/")
    subdir = folder.rpartition("/")[2] or platform
    number = re.search(r"_(\d+)$", package.build)
    record = rattler.PackageRecord(
        package.name,
        rattler.VersionWithSource(package.version),
        rattler.package.BuildString(package.build),
        int(number[1]) if number else 0,
        subdir,
        noarch="python" if subdir == "noarch" and "python" in package.dependencies else None,
        depends=[f"{name} {version}".strip() for name, version in package.dependencies.items()],
        md5=bytes.fromhex(package.md5),
        sha256=bytes.fromhex(package.sha256) if package.sha256 else None,
    )
    return rattler.RepoDataRecord(record, unquote(name), package.url, package.url.rpartition("/")[0].rpartition("/")[0])


def _restore_pip(
    changes: Sequence[Change], locked: Mapping[tuple[str, str], Package], environment: Environment
) -> None:
    wanted = [locked["pip", change.name] for change in changes if change.kind != "extra"]
    gone = [change.name for change in changes if change.kind == "extra"]
    if gone:
        _run(_command(environment, "uninstall", *gone))
    if not wanted:
        return
    with tempfile.TemporaryDirectory(prefix="preflight-") as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text("".join(f"{_line(package)}\n" for package in wanted), encoding="utf-8")
        _run(_command(environment, "install", "--no-deps", "-r", str(requirements)))


def _command(environment: Environment, verb: str, *words: str) -> list[str]:
    """Return the command of the environment's own pip, or of uv where it has none."""
    if any((Path(folder) / "pip").is_dir() for folder in environment.site_packages):
        more = {"install": ["--force-reinstall", "--no-input"], "uninstall": ["--yes"]}[verb]
        return [environment.python, "-m", "pip", "--disable-pip-version-check", verb, *more, *words]
    uv = shutil.which("uv")
    if uv is None:
        raise UserError(f"{environment.told} has no pip, and there is no uv", fix="python -m pip install uv")
    more = ["--reinstall"] if verb == "install" else []
    return [uv, "pip", verb, "--python", environment.python, *more, *words]


def _line(package: Package) -> str:
    digest = f"#sha256={package.sha256}" if package.sha256 else ""
    return f"{package.name} @ {package.url}{digest}"


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.upper().startswith("ERROR")]
        raise UserError(f"pip fails: {_first_line(chr(10).join(errors) or done.stderr)}", where=command[0])


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no word of why")[:300]
