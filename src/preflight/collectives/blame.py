"""Who is to blame for how a meeting went, from the facts of all ranks: the nodes, and what is said of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from preflight.collectives.meeting import Met
from preflight.model import Finding, Presence, Severity
from preflight.phrases import counted, in_a_row
from preflight.quantities import format_duration, format_size
from preflight.system.group import ORDER, Member, Phase

# A rank that takes so many times as long as the others for the same, or exchanges at this share of their speed, is
# slow. Nodes of one kind differ by far less, and those of several kinds by no more.
_TIMES, _SHARE = 4.0, 0.25
# What a rank raises because another one has failed.
_CONSEQUENCE = re.compile(
    r"[Cc]onnection (closed|reset|refused|was likely closed)|[Bb]roken pipe|[Tt]imed? ?out|[Tt]imeout|Socket|remote|"
    r"connectFullMesh|Network is unreachable|No route to host|NCCL error|DistStoreError|DistNetworkError|gloo/transport"
)
# What gloo raises where another rank has told it such an address.
_LOOPBACK = re.compile(r"\[127\.[\d.]+\]")
_KERNEL = "Read what that node's kernel says:\n    ssh {node} dmesg -T | tail -n 20"
_GO_ON = "Have its processes go on:\n    ssh {node} pkill -CONT python"
_EXCLUDE = "Leave the node out, and tell who runs it:\n    sbatch --exclude={node} …"
_NETWORK = "Have the libraries tell which way they take:\n    export NCCL_DEBUG=INFO TORCH_DISTRIBUTED_DEBUG=DETAIL"


@dataclass(slots=True, kw_only=True)
class Blame:
    """What is said of a meeting.

    `guilty` are the nodes to leave out, each with its finding; `slow` those that are right and slow; `nobody` is said
    where it went wrong and no node alone is to blame: pairs may tell. All are empty where all is well.
    """

    guilty: dict[str, Finding] = field(default_factory=dict)
    slow: dict[str, list[Finding]] = field(default_factory=dict)
    nobody: Finding | None = None


def blame(met: Met) -> Blame:
    """Judge a meeting that the job's own end did not break off."""
    for judge in (_gone, _interfaces, _out_of_reach, _failed, _no_group, _silent, _wrong):
        if guilty := judge(met):
            return Blame(guilty=guilty)
    if any(member.failed for member in met.members) or not met.is_done:
        return Blame(nobody=_unended(met))
    return Blame(slow=slow(met))


def in_pairs(finding: Finding, guilty: Sequence[str], worked: Sequence[Sequence[str]]) -> dict[str, Finding]:
    """Return what is said of nodes that no other works with, though the others do with each other."""
    others = in_a_row([" and ".join(group) for group in worked if not set(group) & set(guilty)], most=2)
    told = {
        "id": "nodes.rank-silent",
        "message": "no other node adds up with it",
        "cause": f"groups without it work: {others}",
        "evidence": {"all together": finding.message},
    }
    return {node: _error(fix=_KERNEL.format(node=node), **told) for node in guilty}


def speed(met: Met) -> Finding:
    """Return how fast all of them add up together, and on what network."""
    rate = median(member.bytes_per_second for member in met.members)
    nodes = len({member.node for member in met.members})
    kind = "gloo" if met.members[0].device == "cpu" else "nccl"
    asked = {name: value for facts in met.network.values() for name, value in facts["variables"].items()}
    return Finding(
        severity=Severity.INFO,
        id="nodes.together",
        message=f"{counted(len(met.members), 'rank')} on {counted(nodes, 'node')} add up together with "
        f"{format_size(rate)}/s by {kind}",
        evidence=asked,
    )


def _gone(met: Met) -> dict[str, Finding]:
    said = {
        Presence.ABSENT: ("rank-absent", "its ranks do not start"),
        Presence.SILENT: ("rank-silent", "the node falls silent while all add up together"),
        Presence.LOST: ("rank-dies", "the node is lost while all add up together"),
    }
    guilty = {}
    for node, gone in met.gone.items():
        name, message = said[gone.presence]
        fix = _EXCLUDE.format(node=node)
        guilty[node] = _error(id=f"nodes.{name}", message=message, cause=_doing(met, node, gone.reason), fix=fix)
    return guilty


def _doing(met: Met, node: str, reason: str) -> str:
    phases = sorted({member.phase for member in met.members if member.node == node}, key=ORDER.index)
    return f"{reason}; its rank {phases[0]}" if phases else reason


def _interfaces(met: Met) -> dict[str, Finding]:
    """Name the nodes that lack the network interface which a variable names, where nothing came of the meeting."""
    if met.is_done:
        return {}
    readers: Mapping[str, Callable[[str, Sequence[str]], bool]] = {
        "GLOO_SOCKET_IFNAME": lambda wanted, names: set(wanted.split(",")) <= set(names),
        "NCCL_SOCKET_IFNAME": _nccl_finds,
    }
    guilty = {}
    for node, facts in met.network.items():
        names = sorted(facts["interfaces"])
        for variable, finds in readers.items():
            wanted = facts["variables"].get(variable, "")
            if wanted and _uses(met, variable) and not finds(wanted, names):
                there = [name for name in names if name != "lo"]
                guilty[node] = _error(
                    id="nodes.no-interface",
                    message=f"{variable} is {wanted}, and this node has no such network interface",
                    found=in_a_row(there) or "none but lo",
                    wanted=wanted,
                    cause="interfaces are called otherwise there, or it is down",
                    fix=f"Name one that every node has:\n    export {variable}={(there or ['eth0'])[0]}",
                )
    return guilty


def _uses(met: Met, variable: str) -> bool:
    is_nccl = any(member.device != "cpu" for member in met.members)
    return bool(met.members) and variable.startswith("NCCL") == is_nccl


def _nccl_finds(wanted: str, names: Sequence[str]) -> bool:
    """Tell whether NCCL finds an interface: prefixes, whole names behind `=`, others behind `^` (its documentation)."""
    is_negative = wanted.startswith("^")
    words = wanted.removeprefix("^")
    is_exact = words.startswith("=")
    chosen = [
        name
        for name in names
        if any(name == word if is_exact else name.startswith(word) for word in words.removeprefix("=").split(","))
    ]
    return len(chosen) < len(names) if is_negative else bool(chosen)


def _out_of_reach(met: Met) -> dict[str, Finding]:
    """Name the nodes that do not reach the first; where none does, it is the first."""
    if not met.tried:
        return {}
    first = next(iter(met.network))
    others = len(met.network) - 1
    node, tried = next(iter(met.tried.items()))
    reasons = {name: ", ".join(f"{host}: {error}" for host, error in each.items()) for name, each in met.tried.items()}
    fix = "Open the ports between nodes in the firewall of both; see the way from there:\n    ip route get "
    if len(met.tried) == others > 1:
        message = "no other node reaches it"
        cause = f"{node} tried {reasons[node]}"
        return {first: _error(id="nodes.out-of-reach", message=message, cause=cause, fix=fix + next(iter(tried)))}
    return {
        name: _error(
            id="nodes.out-of-reach",
            message=f"it does not reach {first}, where the first rank is",
            cause=reasons[name],
            fix=fix + next(iter(each)),
        )
        for name, each in met.tried.items()
    }


def _failed(met: Met) -> dict[str, Finding]:
    """Name who died, or was the first to raise what does not come from another one's failure."""
    if died := [member for member in met.members if member.ended]:
        first = min(died, key=lambda member: member.after)
        together = [each for each in died if each.after < first.after + 0.5]
        cause = "something ended it from outside, often for want of memory, or its driver crashed"
        return {member.node: _dead(met, member, "dies", member.ended, cause) for member in together}
    own = [member for member in met.members if member.error and not _CONSEQUENCE.search(member.error)]
    if alone := [member for member in own if member.phase in (Phase.NONE, Phase.STARTED)]:
        cause = "it raises this by itself, before it has anything from the others"
        return {member.node: _dead(met, member, "fails", member.error, cause) for member in alone}
    if own:
        first = min(own, key=lambda member: member.after)
        return {
            first.node: _dead(met, first, "fails", first.error, "it raises this first, and the others fail after it")
        }
    return {}


def _dead(met: Met, member: Member, how: str, found: str, cause: str) -> Finding:
    output = met.outputs.get(member.rank, "").strip()
    return _error(
        id="nodes.rank-dies",
        message=f"rank {member.rank} {how} while it {member.phase}",
        found=found,
        cause=cause,
        fix=_KERNEL.format(node=member.node),
        evidence={"output": output} if output else {},
    )


def _no_group(met: Met) -> dict[str, Finding]:
    """Name the nodes that tell the others an address at which nobody else finds them."""
    if not any(_LOOPBACK.search(member.error) for member in met.members if member.device == "cpu"):
        return {}
    return {
        node: _error(
            id="nodes.own-name",
            message=f"{facts['host']}, its own name, stands there for {', '.join(facts['own'])}",
            wanted="an address at which the other nodes find it",
            cause="/etc/hosts gives the name an address of the loopback interface, and gloo tells that to the others",
            fix=f"Name the interface that leads to the others, or correct /etc/hosts there:\n"
            f"    export GLOO_SOCKET_IFNAME={_interface(facts)}",
        )
        for node, facts in met.network.items()
        if facts["own"]
        and all(address.startswith("127.") for address in facts["own"])
        and "GLOO_SOCKET_IFNAME" not in facts["variables"]
    }


def _interface(facts: Mapping[str, Any]) -> str:
    own = (name for name, each in facts["interfaces"].items() if any(not one.startswith("127.") for one in each))
    return next(own, "eth0")


def _silent(met: Met) -> dict[str, Finding]:
    """Name who has been stopped, or is behind all others."""
    if met.is_done or any(member.failed for member in met.members):
        return {}
    least = min((member.phase for member in met.members), key=ORDER.index, default=Phase.DONE)
    behind = [member for member in met.members if member.phase is least]
    stopped = [member for member in met.members if member.state == "T"]
    if not stopped and len(behind) == len(met.members):
        return {}
    cause = "somebody has stopped its process (SIGSTOP)" if stopped else _waiting(met, behind)
    fix = _GO_ON if stopped else _KERNEL
    return {
        member.node: _error(
            id="nodes.rank-silent",
            message=f"rank {member.rank} {member.phase}, and nothing more comes"
            + (f" within {format_duration(met.quiet)}" if met.quiet else ""),
            cause=cause,
            fix=fix.format(node=member.node),
        )
        for member in stopped or behind
    }


def _waiting(met: Met, behind: Sequence[Member]) -> str:
    others = len(met.members) - len(behind)
    return f"{others:,} {'other waits' if others == 1 else 'others wait'} for it"


def _unended(met: Met) -> Finding:
    """Return what is said where no single node can be named."""
    errors = [member.error for member in met.members if member.error]
    phases = {member.phase for member in met.members}
    within = f" within {format_duration(met.quiet)}" if met.quiet else ""
    if phases <= {Phase.NONE, Phase.STARTED, Phase.READY}:
        message = f"no group of {counted(len(met.members), 'rank')} forms{within}, though each node works by itself"
        return _error(
            id="nodes.group-does-not-form",
            message=message,
            found=errors[0] if errors else "",
            cause="the nodes do not reach each other: the network, a firewall, or the interface that is taken",
            fix=_NETWORK,
        )
    return _error(
        id="nodes.sum-does-not-end",
        message=f"the sum of {counted(len(met.members), 'rank')} does not end{within}",
        found=errors[0] if errors else "",
        cause="no single node is to blame: what lies between them is broken or overloaded",
        fix=_NETWORK,
    )


def _wrong(met: Met) -> dict[str, Finding]:
    receivers = [member for member in met.members if member.wrong]
    sent = sorted({rank for member in receivers for rank in member.blamed})
    # Where all see it, it was sent; where some do, it was received.
    is_sent = len(receivers) == len(met.members) and bool(sent)
    guilty = [met.members[rank] for rank in sent] if is_sent else receivers
    worst = max((member.wrong for member in receivers), default=0)
    return {
        member.node: _error(
            id="nodes.wrong-sum",
            message=f"rank {member.rank} "
            + ("adds wrong numbers to the sum" if is_sent else "receives a wrong sum")
            + f" of {counted(len(met.members), 'rank')}",
            found=counted(worst, "wrong element"),
            wanted="whole numbers, exact in every order",
            cause="its memory, its device or its network card changes what passes through it",
            fix=_EXCLUDE.format(node=member.node),
        )
        for member in guilty
    }


def slow(met: Met) -> dict[str, list[Finding]]:
    """Return what is said of nodes that are far slower than the others; of two, none can be told."""
    found: dict[str, list[Finding]] = {}
    if len({member.node for member in met.members}) > 2:
        for member, finding in [*_slow_alone(met.members), *_slow_links(met.members)]:
            found.setdefault(member.node, []).append(finding)
    return found


def _slow_alone(members: Sequence[Member]) -> Iterator[tuple[Member, Finding]]:
    for member in members:
        usual = median(other.compute for other in members if other.node != member.node)
        if member.compute > _TIMES * usual:
            yield (
                member,
                _warning(
                    id="nodes.slow-rank",
                    message=f"rank {member.rank} computes {member.compute / usual:.0f} times as slowly as the others",
                    found=f"{member.compute * 1000:.3g} ms",
                    wanted=f"{usual * 1000:.3g} ms for the same product of matrices",
                    cause="its clock is held down, something else computes there, or a limit of its group holds it",
                    fix=f"See what runs there:\n    ssh {member.node} top -b -n 1",
                ),
            )


def _slow_links(members: Sequence[Member]) -> Iterator[tuple[Member, Finding]]:
    """Yield ranks whose best partner on another node is far slower than that of the others.

    What is sent is soon in the kernel's hands: that a way is slow may be seen by the receiver alone.
    """

    def rates(member: Member) -> Iterator[float]:
        for rank, rate in member.pairs.items():
            if members[rank].node != member.node:
                yield min(rate, members[rank].pairs.get(member.rank, rate))

    best = {member.rank: max(rates(member), default=0.0) for member in members}
    for member in members:
        usual = median(best[other.rank] for other in members if other.node != member.node)
        if best[member.rank] < _SHARE * usual:
            rate, wanted = format_size(best[member.rank]), format_size(usual)
            yield (
                member,
                _warning(
                    id="nodes.slow-link",
                    message=f"rank {member.rank} exchanges with every other node at {rate}/s at most",
                    found=f"{rate}/s",
                    wanted=f"{wanted}/s, as the others among themselves",
                    cause="its network card has fallen back to a lower speed, or something else uses it",
                    fix=f"See at what speed it is:\n    ssh {member.node} cat /sys/class/net/*/speed",
                ),
            )


def better(one: Met, two: Met) -> Met:
    """Return the first meeting with what was faster in the second: something else may have been at work."""
    members = [
        replace(
            member,
            compute=min(member.compute, again.compute),
            bytes_per_second=max(member.bytes_per_second, again.bytes_per_second),
            pairs={rank: max(rate, again.pairs.get(rank, 0.0)) for rank, rate in member.pairs.items()},
        )
        for member, again in zip(one.members, two.members, strict=True)
    ]
    return replace(one, members=members)


def _error(**told: Any) -> Finding:
    return Finding(severity=Severity.ERROR, **told)


def _warning(**told: Any) -> Finding:
    return Finding(severity=Severity.WARNING, **told)
