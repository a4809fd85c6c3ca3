"""Reads config.yaml."""

from pathlib import Path
from typing import Any

import yaml


def load_settings(path: str | Path) -> dict[str, Any]:
    """Return the settings of an experiment; paths in them start from the working directory."""
    settings: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return settings
