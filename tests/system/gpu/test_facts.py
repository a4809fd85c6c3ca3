"""Facts survive being written, and what identifies a machine or a person can be taken out of them."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.system.gpu.facts import (
    Build,
    Card,
    Cuda,
    Device,
    Driver,
    Gpus,
    Node,
    Process,
    Rows,
    View,
    Xid,
    named,
)

WHOLE = Gpus(
    driver=Driver.ANSWERS,
    version="580.159.04",
    loaded="580.159.04",
    cuda=(13, 0),
    devices=(
        Device(
            index=0,
            uuid="GPU-3fa339b7",
            name="H100",
            pci="0000:65:00.0",
            capability=(9, 0),
            slices=("MIG-77aa",),
            processes=(Process(pid=42, memory=7, name="python", user="ada"),),
            rows=Rows(pending=True),
            links=(True, False),
        ),
        Device(index=1, uuid="GPU-99bb", processes=()),
    ),
    nodes=(Node(path="/dev/nvidia0", usable=False),),
    cards=(Card(pci="0000:65:00.0", driver="nvidia"),),
    xids=(Xid(pci="0000:65:00", number=79, age=3.5, text="fell off"),),
    library=Cuda(code=0, newest=(13, 0), devices=("99bb", "3fa339b7")),
    build=Build(version="2.11.0+cu130", cuda="13.0", architectures=("sm_90",)),
    torch=View(version="2.11.0+cu130", devices=("H100",)),
    environment={"CUDA_VISIBLE_DEVICES": "GPU-3f,1,MIG-77aa,GPU-dead"},
)


@pytest.mark.parametrize("gpus", [Gpus(), WHOLE], ids=["nothing", "everything"])
def test_facts_survive_a_file(gpus: Gpus) -> None:
    assert Gpus.from_json(json.loads(json.dumps(gpus.to_json()))) == gpus


@given(
    st.builds(
        Device,
        index=st.integers(0, 15),
        uuid=st.text(),
        free=st.none() | st.integers(0),
        capability=st.none() | st.tuples(st.integers(0, 20), st.integers(0, 9)),
        processes=st.none()
        | st.lists(st.builds(Process, pid=st.integers(1), memory=st.none() | st.integers())).map(tuple),
        rows=st.none() | st.builds(Rows, pending=st.booleans()),
        links=st.lists(st.booleans()).map(tuple),
        persistence=st.none() | st.booleans(),
    )
)
def test_any_device_survives_a_file(device: Device) -> None:
    gpus = Gpus(devices=(device,))
    assert Gpus.from_json(json.loads(json.dumps(gpus.to_json()))) == gpus


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        {"schema": "preflight.facts/2"},
        {"schema": "preflight.facts/1", "driver": "asleep"},
        {"schema": "preflight.facts/1", "devices": [{"name": "no index"}]},
        {"schema": "preflight.facts/1", "devices": [7]},
    ],
)
def test_what_holds_no_facts(data: object) -> None:
    with pytest.raises(ValueError, match=r"schema|facts"):
        Gpus.from_json(data)  # type: ignore[arg-type]


def test_keys_of_a_later_version_are_passed_over() -> None:
    assert Gpus.from_json({**WHOLE.to_json(), "mood": "good"}) == WHOLE


def test_nothing_identifies_redacted_facts() -> None:
    text = json.dumps(WHOLE.redacted().to_json())
    for secret in ("3fa339b7", "99bb", "77aa", "ada", "dead"):
        assert secret not in text
    assert "python" in text


def test_redacted_facts_still_fit_together() -> None:
    told = WHOLE.redacted()
    uuids = [device.uuid for device in told.devices]
    assert told.environment["CUDA_VISIBLE_DEVICES"] == f"{uuids[0]},1,{told.devices[0].slices[0]},GPU-unknown"
    assert told.library is not None
    assert [f"GPU-{bare}" for bare in told.library.devices] == [uuids[1], uuids[0]]
    assert told.redacted() == told


def test_what_messages_call_devices() -> None:
    first, second = WHOLE.devices
    assert named([first]) == "GPU 0 (H100, 0000:65:00.0)"
    assert named([first, second]) == "GPU 0 (H100, 0000:65:00.0) and 1 more"
    assert named([replace(second, name="", pci="")]) == "GPU 1"
