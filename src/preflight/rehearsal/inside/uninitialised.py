"""Where the user's code asks for memory that nobody has filled: `empty` of numpy and torch.

Told: `salt`. What they return is filled with junk of the salt, so that it shows wherever it is used. Only programs that
are not under judgement meet this: compilers (numba, TorchScript) do not know the functions that stand in. Tells
`empty`.
"""

from types import BuiltinFunctionType, ModuleType
from typing import Any

from preflight.rehearsal.inside import arrivals, places, wire
from preflight.rehearsal.inside.standing import StandIn

_MOST = 50
_LARGEST = 256 * 1024 * 1024
_seen: set[tuple[object, ...]] = set()


def install(settings: dict[str, Any]) -> None:
    """Take the place of these functions."""
    salt = settings["salt"]

    def welcome_numpy(numpy: ModuleType) -> None:
        for name in ("empty", "empty_like"):
            setattr(numpy, name, _filling(getattr(numpy, name), f"np.{name}", salt))

    def welcome_torch(torch: Any) -> None:
        for name in ("empty", "empty_like"):
            setattr(torch, name, _filling(getattr(torch, name), f"torch.{name}", salt))
        torch.Tensor.new_empty = _filling(torch.Tensor.new_empty, "Tensor.new_empty", salt)

    arrivals.when_imported("numpy", welcome_numpy)
    arrivals.when_imported("torch", welcome_torch)


def _filling(real: Any, name: str, salt: int) -> Any:
    def empty(*arguments: Any, **more: Any) -> Any:
        made = real(*arguments, **more)
        place = places.asking()
        where = (name, *place.values())
        if place and where not in _seen and len(_seen) < _MOST:
            _seen.add(where)
            wire.tell("empty", function=name, place=place)
        _fill(made, salt)
        return made

    return StandIn(empty, real) if isinstance(real, BuiltinFunctionType) else empty


def _fill(made: Any, salt: int) -> None:
    kind = getattr(getattr(made, "dtype", None), "kind", "")
    if made.nbytes > _LARGEST or kind in ("O", "V", "S", "U", "M", "m"):
        return
    if hasattr(made, "detach"):
        made.detach().fill_(salt)
    else:
        made.fill(salt)
