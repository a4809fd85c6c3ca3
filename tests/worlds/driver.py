"""A machine with NVIDIA's driver, as far as its libraries tell: built here, they say what a test wants."""

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent
UUID = "0000000{0}-1111-2222-3333-444444444444"
# What an H100 80GB HBM3 with driver 580.159.04 answered, in a virtual machine of one device; the UUID is made up.
H100 = {
    "nvmlDeviceGetUUID": "GPU-" + UUID,
    "nvmlDeviceGetName": "NVIDIA H100 80GB HBM3",
    "nvmlDeviceGetPciInfo": "00000000:0{0}:06.0",
    "nvmlDeviceGetMinorNumber": "{0}",
    "nvmlDeviceGetMemoryInfo": "85520809984 85017493504",
    "nvmlDeviceGetCudaComputeCapability": "9 0",
    "nvmlDeviceGetMigMode": "0 0",
    "nvmlDeviceGetComputeMode": "0",
    "nvmlDeviceGetUtilizationRates": "0 0",
    "nvmlDeviceGetEccMode": "1 1",
    "nvmlDeviceGetTotalEccErrors": "0",
    "nvmlDeviceGetRemappedRows": "0 0 0 0",
    "nvmlDeviceGetTemperature[0]": "37",
    "nvmlDeviceGetTemperatureThreshold[1]": "89",
    "nvmlDeviceGetCurrentClocksThrottleReasons": "1",
    "nvmlDeviceGetCurrPcieLinkWidth": "16",
    "nvmlDeviceGetMaxPcieLinkWidth": "16",
    "nvmlDeviceGetCurrPcieLinkGeneration": "5",
    "nvmlDeviceGetMaxPcieLinkGeneration": "5",
    "nvmlDeviceGetPersistenceMode": "1",
    "nvmlDeviceGetComputeRunningProcesses": "",
    "nvmlDeviceGetMaxMigDeviceCount": "0",
    "field[230]": "0",
}
DRIVER = {
    "nvmlSystemGetDriverVersion": "580.159.04",
    "nvmlSystemGetCudaDriverVersion": "13000",
}


class FakeDriver:
    """Builds the libraries once, and writes what they answer."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("cc"):
            pytest.skip("a driver to be found needs a C compiler")
        self.folder = folder
        self._count = 0
        for name, source in (("libnvidia-ml.so.1", "nvml.c"), ("libcuda.so.580.159.04", "cuda.c")):
            subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / name, SOURCES / source], check=True)
        (folder / "libcuda.so.1").symlink_to("libcuda.so.580.159.04")

    def __call__(
        self,
        devices: int = 1,
        *,
        driver: Mapping[str, str] | None = None,
        answers: Mapping[int, Mapping[str, str]] | None = None,
        cuda: str = "",
    ) -> str:
        """Return shell text after which a driver of so many H100s is found.

        `driver` and `answers` replace what the driver and single devices answer, an empty text takes the answer away;
        `cuda` is how the CUDA driver library starts, by default well.
        """
        lines = [f"nvmlDeviceGetCount - {devices}"]
        lines += [f"{name} - {said}" for name, said in {**DRIVER, **(driver or {})}.items() if said]
        for index in range(devices):
            said = {name: text.format(index) for name, text in H100.items()} | dict((answers or {}).get(index, {}))
            lines += [f"{name} {index} {text}" for name, text in said.items() if text or name.endswith("Processes")]
        for place, said in (answers or {}).items():
            if place >= devices:
                lines += [f"{name} {place} {text}" for name, text in said.items()]
        self._count += 1
        scenario = self.folder / f"scenario{self._count}"
        scenario.write_text("\n".join(lines) + "\n")
        started = cuda or " ".join(["0", *(UUID.format(index) for index in range(devices))])
        return (
            f"export LD_LIBRARY_PATH={self.folder} NVML_SCENARIO={scenario} CUDA_SCENARIO={shlex.quote(started)}; "
            "unset CUDA_VISIBLE_DEVICES"
        )
