"""Where the global generators of random, numpy and torch begin, which is where an unseeded program begins.

Told: `salts`, one for each of the three; a salt of 0 leaves a generator as it is. In a forked process `random` begins
anew, as Python has it do.
"""

import os
from types import ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, identity


def install(settings: dict[str, Any]) -> None:
    """Put each generator into a state of its own once its module is there."""
    starts = {"random": _start_random, "numpy": _start_numpy, "torch": _start_torch}
    modules = {"random": "random", "numpy": "numpy.random", "torch": "torch"}
    for name, salt in settings["salts"].items():
        if salt:

            def welcome(module: ModuleType, name: str = name, salt: int = salt) -> None:
                starts[name](module, salt)

            arrivals.when_imported(modules[name], welcome)


def _start_random(random: Any, salt: int) -> None:
    if not hasattr(random, "_inst"):
        return

    def begin() -> None:
        random._inst.seed(identity.number("random", salt))  # noqa: SLF001

    begin()
    # After the hook of random itself, which takes a seed from the kernel.
    os.register_at_fork(after_in_child=begin)


def _start_numpy(module: Any, salt: int) -> None:
    module.seed(identity.number("numpy", salt))


def _start_torch(torch: Any, salt: int) -> None:
    torch.manual_seed(identity.number("torch", salt))
