"""What the makers' data sheets promise of some cards: the peak of dense products in each format, and of memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """A model as its data sheet has it: FLOP/s (int8: operations) by format, `memory` in bytes per second.

    All are without sparsity, sums in float32. `source` is the document of NVIDIA's that says so.
    """

    name: str
    memory: float
    peaks: Mapping[str, float]
    source: str


def _card(name: str, memory: float, source: str, **peaks: float) -> Card:
    """Build a card from GB/s and TFLOP/s; `half` is that of float16 and bfloat16, `eight` that of float8 and int8."""
    half, eight = peaks.pop("half", None), peaks.pop("eight", None)
    if half:
        peaks |= {"float16": half, "bfloat16": half}
    if eight:
        peaks |= {"float8_e4m3fn": eight, "int8": eight}
    return Card(name, memory * 1e9, {word: peak * 1e12 for word, peak in peaks.items()}, source)


_HOPPER = {"float64": 67, "float32": 67, "tf32": 494.5, "half": 989.5, "eight": 1979}
_AMPERE = {"float64": 19.5, "float32": 19.5, "tf32": 156, "half": 312, "int8": 624}
# What torch and NVML call a card, as a pattern for the whole name, and what its data sheet says.
CARDS: Mapping[str, Card] = {
    r"NVIDIA B200": _card(
        "B200", 8000, "Blackwell architecture brief, HGX B200", float64=40, float32=80, tf32=1100, half=2250, eight=4500
    ),
    r"NVIDIA H200": _card("H200 SXM", 4800, "H200 data sheet", **_HOPPER),
    r"NVIDIA H100 80GB HBM3": _card("H100 SXM", 3350, "H100 data sheet", **_HOPPER),
    r"NVIDIA H100 PCIe": _card(
        "H100 PCIe", 2000, "H100 data sheet", float64=51, float32=51, tf32=378, half=756.5, eight=1513
    ),
    r"(NVIDIA )?A100-SXM4-40GB": _card("A100 SXM 40 GB", 1555, "A100 data sheet", **_AMPERE),
    r"(NVIDIA )?A100-PCIE-40GB": _card("A100 PCIe 40 GB", 1555, "A100 data sheet", **_AMPERE),
    r"(NVIDIA )?A100-SXM4-80GB": _card("A100 SXM 80 GB", 2039, "A100 80GB data sheet", **_AMPERE),
    r"NVIDIA A100 80GB PCIe": _card("A100 PCIe 80 GB", 1935, "A100 80GB data sheet", **_AMPERE),
    r"NVIDIA A40": _card("A40", 696, "A40 data sheet", float32=37.4, tf32=74.8, half=149.7, int8=299.3),
    r"NVIDIA A10": _card("A10", 600, "A10 data sheet", float32=31.2, tf32=62.5, half=125, int8=250),
    r"NVIDIA L40S": _card("L40S", 864, "L40S data sheet", float32=91.6, tf32=183, half=362.05, eight=733),
    r"NVIDIA L40": _card("L40", 864, "L40 data sheet", float32=90.5, tf32=90.5, half=181.05, eight=362),
    r"NVIDIA L4": _card("L4", 300, "L4 data sheet", float32=30.3, tf32=60, half=121, eight=242.5),
    r"(NVIDIA )?(Tesla )?T4": _card("T4", 320, "T4 data sheet", float32=8.1, float16=65, int8=130),
    r"(NVIDIA )?(Tesla )?V100-SXM2-\d+GB": _card(
        "V100 SXM2", 900, "V100 data sheet", float64=7.8, float32=15.7, float16=125
    ),
    r"(NVIDIA )?(Tesla )?V100-PCIE-\d+GB": _card(
        "V100 PCIe", 900, "V100 data sheet", float64=7, float32=14, float16=112
    ),
    r"(NVIDIA )?GeForce RTX 3090": _card(
        "RTX 3090", 936, "GA102 architecture white paper", float32=35.6, tf32=35.6, half=71, int8=284
    ),
    r"(NVIDIA )?GeForce RTX 4090": _card(
        "RTX 4090",
        1008,
        "Ada architecture white paper",
        float32=82.6,
        tf32=82.6,
        half=165.2,
        float8_e4m3fn=330.3,
        int8=660.6,
    ),
}


def card_called(name: str) -> Card | None:
    """Return the card that a device of this name is, None where it is not in the table."""
    return next((card for pattern, card in CARDS.items() if re.fullmatch(pattern, name)), None)
