"""Contents: the files hold what their names promise, to the last byte, and tables hold what the experiment takes.

See it by hand:

    file PATH
    ls -l PATH
    head -c 200 PATH | xxd
    tail -c 64 PATH | xxd

Mend it:

    Fetch or write the file again from its source; copy to a new name and rename it once it is whole.
"""

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

from preflight import Finding, check, error, info, warning
from preflight.config import Config, Data, Files
from preflight.phrases import counted, in_a_row, shown
from preflight.system import archives, decoding, files, formats, pickles, programs, reading, structure
from preflight.system.code import Source
from preflight.system.structure import Flaw
from preflight.system.watched import NoAnswer, at, watched

# A file that Pillow loads all the same is no finding; so many are tried.
MOST_TRIED = 200
# Seconds for what is told by reading it to its end alone, over all files of an entry.
PATIENCE = 3.0
ARCHIVES = {".zip", ".npz"}
READ_TO_THE_END = {".gz", ".tgz", *ARCHIVES}
CHECKPOINTS = {".pt", ".pth", ".ckpt", ".bin"}
# What is wrong with files: what is said of the first, why, and what to do. `{first}` is that file.
FLAWS = {
    "truncated": (
        "is truncated: {seen} ({format})",
        "a download or a copy was broken off, or the disk was full",
        "Fetch it again, or remove it:\n    rm {first}",
    ),
    "damaged": (
        "is damaged: {seen} ({format})",
        "it was written by two at once, converted as text, or is no {format}",
        "Fetch it again",
    ),
    "stub": (
        "holds {seen} in place of a {format}",
        "it was written to stand for a file that comes later, or by mistake",
        "Fetch the file itself",
    ),
    "zeros": (
        "holds zero bytes in place of a {format}",
        "the machine or the disk stopped before its content was written: only its size was",
        "Fetch it again",
    ),
    "wrong-format": (
        "is no {format}: it is {seen}",
        "it was renamed, decompressed on the way, or saved by something else",
        "Look what it is, then fetch it again or correct its name:\n    head -c 64 {first} | od -c",
    ),
    "other-suffix": (
        "is a {seen} under the suffix of a {format}",
        "it was renamed; readers that look at the first bytes do not mind",
        "Rename it, unless all readers look at the first bytes",
    ),
    "bomb": (
        "would become {seen} when it is unpacked",
        "it holds little but repetition, as an archive does that is made to fill a disk",
        "Do not unpack it before it is known where it came from",
    ),
    "leads-out": (
        "holds a member whose path leads out of the folder: {seen}",
        "it was packed by hand or with intent: some programs would write to that path",
        "Unpack it with a program that refuses such paths, or fetch it from a source that is known",
    ),
}
SEVERITIES = {"stub": warning, "bomb": warning, "leads-out": warning, "other-suffix": info}


@check(per="data.local")
def check_are_whole(entry: Data, root: Path, config: Config) -> Iterator[Finding]:
    """Every file is whole and of the format that its name says.

    Of every file the head, the tail and the sizes that stand in it are compared: nothing is decoded, unpacked or
    executed. What has no end (gzip), or has checksums that its readers compare (zip, npz), is decompressed into
    nothing, for a few seconds in all.

        contents.truncated       the end is missing: an end marker, or bytes that the header announces
        contents.damaged         parts of a file contradict each other
        contents.zeros           zero bytes where content should be
        contents.stub            a word of text in place of a file
        contents.wrong-format    another format than the suffix says, which no reader of that suffix takes
        contents.other-suffix    another format than the suffix says, which most readers take
        contents.bomb            an archive that unpacks to more than a hundred times its size and many gigabytes
        contents.leads-out       an archive with paths such as ../../x
        contents.weights-only    a checkpoint that holds what torch.load refuses to load since version 2.6
        contents.gpu-tensors     a checkpoint with tensors of a GPU, and the torch that loads it has no CUDA
    """
    try:
        paths, flaws = watched(lambda: _flaws_of(entry, root), entry.deadline or config.deadline)
    except NoAnswer:
        return  # data.no-answer is the check of the data's finding
    sources = _Code(config, root)
    if any(formats.is_image(path) for path, _ in flaws) and reading.MENDS_IMAGES & sources.names:
        flaws = [each for each in flaws if not formats.is_image(each[0])]
    kinds: dict[tuple[str, str], list[tuple[str, Flaw]]] = {}
    for path, flaw in flaws:
        kinds.setdefault((flaw.kind, flaw.format), []).append((path, flaw))
    for some in kinds.values():
        yield _flawed(entry, some, len(paths))
    checkpoints = [path for path in paths if formats.suffix_of(path) in CHECKPOINTS]
    yield from _refused_checkpoints(entry, checkpoints, sources)
    yield from _checkpoints_of_gpus(entry, checkpoints, sources)


@check(per="data.open")
def check_can_be_decoded(entry: Data, root: Path, config: Config) -> Iterator[Finding]:
    """As many files as `open:` says are decoded to the last byte.

    They are chosen by the seed and decoded with the libraries that the experiment has: Pillow, pyarrow, h5py, numpy,
    safetensors, soundfile, and what Python brings. Pickles are never loaded: of a PyTorch file the checksums of its
    parts are compared.

        contents.undecodable    the library that reads the format gives up
        contents.bomb           an image of so many pixels that Pillow refuses it
        contents.not-opened     a library is not installed, so that its files were not decoded
    """
    if not entry.local:
        return
    try:
        paths = watched(lambda: sorted(_files_of(entry, root)), entry.deadline or config.deadline)
    except NoAnswer:
        return
    if isinstance(entry.open, int) and entry.open < len(paths):
        seed = config.seeds.value if config.seeds else config.experiment.get("seed", 0)
        paths = sorted(random.Random(str(seed)).sample(paths, entry.open))  # noqa: S311 - not for secrets
    answers = list(decoding.decode_all([path for path in paths if _is_undecided(path)]))
    bad = [each for each in answers if each.problem and not each.is_huge]
    if bad and reading.MENDS_IMAGES & _Code(config, root).names:
        bad = [each for each in bad if not (formats.is_image(each.path) and "truncated" in each.problem)]
    if bad:
        yield error(
            f"{_some([each.path for each in bad], len(paths))} cannot be decoded: {bad[0].problem}",
            cause="its content is damaged or incomplete",
            fix=f"Fetch it again, or remove it:\n    rm {quote(bad[0].path)}",
            evidence={"files": {each.path: each.problem for each in bad[:10]}, "count": len(bad)},
            **_about(entry, "undecodable"),
        )
    huge = [each for each in answers if each.is_huge]
    if huge and reading.LIFTS_LIMITS.isdisjoint(_Code(config, root).names):
        some = [(each.path, Flaw("bomb", "image", each.problem)) for each in huge]
        yield _flawed(entry, some, len(paths))
    yield from _not_opened(entry, answers)


def _not_opened(entry: Data, answers: Sequence[decoding.Decoded]) -> Iterator[Finding]:
    for library in sorted({each.library for each in answers if each.library}):
        paths = [each.path for each in answers if each.library == library]
        yield info(
            f"{counted(len(paths), 'file')} such as {shown(paths[0])} cannot be opened: {library} is not installed",
            fix="Install it where the experiment reads them with it",
            **_about(entry, "not-opened"),
        )


class _Code:
    """The program's text, read when it is first asked for."""

    def __init__(self, config: Config, root: Path) -> None:
        self._config, self._root = config, root
        self._sources: tuple[Source, ...] | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        if self._sources is None:
            commands = [each.command for each in (self._config.seeds, self._config.rehearsal) if each]
            modules = [each.name for each in self._config.imports]
            scripts = programs.scripts_of(commands, modules, self._root)
            self._sources = programs.read_scripts(scripts, self._root).sources
        return self._sources

    @property
    def names(self) -> frozenset[str]:
        return reading.names_in(self.sources)


def _files_of(entry: Data, root: Path) -> Iterator[str]:
    return files.walk(files.find(files.resolve(entry.path, root)), (entry.files or Files()).glob)


def _is_undecided(path: str) -> bool:
    """Tell whether the cheap tests found nothing to say of a file."""
    try:
        return _has_content(path) and structure.flaw_of(path) is None
    except OSError:
        return False


def _has_content(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            start = file.read(formats.START)
    except OSError:
        return False
    return bool(start) and not formats.trouble_of(path, start)


def _flaws_of(entry: Data, root: Path) -> tuple[list[str], list[tuple[str, Flaw]]]:
    """Return the files, and those of them that have a flaw; whatever cannot be read is the data check's finding."""
    paths, flaws, tried = [], [], 0
    seconds = PATIENCE
    for path in _files_of(entry, root):
        paths.append(path)
        at(path)
        try:
            flaw = structure.flaw_of(path) or _flaw_of_archive(path)
            if flaw is None and formats.suffix_of(path) in READ_TO_THE_END and seconds > 0 and _has_content(path):
                flaw, seconds = _flaw_within(path, seconds)
        except OSError:
            continue
        if flaw and flaw.kind == "truncated" and formats.is_image(path) and tried < MOST_TRIED:
            tried += 1
            flaw = None if decoding.loads_as_image(path) else flaw
        if flaw:
            flaws.append((path, flaw))
    return paths, flaws


def _flaw_of_archive(path: str) -> Flaw | None:
    if formats.suffix_of(path) not in ARCHIVES or not _has_content(path):
        return None
    try:
        measures = archives.measure(path)
    except archives.Unreadable as problem:
        return Flaw("damaged", "zip archive", str(problem))
    if measures.is_bomb:
        grown = f"{measures.unpacked / 1e9:,.0f} GB, {measures.unpacked // max(measures.size, 1):,} times its size,"
        return Flaw("bomb", "zip archive", grown)
    return Flaw("leads-out", "zip archive", measures.outside[0]) if measures.outside else None


def _flaw_within(path: str, seconds: float) -> tuple[Flaw | None, float]:
    import time

    began = time.monotonic()
    is_zip = formats.suffix_of(path) in ARCHIVES
    try:
        (archives.read_zip if is_zip else archives.read_compressed)(path, seconds)
        flaw = None
    except archives.Unreadable as problem:
        is_cut = "ended before" in str(problem)
        seen = str(problem)[:1].lower() + str(problem)[1:]
        flaw = Flaw("truncated" if is_cut else "damaged", "zip archive" if is_zip else "gzip file", seen)
    return flaw, seconds - (time.monotonic() - began)


def _flawed(entry: Data, some: Sequence[tuple[str, Flaw]], number: int) -> Finding:
    """Say one thing of all files that have it in common, naming the first."""
    path, flaw = some[0]
    words, cause, fix = FLAWS[flaw.kind]
    facts = {"first": quote(path), "seen": flaw.seen, "format": flaw.format}
    return SEVERITIES.get(flaw.kind, error)(
        f"{_some([each for each, _ in some], number)} {words.format(**facts)}",
        cause=cause.format(**facts),
        fix=fix.format(**facts),
        evidence={"files": [each for each, _ in some[:10]], "count": len(some)},
        **_about(entry, flaw.kind),
    )


def _refused_checkpoints(entry: Data, paths: Sequence[str], code: _Code) -> Iterator[Finding]:
    """Say which checkpoints hold classes that `torch.load` refuses, unless the program says how it loads them."""
    refused = {path: names for path in paths if (names := _blocked(path))}
    if not refused or os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0") not in ("", "0", "n", "no", "false"):
        return
    loads = reading.checkpoint_loads(code.sources)
    version = _torch_version()
    if (version and version < (2, 6) and True not in loads) or reading.TRUSTS_CHECKPOINTS & code.names:
        return
    if loads and all(each is False for each in loads):
        return
    names = next(iter(refused.values()))
    say = error if loads and False not in loads else info if not loads else warning
    classes = ", ".join(f"{name.rpartition('.')[2]}" for name in names)
    imports = "".join(f"    import {module}\n" for module in sorted({name.rpartition(".")[0] for name in names}))
    yield say(
        f"{_some(list(refused), len(paths))} cannot be loaded with weights_only=True: it holds {in_a_row(names)}",
        found=in_a_row(names),
        wanted="tensors, numbers, text, lists and dicts",
        cause=f"torch.load refuses {classes} since weights_only is True by default (torch 2.6)",
        fix="Save plain values in its place; or, where you trust it, load it with weights_only=False, or allow it:\n"
        f"{imports}    torch.serialization.add_safe_globals([{', '.join(names)}])",
        evidence={"files": list(refused)[:10], "count": len(refused), "classes": list(names)},
        **_about(entry, "weights-only"),
    )


def _checkpoints_of_gpus(entry: Data, paths: Sequence[str], code: _Code) -> Iterator[Finding]:
    """Say which checkpoints `torch.load` would put onto a GPU, where the torch that is installed can use none."""
    if not _is_cpu_build() or not reading.leaves_devices(code.sources) or reading.SETS_DEVICE & code.names:
        return
    devices = {path: found for path in paths if (found := [each for each in _devices(path) if each[:4] == "cuda"])}
    if devices:
        names = next(iter(devices.values()))
        yield error(
            f"{_some(list(devices), len(paths))} cannot be loaded here: it holds tensors of {in_a_row(names)}",
            found=in_a_row(names),
            wanted="a map_location, where there is no GPU",
            cause="torch.load puts tensors where they were saved from, and the installed torch is a CPU-only build",
            fix='Say where they are to go:\n    torch.load(path, map_location="cpu")',
            evidence={"files": list(devices)[:10], "count": len(devices)},
            **_about(entry, "gpu-tensors"),
        )


def _blocked(path: str) -> tuple[str, ...]:
    try:
        return pickles.blocked_in_checkpoint(path)
    except (pickles.NotAPickle, OSError):
        return ()


def _devices(path: str) -> tuple[str, ...]:
    try:
        return pickles.devices_in_checkpoint(path)
    except (pickles.NotAPickle, OSError):
        return ()


def _is_cpu_build() -> bool:
    """Tell whether the installed torch says in its version that it has no CUDA, as those of its own index do."""
    return _installed_torch().partition("+")[2].startswith("cpu")


def _torch_version() -> tuple[int, ...]:
    """Return the first two numbers of the installed version; empty where there is none."""
    try:
        return tuple(int(part) for part in _installed_torch().split("+")[0].split(".")[:2])
    except ValueError:
        return ()


def _installed_torch() -> str:
    """Return the installed version by its metadata, without importing it; empty where there is none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def _some(paths: Sequence[str], number: int) -> str:
    """Name the first file and count the others."""
    return shown(paths[0]) + (f" (and {len(paths) - 1:,} more of {number:,} files)" if len(paths) > 1 else "")


def _about(entry: Data, name: str) -> dict[str, object]:
    return {"id": f"contents.{name}", "file": entry.at.file, "line": entry.at.line}
