"""What torch itself says of the devices, asked in an interpreter of its own."""

from __future__ import annotations

import json
import subprocess
import sys

from preflight.system.gpu.facts import View, read

# Seconds: torch comes from network storage, and on a machine of eight devices CUDA's start wakes each of them.
LIMIT = 120.0
_PROGRAM = """
import json, time
began = time.perf_counter()
import torch
told = {"version": torch.__version__, "available": torch.cuda.is_available()}
told["architectures"] = torch.cuda.get_arch_list()
told["devices"] = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
print(json.dumps({**told, "seconds": round(time.perf_counter() - began, 3)}))
"""


def ask_torch(limit: float = LIMIT) -> View:
    """Return what the torch of this interpreter says, within `limit` seconds."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return View(error=f"no answer within {limit:g} s", seconds=limit)
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return read(View, json.loads(lines[-1]))
    words = done.stderr.strip().splitlines()
    return View(error=words[-1] if words else f"exit code {done.returncode}")
