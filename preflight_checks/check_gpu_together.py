"""GPUs together: whether they reach each other, add up rightly, and which of them is slow or silent.

See it by hand:

    nvidia-smi topo -m
    nvidia-smi nvlink --status
    NCCL_DEBUG=INFO torchrun --nproc-per-node 2 PROGRAM

Mend it:

    Run on devices that reach each other, or turn off the way between them that fails, as the finding says.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from preflight import ChildFailed, Finding, check, error, info, warning
from preflight.config import Config, Gpu
from preflight.phrases import counted, in_a_row
from preflight.quantities import format_size
from preflight.system.experiment import cpu_setting, wants_several_processes
from preflight.system.gpu import collectives, peers, turns
from preflight.system.gpu.facts import Gpus
from preflight.system.gpu.peers import Pair
from preflight.system.gpu.selection import called, of_job, why_not_usable
from preflight.system.group import ORDER, Member, Phase, failing_alone, rounds
from preflight.system.readers import is_used

# A rank whose best partner is reached at less than this share of what the others reach is slow. Two may be a matter of
# the machine's paths; what is broken is further off.
SLOW = 0.5
TELL = "Have NCCL tell what it does, and see which path it takes:\n    NCCL_DEBUG=INFO"
BY_MEMORY = (
    "Keep them off the direct way, or switch the IOMMU (ACS) off in the firmware:\n    export NCCL_P2P_DISABLE=1"
)
ASK_KERNEL = "Read what the kernel says of the device, and run without it:\n    sudo dmesg | grep -i xid | tail"


@check(when="gpu", needs="torch", timeout=120, at="node")
def check_devices_copy_to_each_other(
    config: Config, gpus: Gpus, fresh: Callable[..., Any], scratch: Path
) -> Iterator[Finding]:
    """What is copied from one device to another arrives as it was, where the job uses several devices.

    gpu.copy-changed  a copy from one device to another arrives changed
    gpu.copy-fails    a copy from one device to another raises an error, hangs or ends the process
    gpu.no-peer       two devices cannot reach each other's memory directly, and the config asks for it (`p2p: true`)
    """
    devices = _together(config, gpus)
    if not devices:
        return
    need, notes = config.gpu or Gpu(), scratch / "pairs"
    try:
        with turns.alone_on(range(len(devices)), scratch.parent, 20) as alone:
            if not alone:
                pytest.skip("another check is still at work on a device")
            facts = fresh(peers.try_pairs, devices, secrets.randbelow(2**31), _noting(notes))
    except ChildFailed as failure:
        doing = notes.read_text(encoding="utf-8").splitlines()[-1] if notes.exists() else "the first copy"
        said = "hangs" if failure.hung else "ends the process"
        first = str(failure).partition("\n")[0]
        yield _error(need, "copy-fails", f"{doing} {said}", found=first, cause="a device or its driver", fix=ASK_KERNEL)
        return
    if facts["refused"]:
        pytest.skip(f"a device cannot be used: {facts['refused']}")
    yield from judge_pairs(need, [Pair(**each) for each in facts["pairs"]], gpus)


@check(when="gpu", needs="torch", timeout=120, at="node")
def check_devices_add_up_together(config: Config, gpus: Gpus, scratch: Path) -> Iterator[Finding]:
    """One process for each device forms a group with the others and adds up rightly, where the job uses several.

    The processes meet through a file and use NCCL. Which of them is silent follows from how far each came; where all
    came equally far, pairs of two tell.

        gpu.together             how fast they add up together
        gpu.rank-dies            the process of one device dies or raises an error
        gpu.rank-silent          one device does not do what all others have done
        gpu.group-does-not-form  every device works by itself, and no group forms
        gpu.sum-does-not-end     the group forms, its sum does not end, and no single device is to blame
        gpu.wrong-sum            the sum is wrong
        gpu.slow-rank            one device exchanges with every other much more slowly than these among themselves
        gpu.not-tried-together   an import has used CUDA already, after which no process can be forked for each device
    """
    devices = _together(config, gpus)
    if not devices:
        return
    import torch

    need = config.gpu or Gpu()
    if torch.cuda.is_initialized():
        yield info(
            "the devices are not tried together: an import has used CUDA already",
            id="gpu.not-tried-together",
            cause="a process that has used CUDA cannot fork others that use it",
            fix="Use no device while modules are imported",
        )
        return
    if not (torch.distributed.is_available() and torch.distributed.is_nccl_available()):
        pytest.skip("this torch has no NCCL")
    with turns.alone_on(range(len(devices)), scratch.parent, 20) as alone:
        if not alone:
            pytest.skip("another check is still at work on a device")
        yield from judge_together(need, devices, min(config.deadline, 60), gpus, scratch)


def judge_together(need: Gpu, devices: Sequence[str], deadline: float, gpus: Gpus, scratch: Path) -> Iterator[Finding]:
    """Have all devices add up together, look closer where that fails, and say which is to blame."""
    seconds = 0.4 * deadline
    members = collectives.meet(devices, seconds, scratch)
    names = {member.rank: called(gpus, member.rank) for member in members}
    if failed := [member for member in members if member.failed]:
        yield _failed(need, failed, len(members), names)
    elif any(member.phase is not Phase.DONE for member in members):
        yield _silent(need, members, seconds, names, scratch)
    elif any(member.wrong for member in members):
        yield _wrong(need, members, names)
    else:
        speed = format_size(median(member.bytes_per_second for member in members))
        yield info(f"{counted(len(members), 'GPU')} add up together with {speed}/s", id="gpu.together")
        if _slow(members):
            # Something else may have been at work: only what is slow again is slow.
            members = _faster(members, collectives.meet(devices, seconds, scratch))
        for member in _slow(members):
            yield _called_slow(member, members, names)


def _failed(need: Gpu, failed: Sequence[Member], number: int, names: dict[int, str]) -> Finding:
    # Who dies makes the others raise: first who was killed, then who was the first to raise.
    first = min(failed, key=lambda member: (not member.ended, member.after))
    name, said = names[first.rank], first.ended or first.error
    if len(failed) == number and all(member.phase is Phase.READY and member.error for member in failed):
        return _no_group(need, number, said)
    message = f"the process of {name} {'dies' if first.ended else 'fails'} while it {first.phase}"
    others = [names[member.rank] for member in failed if member.rank != first.rank]
    cause = "something ended it from outside, or its driver crashed" if first.ended else first.error
    evidence = {"failed after it": others} if others else {}
    return _error(need, "rank-dies", message, found=said, cause=cause, fix=ASK_KERNEL, evidence=evidence)


def _silent(need: Gpu, members: Sequence[Member], seconds: float, names: dict[int, str], scratch: Path) -> Finding:
    least = min((member.phase for member in members), key=ORDER.index)
    behind = [member for member in members if member.phase is least]
    within = f"within {seconds:g} s"
    if len(behind) == len(members):
        if least is Phase.READY:
            return _no_group(need, len(members), f"nothing {within}")
        behind = [members[rank] for rank in _silent_in_pairs(members, seconds, scratch)]
    if not behind or len(behind) == len(members):
        message = f"the sum of {counted(len(members), 'GPU')} does not end {within}"
        cause = "no single device is to blame: pairs of them hang as well, or all pairs work"
        return _error(need, "sum-does-not-end", message, cause=cause, fix=BY_MEMORY)
    who = in_a_row([names[member.rank] for member in behind], most=8)
    others = counted(len(members) - len(behind), "other waits", "others wait")
    message = f"{who} {least}, and nothing more comes {within}"
    return _error(need, "rank-silent", message, found=least, cause=f"{others} for it", fix=ASK_KERNEL)


def _silent_in_pairs(members: Sequence[Member], seconds: float, scratch: Path) -> list[int]:
    """Try each pair by itself, each with each, and return the ranks that work with nobody."""
    turns = list(rounds(range(len(members))))
    worked: dict[tuple[int, int], bool] = {}
    for turn in turns:
        for pair in turn:
            devices = [members[rank].device for rank in pair]
            met = collectives.meet(devices, max(1.0, seconds / sum(map(len, turns))), scratch)
            worked[pair] = all(member.phase is Phase.DONE for member in met)
    return failing_alone(worked)


def _no_group(need: Gpu, number: int, found: str) -> Finding:
    message = f"no group of {counted(number, 'process', 'processes')} forms, though each device works by itself"
    cause = "the processes cannot reach each other: the network interfaces, /dev/shm or the settings of NCCL"
    return _error(need, "group-does-not-form", message, found=found, cause=cause, fix=TELL)


def _wrong(need: Gpu, members: Sequence[Member], names: dict[int, str]) -> Finding:
    receivers = [member.rank for member in members if member.wrong]
    blamed = sorted({rank for member in members for rank in member.blamed})
    # Where all see it, it was sent; where some do, it was received.
    guilty = blamed if len(receivers) == len(members) and blamed else receivers
    alone = len(guilty) < len(members)
    who = in_a_row([names[rank] for rank in guilty], most=8) if alone else "every device"
    said = "adds wrong numbers to" if guilty is blamed else "receives"
    worst = max(member.wrong for member in members)
    return _error(
        need,
        "wrong-sum",
        f"{who} {said} {'the sum' if guilty is blamed else 'a wrong sum'} of {counted(len(members), 'GPU')}",
        found=counted(worst, "wrong element"),
        wanted="whole numbers, exact in every order",
        cause="copies between the devices arrive changed, or a device is faulty",
        fix=BY_MEMORY,
    )


def _slow(members: Sequence[Member]) -> list[Member]:
    """Return the members whose best partner is far slower than the best of the others; of two, none can be told."""
    if len(members) < 3:
        return []
    best = {member.rank: max(member.pairs.values(), default=0.0) for member in members}
    return [
        member
        for member in members
        if best[member.rank] < SLOW * median(speed for rank, speed in best.items() if rank != member.rank)
    ]


def _faster(members: Sequence[Member], again: Sequence[Member]) -> list[Member]:
    return [
        replace(one, pairs={rank: max(speed, two.pairs.get(rank, 0.0)) for rank, speed in one.pairs.items()})
        for one, two in zip(members, again, strict=True)
    ]


def _called_slow(member: Member, members: Sequence[Member], names: dict[int, str]) -> Finding:
    best = max(member.pairs.values())
    usual = median(max(other.pairs.values()) for other in members if other is not member)
    return warning(
        f"{names[member.rank]} exchanges with every other device at {format_size(best)}/s at most",
        id="gpu.slow-rank",
        found=f"{format_size(best)}/s",
        wanted=f"{format_size(usual)}/s, as the others among themselves",
        cause="its links are down or shared, it sits on another socket, or other processes use it",
        fix="See how it is connected:\n    nvidia-smi topo -m",
        evidence={names[rank]: f"{format_size(speed)}/s" for rank, speed in member.pairs.items()},
    )


def judge_pairs(need: Gpu, pairs: Sequence[Pair], gpus: Gpus) -> Iterator[Finding]:
    """Say which copies arrive changed or fail, and which pairs have no direct way where one is asked for."""

    def told(found: Sequence[Pair]) -> str:
        return in_a_row([f"{called(gpus, each.source)} to {called(gpus, each.target)}" for each in found], most=2)

    if changed := [pair for pair in pairs if pair.wrong]:
        yield _error(
            need,
            "copy-changed",
            f"what is copied arrives changed from {told(changed)}",
            found=f"{counted(changed[0].wrong, 'wrong number')} of {peers.NUMBER:,}",
            cause="the direct way between devices is broken: an IOMMU or ACS redirects it, or a link is faulty",
            fix=BY_MEMORY,
        )
    if failed := [pair for pair in pairs if pair.error]:
        yield _error(need, "copy-fails", f"no copy from {told(failed)}", cause=failed[0].error, fix=ASK_KERNEL)
    if need.p2p and (apart := [pair for pair in pairs if not pair.direct and not pair.error]):
        yield _error(
            need,
            "no-peer",
            f"no direct way from {told(apart)}",
            found=counted(len(apart), "pair without one", "pairs without one"),
            wanted="none (`p2p: true`)",
            cause="the cards or the paths between them do not allow it: copies go through the CPU's memory",
            fix="See how they are connected, and choose devices that are:\n    nvidia-smi topo -m",
        )


def _together(config: Config, gpus: Gpus) -> list[str]:
    """Return the devices that the job uses together; none where it uses one, or computes on the CPU."""
    need = config.gpu or Gpu()
    several = (need.count or 0) > 1 or wants_several_processes(config.experiment) or need.p2p
    is_concerned = gpus.build is not None and is_used("torch", config.import_seconds, config.root)
    if not several or cpu_setting(config.experiment) or not is_concerned:
        return []
    if reason := why_not_usable(gpus):
        pytest.skip(reason)
    shown = of_job(gpus)
    number = min(need.count or len(shown.devices), len(shown.devices))
    # Slices of a device do not reach each other, and fewer devices than are asked for are another check's finding.
    if shown.slices or number < 2:
        return []
    return [f"cuda:{index}" for index in range(number)]


def _noting(notes: Path) -> Callable[[str], None]:
    def note(line: str) -> None:
        with notes.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    return note


def _error(need: Gpu, kind: str, message: str, **more: Any) -> Finding:
    return error(message, id=f"gpu.{kind}", file=need.at.file, line=need.at.line, **more)
