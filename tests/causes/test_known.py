"""Failures of libraries in their own words are known by these."""

import pytest

from preflight.causes.known import KNOWN


def said_of(problem: Exception) -> list[str]:
    text = f"{type(problem).__name__}: {problem}"
    return [said["name"] for known in KNOWN if (said := known.said_of(text))]


def test_a_tokenizer_without_a_pad_token() -> None:
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="[UNK]")
    with pytest.raises(ValueError, match="padding") as raised:
        tokenizer(["a", "a b"], padding=True)
    assert said_of(raised.value) == ["no-pad-token"]
    tokenizer.pad_token = tokenizer.eos_token
    assert len(tokenizer(["a", "a b"], padding=True)["input_ids"][0]) == 2


def test_cublas_without_its_workspace() -> None:
    # As torch words it (aten/src/ATen/Context.cpp): no machine here has cuBLAS.
    problem = RuntimeError(
        "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or "
        "`at::Context::setDeterministicAlgorithms(true)`, but this operation is not deterministic because it "
        "uses CuBLAS and you have CUDA >= 10.2. To enable deterministic behavior in this case, you must set an "
        "environment variable before running your PyTorch application: CUBLAS_WORKSPACE_CONFIG=:4096:8 or "
        "CUBLAS_WORKSPACE_CONFIG=:16:8."
    )
    assert said_of(problem) == ["deterministic"]
