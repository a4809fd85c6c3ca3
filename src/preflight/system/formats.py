"""What the name of a file and its first bytes tell about it, without decoding anything."""

from __future__ import annotations

import os
from enum import StrEnum

START = 256

# No file of these formats is empty, and none of them starts like a web page.
_BINARY = {
    *(
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".webp",
        ".dcm",
        ".wav",
        ".flac",
        ".mp3",
        ".mp4",
        ".avi",
    ),
    *(".npy", ".npz", ".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".pkl", ".joblib", ".h5", ".hdf5", ".gguf"),
    *(".parquet", ".arrow", ".feather", ".avro", ".orc", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".7z"),
}
_NO_PAGE = _BINARY | {".csv", ".tsv", ".json", ".jsonl", ".bin"}


class Trouble(StrEnum):
    """What can be wrong with a file that opens."""

    EMPTY = "empty"
    BLANK = "blank"
    POINTER = "pointer"
    PAGE = "page"


def trouble_of(path: str, start: bytes) -> Trouble | None:
    """Return what is wrong with a file that starts so; BLANK is an empty one whose format may well be empty."""
    suffix = os.path.splitext(path)[1].lower()
    if not start:
        return Trouble.EMPTY if suffix in _BINARY else Trouble.BLANK
    if start.startswith(b"version https://git-lfs"):
        return Trouble.POINTER
    is_page = start.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html"))
    return Trouble.PAGE if is_page and suffix in _NO_PAGE else None
