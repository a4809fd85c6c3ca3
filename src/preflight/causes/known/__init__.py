"""Failures of programs that the text of one exception tells."""

from preflight.causes.known.machine import MACHINE
from preflight.causes.known.storage import STORAGE
from preflight.causes.known.tensors import TENSORS

KNOWN = (*STORAGE, *MACHINE, *TENSORS)
