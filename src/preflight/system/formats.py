"""What the name of a file and its first bytes tell about it, without decoding anything."""

from __future__ import annotations

import re
from enum import StrEnum

START = 256
SMALLEST = 64

# fmt: off
# How files begin; a `.` stands for any byte. Formats that begin like no other only.
_BEGINNINGS = {
    "PNG image": rb"\x89PNG\r\n\x1a\n", "JPEG image": rb"\xff\xd8\xff", "GIF image": rb"GIF8[79]a",
    "WebP image": rb"RIFF....WEBP", "BMP image": rb"BM....\0\0\0\0", "TIFF image": rb"II[*+]\0|MM\0[*+]",
    "JPEG 2000 image": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "HEIF image": rb"....ftyp(?:avi|hei|mif|msf|hev)",
    "WAV sound": rb"RIFF....WAVE|RIFX....WAVE|RF64", "AVI video": rb"RIFF....AVI ", "FLAC sound": rb"fLaC",
    "Ogg sound": rb"OggS", "MP3 sound": rb"ID3", "SPHERE sound": rb"NIST_1A", "AIFF sound": rb"FORM....AIF",
    "MP4 video": rb"....(?:ftyp|moov|mdat|wide|skip|free|pnot)", "Matroska video": rb"\x1aE\xdf\xa3",
    "zip archive": rb"PK(?:\x03\x04|\x05\x06)", "gzip file": rb"\x1f\x8b\x08", "bzip2 file": rb"BZh[1-9]",
    "xz file": rb"\xfd7zXZ\0", "zstd file": rb"\x28\xb5\x2f\xfd", "7z archive": rb"7z\xbc\xaf\x27\x1c",
    "NumPy array": rb"\x93NUMPY",
    "HDF5 file": rb"(?:.{512}|.{1024}|.{2048})?\x89HDF\r\n\x1a\n", "Parquet file": rb"PAR[1E]",
    "Arrow file": rb"ARROW1|FEA1", "Arrow stream": rb"\xff\xff\xff\xff....", "SQLite database": rb"SQLite format 3\0",
    "PDF document": rb"%PDF-",
}
_IMAGES = {name for name in _BEGINNINGS if name.endswith(" image")}
# What may stand under a suffix, what is expected first.
SUFFIXES = {
    ".png": ("PNG image",), ".jpg": ("JPEG image",), ".jpeg": ("JPEG image",), ".gif": ("GIF image",),
    ".webp": ("WebP image",), ".bmp": ("BMP image",), ".tif": ("TIFF image",), ".tiff": ("TIFF image",),
    ".wav": ("WAV sound", "SPHERE sound", "AIFF sound", "FLAC sound", "MP3 sound", "Ogg sound"),
    ".flac": ("FLAC sound", "MP3 sound", "Ogg sound"), ".avi": ("AVI video",),
    ".mp4": ("MP4 video",), ".m4v": ("MP4 video",), ".mov": ("MP4 video",),
    ".zip": ("zip archive",), ".npz": ("zip archive",), ".gz": ("gzip file",), ".tgz": ("gzip file",),
    ".bz2": ("bzip2 file",), ".xz": ("xz file",), ".zst": ("zstd file",), ".7z": ("7z archive",),
    ".npy": ("NumPy array",), ".h5": ("HDF5 file",), ".hdf5": ("HDF5 file",), ".parquet": ("Parquet file",),
    ".arrow": ("Arrow file", "Arrow stream"), ".feather": ("Arrow file", "Parquet file"),
    ".sqlite": ("SQLite database",), ".sqlite3": ("SQLite database",),
    ".safetensors": ("safetensors file",), ".tar": ("tar archive",), ".pkl": ("pickle",), ".pickle": ("pickle",),
    ".pt": ("PyTorch file",), ".pth": ("PyTorch file",), ".ckpt": ("PyTorch file",), ".bin": ("PyTorch file",),
    ".json": ("JSON file",), ".jsonl": ("JSON lines",), ".ndjson": ("JSON lines",),
    ".csv": ("CSV table",), ".tsv": ("TSV table",),
}
_TEXT = {"JSON file", "JSON lines", "CSV table", "TSV table"}
# What is not told by its first bytes; where there are more formats than these.
_FREE = {"tar archive", "pickle", "PyTorch file", "safetensors file"}
_OPEN = {".wav", ".avi", ".mp4", ".m4v", ".mov", ".flac", ".7z", ".zst"}
# No file of these formats is empty, and none of them starts like a web page.
_BINARY = {suffix for suffix, names in SUFFIXES.items() if names[0] not in _TEXT | {"PyTorch file"}} | {
    ".pt", ".pth", ".ckpt", ".dcm", ".mp3", ".onnx", ".joblib", ".gguf", ".avro", ".orc",
}
_NO_PAGE = _BINARY | {".csv", ".tsv", ".json", ".jsonl", ".bin"}
# A file of these formats may begin with zero bytes; that of any other was never written.
_MAY_BE_ZERO = {".bin", ".tar", ".mp4", ".m4v", ".mov", ".pt", ".pth", ".ckpt"}
# fmt: on
MAGICS = {name: re.compile(beginning, re.DOTALL) for name, beginning in _BEGINNINGS.items()}
_ERROR_PAGE = re.compile(rb"\s*(?:<!doctype html|<html|<\?xml[^>]*>\s*<error>|<error><code>)", re.IGNORECASE)


class Trouble(StrEnum):
    """What can be wrong with a file that opens."""

    EMPTY = "empty"
    BLANK = "blank"
    POINTER = "pointer"
    PAGE = "page"


def suffix_of(path: str) -> str:
    """Return the last suffix in small letters."""
    name = path[path.rfind("/") + 1 :]
    return name[name.rfind(".") :].lower() if "." in name[1:] else ""


def trouble_of(path: str, start: bytes) -> Trouble | None:
    """Return what is wrong with a file that starts so; BLANK is an empty one whose format may well be empty."""
    suffix = suffix_of(path)
    if not start:
        return Trouble.EMPTY if suffix in _BINARY else Trouble.BLANK
    if start.startswith(b"version https://git-lfs"):
        return Trouble.POINTER
    return Trouble.PAGE if suffix in _NO_PAGE and _ERROR_PAGE.match(start) else None


def expected_format(path: str) -> str:
    """Return the format that the suffix stands for, empty where it stands for none or for many."""
    names = SUFFIXES.get(suffix_of(path))
    return names[0] if names else ""


def recognised_format(path: str, start: bytes) -> str:
    """Return the format that a file begins like, those that its suffix stands for first; empty where none is known."""
    for name in SUFFIXES.get(suffix_of(path), ()):
        if name in MAGICS and MAGICS[name].match(start):
            return name
    return next((name for name, magic in MAGICS.items() if magic.match(start)), "")


def is_image(path: str) -> bool:
    """Tell whether the suffix is that of an image."""
    return expected_format(path) in _IMAGES


def never_written(path: str, start: bytes) -> bool:
    """Tell whether a file begins with zero bytes where its format does not."""
    suffix = suffix_of(path)
    return suffix in SUFFIXES and suffix not in _MAY_BE_ZERO and not start[:4096].strip(b"\0")


def is_stub(path: str, content: bytes) -> bool:
    """Tell whether a file is a word or two of text in place of a format that has a head."""
    names = SUFFIXES.get(suffix_of(path), ("",))
    is_headed = names[0] in MAGICS or names[0] == "safetensors file"
    is_short = len(content) < SMALLEST and not recognised_format(path, content)
    return is_headed and is_short and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in content)


def mistaken_format(path: str, start: bytes) -> tuple[str, bool]:
    """Return the format in place of the one that the suffix stands for, empty if unknown, and whether readers mind.

    Readers of images look at the first bytes and not at the suffix; those of sounds and videos know more formats.
    """
    suffix = suffix_of(path)
    names = SUFFIXES.get(suffix, ())
    found = recognised_format(path, start)
    if not names or found in names or names[0] in _FREE or (names[0] in _TEXT and not (found and _is_binary(start))):
        return "", False
    if found:
        return found, not (found in _IMAGES and names[0] in _IMAGES) and suffix not in _OPEN
    return "", suffix not in _OPEN


def _is_binary(start: bytes) -> bool:
    """Tell whether no text begins so: text in any encoding has no such control characters."""
    return any(byte < 9 or 13 < byte < 27 for byte in start[:START]) and not start.startswith(
        (b"\xff\xfe", b"\xfe\xff")
    )
