"""The folders into which libraries write what they fetch or compile."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A cache folder; `variable` moves it, `calls` in a program's text show that it is used."""

    library: str
    variable: str
    folder: Path
    calls: tuple[str, ...]

    @property
    def is_offline(self) -> bool:
        """Whether its library is told to fetch nothing."""
        return self.variable == "HF_HOME" and os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept in it yet."""
        try:
            return not any(os.scandir(self.folder))
        except OSError:
            return True


def caches() -> list[Cache]:
    """Return the caches that libraries would use in this environment."""
    home = Path(os.path.expanduser("~"))
    general = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    hub = Path(os.environ.get("HF_HOME") or general / "huggingface")
    hub_cache = Path(os.environ.get("HF_HUB_CACHE") or hub / "hub")
    torch = Path(os.environ.get("TORCH_HOME") or general / "torch")
    fetches = ("from_pretrained", "load_dataset", "snapshot_download", "hf_hub_download")
    return [
        Cache(library="huggingface_hub", variable="HF_HOME", folder=hub_cache, calls=fetches),
        Cache(library="torch.hub", variable="TORCH_HOME", folder=torch / "hub", calls=("torch.hub",)),
    ]
