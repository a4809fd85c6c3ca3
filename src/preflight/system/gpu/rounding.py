"""How far a right result may be from the exact one: bounds from the precision and the number of additions alone.

The bound for a sum of n products is Higham's: |found - exact| <= gamma(n) * sum |a_i| |b_i|, with
gamma(n) = n u / (1 - n u), where u is the unit roundoff of the format that is added up in (Accuracy and Stability of
Numerical Algorithms, 2nd ed., 3.1 and 3.5). It holds for every order of the additions, so that no way of cutting the
work into blocks breaks it, and it is taken element by element. Inputs are rounded to the format first, so that only
the additions and the rounding of the result count. The sharper probabilistic bound, with the root of n in place of n
(Higham and Mary, 2019), supposes roundings without a bias, which tensor cores do not have:

- They add the exact products of a block to the running sum, each cut off (not rounded) at the last place of the
  largest: errors of 2^-23, and up to two for each product (Fasi, Higham, Mikaitis and Pranesh, 2021, Numerical behavior
  of NVIDIA tensor cores; Blanchard et al., 2020, for the bound of a block). Hence u = 2^-23 and 2 n additions.
- TF32 keeps 10 bits after the point of its inputs, and is added up like half precision.
- Hopper adds up products of 8 bits with 13 bits after the point: u = 2^-13 (DeepGEMM's measurements; Blackwell has 25).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Format:
    """A number format as a device computes in it.

    `word` is what a config calls it, `dtype` torch's name. `bits` are those of the significand, the leading one
    included, of inputs and results; `sum_bits` those of running sums. `least` is the exponent of the smallest number
    above zero. Running sums of whole numbers up to `whole` are exact where 1024 products are added.
    """

    word: str
    dtype: str
    bits: int
    sum_bits: int
    least: int
    whole: int
    cut: bool = True

    @property
    def unit(self) -> float:
        """The unit roundoff: half the distance between 1 and the next larger number."""
        return 2.0**-self.bits

    def gamma(self, additions: int) -> float:
        """Return the bound for a sum of that many products, relative to the sum of their absolute values."""
        steps = additions * 2.0 ** (2 - self.sum_bits) if self.cut else additions * 2.0**-self.sum_bits
        return steps / (1 - steps)

    def rounding(self, values: Any) -> Any:
        """Return by how much `values` may change when they are rounded to the format."""
        return values.abs() * self.unit + 2.0**self.least


FORMATS = {
    each.word: each
    for each in (
        Format("float64", "float64", 53, 53, -1074, 1000),
        Format("float32", "float32", 24, 24, -149, 100, cut=False),
        Format("tf32", "float32", 24, 24, -149, 100),
        Format("float16", "float16", 11, 24, -24, 1),
        Format("bfloat16", "bfloat16", 8, 24, -133, 1),
        Format("float8_e4m3fn", "float8_e4m3fn", 4, 14, -9, 4),
        Format("float8_e5m2", "float8_e5m2", 3, 14, -16, 4),
        Format("int8", "int8", 8, 32, 0, 100),
    )
}
_OTHER_WORDS = {
    "float": "float32",
    "fp32": "float32",
    "double": "float64",
    "fp64": "float64",
    "half": "float16",
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp8": "float8",
    "float8_e4m3": "float8_e4m3fn",
}


def formats_of(word: str) -> tuple[Format, ...]:
    """Return the formats that a word of the config means: `float8` is two of them, an unknown word none."""
    name = _OTHER_WORDS.get(word.lower().removeprefix("torch."), word.lower().removeprefix("torch."))
    return tuple(each for key, each in FORMATS.items() if key == name or (name == "float8" and key.startswith(name)))
