"""Names that are surely meant to be another, and those that are not."""

import pytest

from preflight.system.spelling import is_misspelling


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("learning_rte", "learning_rate"),
        ("leanring_rate", "learning_rate"),
        ("learningrate", "learning_rate"),
        ("learningRate", "learning_rate"),
        ("learning-rate", "learning_rate"),
        ("batchsize", "batch_size"),
        ("batch_szie", "batch_size"),
        ("epoch", "epochs"),
        ("wieght_decay", "weight_decay"),
        ("momentun", "momentum"),
        ("num_worker", "num_workers"),
        ("drop_out", "dropout"),
    ],
)
def test_a_misspelling(written: str, meant: str) -> None:
    assert is_misspelling(written, meant)
    assert is_misspelling(meant, written)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x_min", "y_min"),
        ("min_lr", "max_lr"),
        ("beta1", "beta2"),
        ("layer_1", "layer_10"),
        ("conv1_size", "conv2_size"),
        ("encoder", "decoder"),
        ("enc_layers", "dec_layers"),
        ("train_size", "test_size"),
        ("val_path", "vae_path"),
        ("lr", "lrs"),
        ("name", "names"),
        ("tag", "tags"),
        ("seed", "seed"),
        ("num_workers", "max_workers"),
        ("row_wise_error", "row_size_errors"),
    ],
)
def test_names_of_two_things(one: str, other: str) -> None:
    assert not is_misspelling(one, other)
    assert not is_misspelling(other, one)
