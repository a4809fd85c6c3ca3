"""examples/broken is refused for its four reasons, and for nothing once they are gone."""

HEADER = b'{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
MENDED = len(HEADER).to_bytes(8, "little") + HEADER + bytes(4)


def test_all_four_reasons_are_told(broken):
    answer = broken.preflight()
    assert answer.errors == ["config.number-as-text", "data.lfs-pointer", "imports.missing", "paths.not-a-folder"]
    assert answer.code == 1


def test_the_mended_project_is_healthy(broken):
    broken.replace("config.yaml", "1e-4", "1.0e-4")
    broken.replace("config.yaml", "cv2", "csv")
    broken.replace("train.py", "import cv2", "import csv")
    (broken.folder / "weights" / "encoder.safetensors").write_bytes(MENDED)
    (broken.folder / "runs").unlink()
    answer = broken.preflight()
    assert (answer.errors, answer.code) == ([], 0)


def test_it_does_not_even_import_torch(broken):
    (broken.folder / "torch.py").write_text("raise SystemExit('torch was imported')", encoding="utf-8")
    assert "torch was imported" not in str(broken.preflight().results)
