"""The contents of files, broken in each way the check has a word for, and mended."""

import gzip
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from preflight.config import Config, Data, Files, Import, Location, Seeds
from preflight.model import Finding, Severity, Status
from preflight.testing import run_check

AT = Location("foo.yaml", 3, "preflight.data[0]")
NOISE = np.random.default_rng(3).integers(0, 255, (48, 48, 3), dtype=np.uint8)


def image(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, kind)
    return buffer.getvalue()


JPEG, PNG, GIF = image("JPEG"), image("PNG"), image("GIF")


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("contents")


@pytest.fixture
def judge(checks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Finding]]:
    monkeypatch.chdir(tmp_path)

    def judge(
        path: str = "data", *, check: str = "are_whole", config: Config | None = None, **more: Any
    ) -> list[Finding]:
        entry = Data(path=path, at=AT, **more)
        return list(getattr(checks, f"check_{check}")(entry=entry, root=tmp_path, config=config or Config()))

    (tmp_path / "data").mkdir()
    return judge


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    assert (findings[0].file, findings[0].line) == ("foo.yaml", 3)
    return findings[0]


def write(**contents: bytes) -> None:
    for name, content in contents.items():
        Path("data", name.replace("_", ".")).write_bytes(content)


def test_files_that_are_cut_off_are_one_finding(judge: Any) -> None:
    write(a_jpg=JPEG, b_jpg=JPEG[:900], c_jpg=JPEG[:1000], d_png=PNG)
    finding = only(judge())
    assert finding.id == "contents.truncated"
    assert finding.severity is Severity.ERROR
    assert finding.message.startswith("data/b.jpg (and 1 more of 4 files) is truncated")
    assert finding.evidence["count"] == 2
    subprocess.run(["bash", "-ec", finding.fix.partition("\n")[2]], check=True)
    write(c_jpg=JPEG)
    assert not judge()


def test_an_image_that_loads_all_the_same_is_silent(judge: Any) -> None:
    write(a_gif=GIF[:-1], b_png=PNG[:-12])
    assert not judge()
    write(b_png=PNG[:-300])
    assert only(judge()).message.startswith("data/b.png")


def test_a_program_that_mends_images_is_believed(judge: Any) -> None:
    write(a_jpg=JPEG[:900])
    assert judge()
    Path("train.py").write_text("from PIL import ImageFile\nImageFile.LOAD_TRUNCATED_IMAGES = True\n")
    assert not judge()
    assert not judge(check="can_be_decoded", open="all")


def test_one_format_in_place_of_another(judge: Any) -> None:
    write(a_gz=b"id,label\n1,2\n" * 9, b_gz=gzip.compress(b"id,label\n1,2\n"))
    finding = only(judge())
    assert finding.id == "contents.wrong-format"
    assert "data/a.gz is no gzip file" in finding.message
    write(a_gz=gzip.compress(b""))
    assert not judge()


def test_an_image_under_the_suffix_of_another_is_told_only(judge: Any) -> None:
    write(a_png=JPEG, b_png=PNG)
    finding = only(judge())
    assert (finding.id, finding.severity) == ("contents.other-suffix", Severity.INFO)
    assert "data/a.png is a JPEG image" in finding.message
    write(a_png=PNG)
    assert not judge()


@pytest.mark.parametrize("name", ["a.npy", "a.png", "a.safetensors"])
def test_a_word_in_place_of_a_file(name: str, judge: Any) -> None:
    Path("data", name).write_text("x\n")
    finding = only(judge())
    assert (finding.id, finding.severity) == ("contents.stub", Severity.WARNING)
    Path("data", name).rename("data/a.txt")
    assert not judge()


def test_zero_bytes(judge: Any) -> None:
    write(a_png=bytes(9000), b_png=PNG)
    assert only(judge()).id == "contents.zeros"
    write(a_png=PNG)
    assert not judge()


def test_parts_that_contradict_each_other(judge: Any) -> None:
    header = json.dumps({"x": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}}).encode()
    whole = struct.pack("<Q", len(header)) + header + bytes(9)
    write(a_safetensors=whole + b"more")
    assert only(judge()).id == "contents.damaged"
    write(a_safetensors=whole)
    assert not judge()


@pytest.mark.parametrize("cut", [40, 4, 1])
def test_gzip_has_no_end_and_is_read_to_it(cut: int, judge: Any) -> None:
    whole = gzip.compress(NOISE.tobytes())
    write(a_jsonl_gz=whole[:-cut])
    assert only(judge()).id == "contents.truncated"
    write(a_jsonl_gz=whole)
    assert not judge()


@pytest.mark.parametrize("name", ["a_npz", "a_zip"])
def test_a_member_that_its_checksum_does_not_fit(name: str, judge: Any) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=NOISE, t=NOISE)
    whole = buffer.getvalue()
    write(**{name: whole[:3000] + bytes(64) + whole[3064:]})
    finding = only(judge())
    assert (finding.id, finding.severity) == ("contents.damaged", Severity.ERROR)
    assert "its member x.npy: Bad CRC-32" in finding.message
    write(**{name: whole})
    assert not judge()


def zip_of(*names: str, content: bytes = b"content") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


def test_an_archive_that_explodes(judge: Any, tmp_path: Path) -> None:
    whole = zip_of("a", "b", "c", content=bytes(10**6))
    write(a_zip=whole.replace(struct.pack("<I", 10**6), struct.pack("<I", 0xFFFFFFF0)))
    finding = only(judge())
    assert (finding.id, finding.severity) == ("contents.bomb", Severity.WARNING)
    assert "13 GB" in finding.message
    assert not judge(check="can_be_decoded", open="all")
    write(a_zip=whole)
    assert not judge()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data"]


def test_an_archive_that_leads_out(judge: Any, tmp_path: Path) -> None:
    write(a_zip=zip_of("../../x"))
    finding = only(judge())
    assert (finding.id, finding.severity) == ("contents.leads-out", Severity.WARNING)
    assert "../../x" in finding.message
    assert not judge(check="can_be_decoded", open="all")
    assert not (tmp_path.parent / "x").exists()
    write(a_zip=zip_of("x", "a..b/c"))
    assert not judge()


class Harm:
    """What a pickle made with intent does when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("name", ["a.pkl", "a.pt", "a.pth", "a.bin", "a.npy", "a.ckpt", "a.joblib"])
def test_no_pickle_is_loaded(name: str, judge: Any) -> None:
    content = pickle.dumps(Harm())
    for each in (content, content[:-1], zip_of("x/data.pkl", content=content)):
        Path("data", name).write_bytes(each)
        judge()
        judge(check="can_be_decoded", open="all")
    assert not Path("harmed").exists()


def test_decoding_finds_what_head_and_tail_do_not_tell(judge: Any) -> None:
    middle = len(PNG) // 2
    write(a_png=PNG[:middle] + bytes(900) + PNG[middle + 900 :], b_png=PNG)
    assert not judge()
    finding = only(judge(check="can_be_decoded", open="all"))
    assert finding.id == "contents.undecodable"
    assert finding.message.startswith("data/a.png cannot be decoded")
    subprocess.run(["bash", "-ec", finding.fix.partition("\n")[2]], check=True)
    assert not judge(check="can_be_decoded", open="all")


def test_what_the_cheap_tests_find_is_not_said_twice(judge: Any) -> None:
    write(a_png=PNG[:900], b_png=b"", c_png=b"version https://git-lfs.github.com/spec/v1\n")
    assert not judge(check="can_be_decoded", open="all")


def test_the_seed_chooses(judge: Any) -> None:
    middle = len(PNG) // 2
    for number in range(40):
        content = PNG if number else PNG[:middle] + bytes(900) + PNG[middle + 900 :]
        Path("data", f"{number}.png").write_bytes(content)
    found = [bool(judge(check="can_be_decoded", open=20, config=Config(seeds=Seeds(value=seed)))) for seed in range(8)]
    assert set(found) == {True, False}
    again = [bool(judge(check="can_be_decoded", open=20, config=Config(seeds=Seeds(value=seed)))) for seed in range(8)]
    assert found == again


def test_an_image_that_explodes(judge: Any) -> None:
    Image.new("1", (13_400, 13_400)).save("data/a.png")
    finding = only(judge(check="can_be_decoded", open="all"))
    assert (finding.id, finding.severity) == ("contents.bomb", Severity.WARNING)
    Path("train.py").write_text("from PIL import Image\nImage.MAX_IMAGE_PIXELS = None\n")
    assert not judge(check="can_be_decoded", open="all")
    Path("train.py").unlink()
    write(a_png=PNG)
    assert not judge(check="can_be_decoded", open="all")


def test_a_library_that_is_not_installed_is_said(judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write(a_png=PNG)
    monkeypatch.setitem(sys.modules, "PIL", None)
    finding = only(judge(check="can_be_decoded", open="all"))
    assert (finding.id, finding.severity) == ("contents.not-opened", Severity.INFO)
    assert "PIL is not installed" in finding.message


def checkpoint(**values: bytes) -> bytes:
    return zip_of("last/data.pkl", content=b"\x80\x02}(" + b"".join(values.values()) + b"u.")


NAMESPACE = b"X\x04\x00\x00\x00argscargparse\nNamespace\n)\x81"
PLAIN = b"X\x05\x00\x00\x00epochK\x07"
LOADS = "import torch\nstate = torch.load(path{})\n"


@pytest.mark.parametrize(
    ("program", "severity"),
    [
        (LOADS.format(""), Severity.ERROR),
        (LOADS.format(", weights_only=True"), Severity.ERROR),
        (LOADS.format("") + LOADS.format(", weights_only=False"), Severity.WARNING),
        ("import lightning\n", Severity.INFO),
        (LOADS.format(", weights_only=False"), None),
        ("import torch\ntorch.serialization.add_safe_globals([argparse.Namespace])\n" + LOADS.format(""), None),
    ],
)
def test_what_blocks_a_checkpoint(program: str, severity: Severity | None, judge: Any) -> None:
    Path("train.py").write_text(program)
    write(a_pt=checkpoint(epoch=PLAIN, args=NAMESPACE), b_pt=checkpoint(epoch=PLAIN))
    findings = judge()
    assert [finding.severity for finding in findings] == ([severity] if severity else [])
    for finding in findings:
        assert finding.id == "contents.weights-only"
        assert "data/a.pt cannot be loaded with weights_only=True: it holds argparse.Namespace" in finding.message
        assert "    torch.serialization.add_safe_globals([argparse.Namespace])" in finding.fix
    write(a_pt=checkpoint(epoch=PLAIN))
    assert not judge()


def test_a_variable_lets_every_checkpoint_load(judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("train.py").write_text(LOADS.format(""))
    write(a_pt=checkpoint(args=NAMESPACE))
    assert judge()
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert not judge()


@pytest.mark.parametrize(
    ("program", "is_told"),
    [
        (LOADS.format(""), True),
        (LOADS.format(', map_location="cpu"'), False),
        (LOADS.format(", 'cpu'"), False),
        (LOADS.format(", **how"), False),
        (LOADS.format("") + "torch.set_default_device('cpu')\n", False),
        ("import torch\n", False),
    ],
)
def test_a_checkpoint_of_a_gpu(program: str, is_told: bool, judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    if torch.version.cuda:
        pytest.skip("this torch can load it")
    Path("train.py").write_text(program)
    # The name of a device in the settings that lie beside them says nothing of the tensors.
    state = {"args": {"device": "cuda:0"}, "net": {"one": torch.ones(2), "two": torch.zeros(3)}}
    torch.save(state, "data/cpu.pt")
    torch.save(state, "data/old.pt", _use_new_zipfile_serialization=False)
    assert not judge()
    # As a machine with a GPU writes it.
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
    torch.save(state, "data/new.pt")
    torch.save(state, "data/old.pt", _use_new_zipfile_serialization=False)
    findings = judge()
    assert [finding.id for finding in findings] == ["contents.gpu-tensors"] * is_told
    for finding in findings:
        assert (
            "data/new.pt (and 1 more of 3 files) cannot be loaded here: it holds tensors of cuda:0" in finding.message
        )
        assert 'torch.load(path, map_location="cpu")' in finding.fix
        with pytest.raises(RuntimeError, match="deserialize object on a CUDA device"):
            torch.load("data/old.pt")


def test_a_module_of_the_project_loads_it(judge: Any) -> None:
    Path("project.py").write_text(LOADS.format(""))
    write(a_pt=checkpoint(args=NAMESPACE))
    config = Config(imports=(Import(name="project"),))
    assert only(judge(config=config)).severity is Severity.ERROR


def test_nothing_is_said_of_what_is_not_there(judge: Any) -> None:
    assert not judge("nowhere")
    assert not judge("nowhere", check="can_be_decoded", open="all")
    assert not judge(files=Files(glob="*.png"))


def test_as_a_run_sees_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG[:900])
    config = {"preflight": {"data": [{"path": "a.jpg", "open": "all"}]}}
    (whole,) = run_check("contents.are-whole", config, root=tmp_path)
    assert whole.status is Status.FAILED
    assert whole.findings[0].id == "contents.truncated"
    (tmp_path / "a.jpg").write_bytes(JPEG)
    for name in ("contents.are-whole", "contents.can-be-decoded"):
        (result,) = run_check(name, config, root=tmp_path)
        assert result.status is Status.PASSED
