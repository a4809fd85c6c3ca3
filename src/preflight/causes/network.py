"""What is said of a host that cannot be reached: the name of the finding, its cause and its remedy."""

from __future__ import annotations

from typing import NamedTuple

from preflight.phrases import in_a_row
from preflight.system import network
from preflight.system.network import Outcome, Reached

FETCH_BEFOREHAND = "Run where there is a network, or fetch beforehand what the job downloads"


class Why(NamedTuple):
    """What a check says of a host: the last word of the finding's id, the cause and the fix."""

    name: str
    cause: str
    fix: str


def explain_unreached(reached: Reached) -> Why:
    """Return why an attempt to reach a host ended as it did."""
    way = f"the proxy {reached.proxy}" if reached.proxy else in_a_row(reached.addresses, most=2)
    match reached.outcome:
        case Outcome.NO_ROUTE | Outcome.UNRESOLVED if not network.has_network():
            cause = "this machine has no network: no interface but the loopback is up"
            return Why("no-network", cause, FETCH_BEFOREHAND)
        case Outcome.NO_ROUTE:
            return Why("no-network", f"there is no route to {way}: the network is unreachable", FETCH_BEFOREHAND)
        case Outcome.UNRESOLVED:
            cause = "its name cannot be resolved: it is wrong, or this machine asks no resolver that knows it"
            return Why("host-unknown", cause, f"Correct the name. {FETCH_BEFOREHAND}")
        case Outcome.REFUSED:
            return Why("host-refused", f"{way} is up, and nothing listens on that port", "Start the service there")
        case Outcome.SILENT:
            cause = f"{way} does not answer: a firewall drops what is sent, or the host is down"
            return Why("host-silent", cause, f"{FETCH_BEFOREHAND}, or set HTTPS_PROXY")
    return Why("host-failed", f"the connection to {way} ends: {reached.error}", "Look at what stands between")
