"""Files decoded to the last byte with the libraries that the experiment has; nothing of theirs is executed or kept."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from preflight.system import archives, formats, tables

BLOCK = 1 << 26


class Undecodable(Exception):
    """The content cannot be decoded; the text is what the library says."""


class Huge(Exception):
    """The content would become so large that the library refuses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """How decoding one file went: `problem` is empty where it went well, `library` names one that is not installed."""

    path: str
    problem: str = ""
    library: str = ""
    is_huge: bool = False


def decode_all(paths: Sequence[str]) -> Iterator[Decoded]:
    """Decode the files, as many at once as there are processors, and give the answers in order."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2) as pool:
        yield from pool.map(decode, paths)


def decode(path: str) -> Decoded:
    """Decode one file; one of a format without a decoder here counts as well."""
    decoder = _decoder_of(path)
    try:
        if decoder:
            decoder(path)
    except ImportError as missing:
        return Decoded(path=path, library=str(missing.name or "").partition(".")[0] or "its library")
    except tables.NoLibrary as missing:
        return Decoded(path=path, library=str(missing))
    except Huge as problem:
        return Decoded(path=path, problem=str(problem), is_huge=True)
    except (Undecodable, archives.Unreadable) as problem:
        return Decoded(path=path, problem=str(problem))
    except tables.Unreadable as problem:
        return Decoded(path=path, problem=f"{problem}: {problem.cause}" if problem.cause else str(problem))
    return Decoded(path=path)


def loads_as_image(path: str) -> bool:
    """Tell whether Pillow is here and loads the file in spite of what is wrong with it."""
    try:
        _decode_image(path)
    except (ImportError, Undecodable, Huge):
        return False
    return True


def _decoder_of(path: str) -> Callable[[str], object] | None:
    suffix = formats.suffix_of(path)
    if formats.is_image(path):
        return _decode_image
    if suffix in archives.COMPRESSED:
        return archives.read_compressed
    if suffix in (".pt", ".pth", ".ckpt", ".bin"):
        return _decode_checkpoint
    return _DECODERS.get(suffix) or (_decode_table if tables.is_table(path) else None)


def _decode_image(path: str) -> None:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                image.load()
        except Image.DecompressionBombError as problem:
            raise Huge(str(problem)) from None
        except Exception as problem:  # noqa: BLE001 - whatever a broken file makes it raise
            raise Undecodable(_said(problem)) from None


def _decode_checkpoint(path: str) -> None:
    with open(path, "rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    if is_archive:
        archives.read_zip(path)


def _decode_table(path: str) -> None:
    tables.read_all(path)


def _decode_array(path: str) -> None:
    import numpy as np

    try:
        np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as problem:  # noqa: BLE001 - whatever a broken file makes it raise
        if "allow_pickle" not in str(problem) and "objects" not in str(problem):
            raise Undecodable(_said(problem)) from None


def _decode_hdf5(path: str) -> None:
    import h5py

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape:
            width = max(1, item.nbytes // max(len(item), 1))
            rows = max(1, BLOCK // width)
            for start in range(0, len(item), rows):
                item[start : start + rows]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except Exception as problem:  # noqa: BLE001 - whatever a broken file makes it raise
        raise Undecodable(_said(problem)) from None


def _decode_safetensors(path: str) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            file.keys()
    except (SafetensorError, OSError) as problem:
        raise Undecodable(_said(problem)) from None


def _decode_sound(path: str) -> None:
    import soundfile

    try:
        for _ in soundfile.blocks(path, 1 << 20):
            pass
    except (RuntimeError, OSError) as problem:
        raise Undecodable(_said(problem)) from None


def _decode_json(path: str) -> None:
    import json

    try:
        with open(path, encoding="utf-8-sig") as file:
            json.load(file)
    except UnicodeDecodeError:
        return  # which encoding it should be is not known here
    except (ValueError, RecursionError) as problem:
        if "Extra data" not in str(problem):  # several documents in a row are some readers' format
            raise Undecodable(_said(problem)) from None


def _decode_database(path: str) -> None:
    import sqlite3
    from urllib.parse import quote

    database = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro&immutable=1", uri=True)
    try:
        (answer,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as problem:
        raise Undecodable(_said(problem)) from None
    finally:
        database.close()
    if answer != "ok":
        raise Undecodable(answer)


def _said(problem: BaseException) -> str:
    text = " ".join(str(problem).split())
    return text[:300] or type(problem).__name__


_DECODERS: dict[str, Callable[[str], object]] = {
    **dict.fromkeys((".zip", ".npz"), archives.read_zip),
    ".npy": _decode_array,
    **dict.fromkeys((".h5", ".hdf5"), _decode_hdf5),
    ".safetensors": _decode_safetensors,
    **dict.fromkeys((".wav", ".flac", ".ogg", ".mp3"), _decode_sound),
    ".json": _decode_json,
    **dict.fromkeys((".sqlite", ".sqlite3"), _decode_database),
}
