"""Each place where a client looks for its credentials, in a home of our own."""

import hashlib
import os
from pathlib import Path

import pytest

from preflight.system import credentials
from preflight.system.credentials import FINDERS

SECRET = "s3cret-0123456789"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bare home, with no variable set that a client would look at."""
    for name in list(os.environ):
        if name.startswith(
            ("WANDB", "HF_", "HUGGING", "AWS_", "NETRC", "XDG_", "TRANSFORMERS", "COMET", "GOOGLE", "KAGG")
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


FILES = [
    ("wandb", ".netrc", f"machine api.wandb.ai\n  login user\n  password {SECRET}\n"),
    ("wandb", "_netrc", f"machine api.wandb.ai login user password {SECRET}\n"),
    ("wandb", ".config/wandb/settings", "[default]\nmode = offline\n"),
    ("wandb", "wandb/settings", "[default]\nmode = disabled\n"),
    ("huggingface", ".cache/huggingface/token", SECRET),
    ("aws", ".aws/credentials", f"[default]\naws_access_key_id = A\naws_secret_access_key = {SECRET}\n"),
    ("aws", ".aws/config", "[default]\ncredential_process = /bin/keys\n"),
    ("comet", ".comet.config", f"[comet]\napi_key = {SECRET}\n"),
    ("google", ".config/gcloud/application_default_credentials.json", "{}"),
    ("kaggle", ".kaggle/kaggle.json", "{}"),
]
NO_USE = [
    ("wandb", ".netrc", f"machine other.example login user password {SECRET}\n"),
    ("wandb", ".netrc", f"machine api.wandb.ai login user password {SECRET}\nrubbish\n"),
    ("wandb", ".config/wandb/settings", "[default]\nmode = online\n"),
    ("wandb", ".config/wandb/settings", "no section at all"),
    ("huggingface", ".cache/huggingface/token", "  \n"),
    ("aws", ".aws/credentials", f"[other]\naws_access_key_id = A\naws_secret_access_key = {SECRET}\n"),
    ("aws", ".aws/config", "[default]\nregion = eu-west-1\n"),
    ("aws", ".aws/credentials", "[default]\naws_access_key_id = A\n"),
    ("aws", ".aws/config", "[default]\nsso_session = team\n"),
]
SET = [
    ("wandb", "WANDB_API_KEY", SECRET),
    ("wandb", "WANDB_IDENTITY_TOKEN_FILE", "/token"),
    ("wandb", "WANDB_MODE", "disabled"),
    ("wandb", "WANDB_DISABLED", "true"),
    ("huggingface", "HF_TOKEN", SECRET),
    ("huggingface", "HUGGING_FACE_HUB_TOKEN", SECRET),
    ("huggingface", "TRANSFORMERS_OFFLINE", "1"),
    ("aws", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1"),
    ("comet", "COMET_API_KEY", SECRET),
    ("neptune", "NEPTUNE_API_TOKEN", SECRET),
]


def write(home: Path, name: str, text: str) -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def _machine_of_no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_machine", lambda: "")


@pytest.mark.parametrize("client", FINDERS)
def test_a_bare_home_holds_nothing(client: str, home: Path) -> None:
    assert FINDERS[client](home) == ""


@pytest.mark.parametrize(("client", "name", "text"), FILES)
def test_a_file_that_holds_them(client: str, name: str, text: str, home: Path) -> None:
    write(home, name, text)
    found = FINDERS[client](home)
    assert found
    assert SECRET not in found


@pytest.mark.parametrize(("client", "name", "text"), NO_USE)
def test_a_file_that_does_not(client: str, name: str, text: str, home: Path) -> None:
    write(home, name, text)
    assert FINDERS[client](home) == ""


@pytest.mark.parametrize(("client", "variable", "value"), SET)
def test_a_variable(client: str, variable: str, value: str, *, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    found = FINDERS[client](home)
    assert found
    assert SECRET not in found
    monkeypatch.setenv(variable, "")
    assert FINDERS[client](home) == ""


def test_files_in_other_places(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = write(home, "secrets/netrc", f"machine wandb.example login user password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert credentials.wandb(home) == ""
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example")
    assert credentials.wandb(home) == str(netrc)
    token = write(home, "secrets/token", SECRET)
    monkeypatch.setenv("HF_HOME", str(home / "secrets"))
    assert credentials.huggingface(home) == str(token)
    monkeypatch.setenv("HF_TOKEN_PATH", str(home / "gone"))
    assert credentials.huggingface(home) == ""
    write(home, ".aws/config", "[profile team]\nrole_arn = x\n")
    monkeypatch.setenv("AWS_PROFILE", "team")
    assert "team" in credentials.aws(home)


def test_half_a_pair_of_keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
    assert credentials.aws(home) == ""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert credentials.aws(home) == "AWS_ACCESS_KEY_ID"


def test_a_login_that_is_over(home: Path) -> None:
    write(home, ".aws/config", "[default]\nsso_session = team\n")
    token = home / ".aws/sso/cache" / (hashlib.sha1(b"team").hexdigest() + ".json")
    token.parent.mkdir(parents=True)
    for text, is_valid in (
        ('{"expiresAt": "2020-06-17T10:02:08Z"}', False),
        ('{"expiresAt": "2020-06-17T10:02:08UTC"}', False),
        ('{"expiresAt": "2999-06-17T10:02:08Z"}', True),
        ('{"expiresAt": "2020-06-17T10:02:08Z", "refreshToken": "x"}', True),
        ("rubbish", False),
    ):
        token.write_text(text)
        assert bool(credentials.aws(home)) is is_valid


def test_a_profile_that_is_not_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
    assert not credentials.aws(home)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert credentials.aws(home)
    monkeypatch.setenv("AWS_PROFILE", "gone")
    assert not credentials.aws(home)
