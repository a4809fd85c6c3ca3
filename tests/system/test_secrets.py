"""What is secret is hidden, however it is written; what only looks like it stays."""

import time

import pytest

from preflight.system.secrets import Secrets, named, passwords

PLAIN = Secrets()
SHAPED = [
    "hf_" + "aB3" * 12,
    "ghp_" + "aB3" * 12,
    "github_pat_" + "aB3_" * 20,
    "glpat-" + "aB3-" * 6,
    "AKIA" + "ABCD" * 4,
    "AIza" + "aB3-x" * 7,
    "xoxb-1234567890-abc",
    "pypi-AgE" + "aB3" * 20,
    "sk-" + "proj-" + "aB3x" * 12,
    "eyJhbGciOiJI.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2QT4",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
]
HEALTHY = [
    "9ec3d8a27d3d07ee4a6f90d2dfd5a2e9f8c3a1b2 is the commit",
    "sha256 is 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, the config asks for another",
    "https://example.org/data?version=2&page=3#top",
    "ssh://git@github.com/me/project.git has no branch main",
    "git@github.com:me/project.git",
    "tokenizer.json has 32,000 tokens, <|endoftext|> is one of them",
    "the key model.layers.0.weight is not in the checkpoint",
    "torch-2.4.0+cu124-cp311-cp311-linux_x86_64.whl",
    "task-12345678901234567890123456789012345678901234567890",
    "http://[::1]:8080/ does not answer",
    "C:\\data and /data@home/x",
]


@pytest.mark.parametrize("secret", SHAPED, ids=lambda secret: secret[:8])
@pytest.mark.parametrize("around", ["{}", "token={}", 'ValueError: "{}" is refused', "\x1b[31m {}\x1b[0m", "a {}, b"])
def test_what_services_give_out_is_known_by_its_shape(secret: str, around: str) -> None:
    assert PLAIN.hide(around.format(secret)) == around.format("***")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("postgres://me:hunter2@db/x", "postgres://***@db/x"),
        ("postgres://me:p@ss@db/x", "postgres://***@db/x"),
        ("https://x-access-token@github.com/a", "https://***@github.com/a"),
        ("s3://b/k?X-Amz-Signature=abc&part=1", "s3://b/k?X-Amz-Signature=***&part=1"),
        ("https://h/?a=1&sig=ab%3D", "https://h/?a=1&sig=***"),
        ("Authorization: Bearer abcdefghij", "Authorization: ***"),
        ("{'authorization': 'token abcdefghij'}", "{'authorization': '***'}"),
    ],
)
def test_what_stands_where_secrets_stand(text: str, wanted: str) -> None:
    hidden = PLAIN.hide(text)
    assert hidden.replace("Bearer ", "").replace("token ", "") == wanted


@pytest.mark.parametrize("text", HEALTHY)
def test_healthy_texts_stay(text: str) -> None:
    assert PLAIN.hide(text) == text
    assert Secrets(["deadbeef99"]).hide(text) == text


VALUES = {
    "WANDB_API_KEY": "0123456789abcdef" * 2 + "01234567",
    "DB_PASSWORD": "correcthorse",
    "SLACK": "not-a-secret-1",
    "PWD": "/home/me/project1",
    "OLDPWD": "/home/me/project2",
    "SSH_KEY": "/home/me/.ssh/id_ed25519",
    "HF_TOKEN_PATH": "/home/me/token1",
    "MY_TOKEN": "short1",
    "PAD_TOKEN": "<|endoftext_1|>",
    "TOKENIZERS_PARALLELISM": "false-and-more-1",
    "nested": {"api_key": "abc123def456", "list": [{"authToken": "zyx987wvu654"}], "target_key": "label_2_columns"},
}


def test_secrets_are_known_by_their_names() -> None:
    wanted = {VALUES["WANDB_API_KEY"], "correcthorse", "abc123def456", "zyx987wvu654"}
    assert set(named(VALUES)) == wanted


def test_every_spelling_of_a_known_secret() -> None:
    secrets = Secrets(["a/b c'1\n2ü"])
    for text in ("a/b c'1\n2ü", "a%2Fb%20c%271%0A2%C3%BC", "a/b c'1\\n2\\u00fc", "xa/b c'1\n2üx"):
        assert "***" in secrets.hide(text), text


def test_the_key_of_another_host_is_read_from_netrc(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine api.wandb.ai login user password " + "0af9" * 10 + "\n")
    monkeypatch.setenv("NETRC", str(file))
    assert list(passwords()) == ["0af9" * 10]
    file.write_text("machine nonsense {")
    assert list(passwords()) == []
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert list(passwords()) == []


def test_all_of_a_message_is_looked_through() -> None:
    message = {"a": [{"b": "x hunter22 y"}, 1, None, True, 2.5], "hunter22": ("hunter22",)}
    assert Secrets(["hunter22"]).hide(message) == {"a": [{"b": "x *** y"}, 1, None, True, 2.5], "***": ["***"]}


@pytest.mark.parametrize("text", ["sk-", "-eyJ", "hf_", "?token", "://a:", "Bearer ", "authorization ", "-----BEGIN "])
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    Secrets(["hunter22"]).hide(text * (1_000_000 // len(text)))
    assert time.process_time() - began < 5
