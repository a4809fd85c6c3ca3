"""What is known of the GPUs of a machine: plain values that checks judge and a file can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

SCHEMA = "preflight.facts/1"

Facts = TypeVar("Facts")


class Driver(StrEnum):
    """Whether the management library of NVIDIA's driver (NVML) answers, or why not."""

    ANSWERS = "answers"
    ABSENT = "absent"
    NOT_LOADED = "not loaded"
    MISMATCH = "mismatch"
    REFUSED = "refused"
    FAILED = "failed"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that computes on a device: bytes of its memory, None where the driver does not tell.

    `name` and `user` are empty where the process cannot be seen, as from within a container; `own` ones belong to this
    run of preflight.
    """

    pid: int
    memory: int | None = None
    name: str = ""
    user: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of memory that were replaced by spare ones (Ampere and later), and whether one waits or none is left."""

    correctable: int = 0
    uncorrectable: int = 0
    pending: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device as NVML numbers it, which is by PCI address; None is what the driver or the card does not tell.

    Memory is in bytes, temperatures in degrees Celsius, `throttle` is NVML's mask of clock event reasons, `links` are
    the states of the NVLinks, `fabric` that of the NVSwitch fabric, `recovery` what the driver wants done, `slices` the
    UUIDs of its MIG devices; `silent` names questions without an answer in time, `error` says why it cannot be asked.
    """

    index: int
    uuid: str = ""
    name: str = ""
    pci: str = ""
    minor: int | None = None
    memory: int = 0
    free: int | None = None
    capability: tuple[int, int] | None = None
    sliced: bool = False
    slices: tuple[str, ...] = ()
    compute_mode: str = ""
    processes: tuple[Process, ...] | None = field(default=None, metadata={"of": Process})
    utilization: int | None = None
    ecc: bool | None = None
    uncorrected: int | None = None
    rows: Rows | None = field(default=None, metadata={"of": Rows})
    retired: int | None = None
    retiring: bool | None = None
    temperature: int | None = None
    slowdown: int | None = None
    throttle: int | None = None
    pcie_width: int | None = None
    pcie_width_most: int | None = None
    pcie_generation: int | None = None
    pcie_generation_most: int | None = None
    links: tuple[bool, ...] = ()
    fabric: str = ""
    persistence: bool | None = None
    recovery: str = ""
    silent: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A device file below /dev, and whether this user may open it for reading and writing."""

    path: str
    usable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A GPU on the PCI bus, seen without its driver; `driver` is the kernel's that is bound to it, empty for none."""

    pci: str
    driver: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Xid:
    """An error that the kernel module has logged of a device, `age` seconds ago."""

    pci: str
    number: int
    age: float = 0.0
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuda:
    """What the CUDA driver library (libcuda) says: of its start, and of the devices that it shows.

    `code` is cuInit's, None where the library does not load; `seconds` is how long it took; `version` is that in the
    name of the file that was loaded; `newest` the CUDA that it runs; `devices` are UUIDs in the order of their numbers,
    without the `GPU-` or `MIG-` that NVML puts in front.
    """

    code: int | None = None
    error: str = ""
    file: str = ""
    version: str = ""
    newest: tuple[int, int] | None = None
    devices: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What torch was built for, by its files: versions are empty where it was built without.

    `architectures` are those of its GPU code, as `sm_90` and `compute_90` (PTX); empty where that could not be read.
    """

    version: str
    cuda: str = ""
    hip: str = ""
    file: str = ""
    from_conda: bool = False
    architectures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What torch itself says of the devices once it is imported, which took `seconds`; `error` where it cannot be."""

    version: str = ""
    available: bool = False
    devices: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """All that was seen of the GPUs of a machine.

    `version` is the driver's and `loaded` that of its kernel module; `cuda` the newest CUDA that it runs; `error` says
    why NVML does not answer; `xids` is None where the kernel's log cannot be read; `kernel_modules` are those of
    NVIDIA's that the kernel has; `torch` is known only where it was asked for; `environment` holds the variables that
    choose devices; `other_framework` is an installed one besides torch; `binding` says that the deprecated distribution
    `pynvml` is installed; `amd` is the number of AMD devices that the kernel shows.
    """

    driver: Driver = field(default=Driver.ABSENT, metadata={"of": Driver})
    error: str = ""
    version: str = ""
    loaded: str = ""
    cuda: tuple[int, int] | None = None
    devices: tuple[Device, ...] = field(default=(), metadata={"of": Device})
    nodes: tuple[Node, ...] = field(default=(), metadata={"of": Node})
    cards: tuple[Card, ...] = field(default=(), metadata={"of": Card})
    kernel_modules: tuple[str, ...] = ()
    switches: int = 0
    fabric_manager: bool | None = None
    xids: tuple[Xid, ...] | None = field(default=None, metadata={"of": Xid})
    library: Cuda | None = field(default=None, metadata={"of": Cuda})
    build: Build | None = field(default=None, metadata={"of": Build})
    torch: View | None = field(default=None, metadata={"of": View})
    other_framework: str = ""
    binding: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    container: str = ""
    amd: int = 0
    amd_usable: bool = True

    @property
    def selection(self) -> str | None:
        """The value of CUDA_VISIBLE_DEVICES, None where it is not set."""
        return self.environment.get("CUDA_VISIBLE_DEVICES")

    @property
    def is_amd(self) -> bool:
        """Whether the installed torch is a build for AMD's devices."""
        return bool(self.build and self.build.hip)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, those that are empty by default left out."""
        return {"schema": SCHEMA, **_plain(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Gpus:
        """Read what `to_json` wrote; keys of a later version are passed over.

        Raises ValueError where `data` holds no facts, or those of a schema that this version cannot read.
        """
        schema = data.get("schema") if isinstance(data, Mapping) else None
        if schema != SCHEMA:
            raise ValueError(f"schema is {schema!r}, this version reads {SCHEMA!r}")
        try:
            return read(cls, data)
        except (TypeError, ValueError, AttributeError) as problem:
            raise ValueError(f"no facts: {problem}") from problem

    def told(self) -> dict[str, Any]:
        """Return what a report tells of the driver and its devices, without what identifies them."""
        kept = ("index", "name", "pci", "memory", "capability")
        devices = [{name: getattr(device, name) for name in kept} for device in self.devices]
        return {"driver": self.driver, "driver_version": self.version, "gpus": devices}

    def redacted(self) -> Gpus:
        """Return the same without what identifies a machine or a person: UUIDs get names by index, users go."""
        names = {device.uuid: f"GPU-{device.index:08}" for device in self.devices if device.uuid}
        names |= {
            uuid: f"MIG-{device.index:04}{position:04}"
            for device in self.devices
            for position, uuid in enumerate(device.slices)
        }
        environment = {name: _redacted(value, names) for name, value in self.environment.items()}
        devices = tuple(
            replace(
                device,
                uuid=names.get(device.uuid, ""),
                slices=tuple(names[uuid] for uuid in device.slices),
                processes=device.processes and tuple(replace(each, user="") for each in device.processes),
            )
            for device in self.devices
        )
        bare = {uuid.partition("-")[2]: name.partition("-")[2] for uuid, name in names.items()}
        shown = self.library and replace(
            self.library, devices=tuple(bare.get(each, "") for each in self.library.devices)
        )
        return replace(self, devices=devices, environment=environment, library=shown)


def _redacted(selection: str, names: Mapping[str, str]) -> str:
    """Return a list of devices with whole or abbreviated UUIDs replaced; one that names nothing stays that way."""
    words = [word.strip() for word in selection.split(",")]
    known = [next((new for uuid, new in names.items() if word and uuid.startswith(word)), word) for word in words]
    unknown = {"GPU-", "MIG-"}
    return ",".join(
        f"{word[:4]}unknown" if word[:4] in unknown and word not in names.values() else word for word in known
    )


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((each, getattr(value, each.name)) for each in fields(value))
        return {each.name: _plain(found) for each, found in pairs if found not in (each.default, {})}
    if isinstance(value, Mapping):
        return dict(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def read(cls: type[Facts], data: Mapping[str, Any]) -> Facts:
    """Return an instance of one of these classes from plain values; keys that it does not have are passed over."""
    known = {each.name: each.metadata.get("of") for each in fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: _value(known[name], value) for name, value in data.items() if name in known})


def _value(kind: Any, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_value(kind, each) for each in value)
    if value is None or kind is None or isinstance(value, kind):
        return value
    return read(kind, value) if isinstance(value, Mapping) else kind(value)


def named(devices: Sequence[Device]) -> str:
    """Return what a message calls some devices: `GPU 3 (A100, 0000:65:00.0)`, with the number of the others."""
    first = devices[0]
    told = ", ".join(part for part in (first.name, first.pci) if part)
    return (
        f"GPU {first.index}"
        + (f" ({told})" if told else "")
        + (f" and {len(devices) - 1} more" if len(devices) > 1 else "")
    )
