"""The hub check with caches as its clients leave them, without a network, and with a hub of our own that refuses."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Data, Location
from preflight.model import Finding, Severity, Status
from preflight.testing import run_check

AT = Location("foo.yaml", 5, "preflight.data[0]")
TOKENIZER = Data(hub="bert-base-uncased", hub_files=("tokenizer_config.json",), at=AT)
ANY = Data(hub="org/model", at=AT)
OFFLINE = 'set -- unshare --net "$@"'


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("hub")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, checks: ModuleType) -> Path:
    """A home of its own, and an environment that says nothing of proxies and of the hub."""
    for name in os.environ:
        if name.lower().endswith("_proxy") or name.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(checks.web, "PAUSE", 0.0)
    return tmp_path / "home"


def cache(folder: Path, name: str, *files: str, kind: str = "models") -> Path:
    """Lay a repository down as the client does: blobs, and a snapshot of links to them."""
    repository = folder / f"{kind}--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / "abc"
    for path in (repository / "refs", repository / "blobs", snapshot):
        path.mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text("abc")
    for number, file in enumerate(files):
        (repository / "blobs" / f"b{number}").write_text("{}")
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file).symlink_to(os.path.relpath(repository / "blobs" / f"b{number}", (snapshot / file).parent))
    return repository


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    assert (findings[0].file, findings[0].line) == ("foo.yaml", 5)
    return findings[0]


def test_without_a_network(home: Path, tmp_path: Path, checks: ModuleType, in_world: Any) -> None:
    finding = only(in_world(OFFLINE, checks.check_can_be_loaded, TOKENIZER, tmp_path))
    assert finding.id == "hub.no-network"
    assert "tokenizer_config.json of bert-base-uncased is not in the cache" in finding.message
    assert "no network" in finding.cause
    assert "download bert-base-uncased tokenizer_config.json" in finding.fix
    cache(home / ".cache/huggingface/hub", "bert-base-uncased", "tokenizer_config.json")
    assert not in_world(OFFLINE, checks.check_can_be_loaded, TOKENIZER, tmp_path)


@pytest.mark.parametrize(
    ("variable", "below"),
    [
        ("HF_HUB_CACHE", "shared"),
        ("HUGGINGFACE_HUB_CACHE", "shared"),
        ("TRANSFORMERS_CACHE", "shared"),
        ("HF_HOME", "shared/hub"),
        ("XDG_CACHE_HOME", "shared/huggingface/hub"),
    ],
)
def test_where_the_caches_are(
    variable: str, below: str, tmp_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cache(tmp_path / below, "org/model", "config.json")
    assert only(list(checks.check_can_be_loaded(ANY, tmp_path))).id == "hub.offline"
    monkeypatch.setenv(variable, str(tmp_path / "shared"))
    assert not list(checks.check_can_be_loaded(ANY, tmp_path))


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"])
def test_told_to_be_offline(
    variable: str, home: Path, tmp_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    finding = only(list(checks.check_can_be_loaded(ANY, tmp_path)))
    assert finding.id == "hub.offline"
    assert f"{variable}=1" in finding.cause
    cache(home / ".cache/huggingface/hub", "org/model", "data.csv", kind="datasets")
    assert not list(checks.check_can_be_loaded(ANY, tmp_path))


def test_a_download_that_was_broken_off(
    home: Path, tmp_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    repository = cache(home / ".cache/huggingface/hub", "org/model")
    (repository / "blobs" / "b.incomplete").write_text("{")
    finding = only(list(checks.check_can_be_loaded(ANY, tmp_path)))
    assert "broken off" in finding.cause


def test_content_that_is_gone(home: Path, tmp_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    repository = cache(home / ".cache/huggingface/hub", "org/model", "config.json", "model.safetensors")
    (repository / "blobs" / "b1").unlink()
    assert "model.safetensors" in only(list(checks.check_can_be_loaded(ANY, tmp_path))).message
    listed = Data(hub="org/model", hub_files=("config.json",), at=AT)
    assert not list(checks.check_can_be_loaded(listed, tmp_path))


def test_a_model_in_parts(home: Path, tmp_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    parts = ("model-1.safetensors", "model.safetensors.index.json")
    repository = cache(home / ".cache/huggingface/hub", "org/model", *parts)
    index = '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    (repository / "blobs" / "b1").write_text(index)
    assert "model-2.safetensors" in only(list(checks.check_can_be_loaded(ANY, tmp_path))).message
    (repository / "snapshots" / "abc" / "model-2.safetensors").write_text("")
    assert not list(checks.check_can_be_loaded(ANY, tmp_path))


def test_a_dataset_that_is_prepared(
    home: Path, tmp_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    (home / ".cache/huggingface/datasets/org___model").mkdir(parents=True)
    assert not list(checks.check_can_be_loaded(ANY, tmp_path))


def test_a_folder_of_that_name(tmp_path: Path, checks: ModuleType) -> None:
    (tmp_path / "glue").mkdir()
    entry = Data(hub="glue", at=AT)
    finding = only(list(checks.check_can_be_loaded(entry, tmp_path)))
    assert finding.id == "hub.folder"
    assert "holds no file" in finding.message
    (tmp_path / "glue" / "train.csv").write_text("a\n")
    assert not list(checks.check_can_be_loaded(entry, tmp_path))
    listed = Data(hub="glue", hub_files=("test.csv",), at=AT)
    assert "has no test.csv" in only(list(checks.check_can_be_loaded(listed, tmp_path))).message


@pytest.mark.parametrize("name", ["./models/bert", "/models/bert", "models/bert/base"])
def test_a_path_with_nothing_there(name: str, tmp_path: Path, checks: ModuleType) -> None:
    assert only(list(checks.check_can_be_loaded(Data(hub=name, at=AT), tmp_path))).id == "hub.missing-folder"


class Hub(BaseHTTPRequestHandler):
    """A hub with one open model, one open dataset, one gated and one private model."""

    GOOD = "Bearer hf_s3cret"

    def do_GET(self) -> None:
        path = self.path.removeprefix("/api").removeprefix("/models").removeprefix("/datasets").strip("/")
        name, _, file = path.partition("/resolve/main/")
        granted = self.headers.get("Authorization") == self.GOOD
        self.respond(name, file, granted, dataset="/datasets/" in self.path)

    do_HEAD = do_GET

    def respond(self, name: str, file: str, granted: bool, dataset: bool) -> None:
        if name == "busy/model":
            self.send(503)
        elif name == "elsewhere/model":
            self.send(302, location="http://127.0.0.1:9/blob")
        elif name == "cut/model":
            self.send(403, "GatedRepo") if not granted and file else self.send(200)
        elif name == ("org/set" if dataset else "org/model"):
            self.send(404, "EntryNotFound") if file == "nothing.json" else self.send(200)
        else:
            self.send(200 if granted and name == "org/private" else 401, "" if granted else "RepoNotFound")

    def send(self, status: int, code: str = "", location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if code:
            self.send_header("X-Error-Code", code)
        if location:
            self.send_header("Location", location)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub of our own, which the clients are told to use."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("name", ["org/model", "org/set"])
@pytest.mark.parametrize("files", [(), ("config.json",), ("a/b.json", "c.json")])
def test_what_the_hub_hands_out(name: str, files: tuple[str, ...], tmp_path: Path, checks: ModuleType) -> None:
    assert not list(checks.check_can_be_loaded(Data(hub=name, hub_files=files, at=AT), tmp_path))


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("cut/model", (), "gated"),
        ("cut/model", ("config.json",), "gated"),
        ("org/private", (), "not-found"),
        ("org/privvate", ("config.json",), "not-found"),
        ("org/model", ("nothing.json",), "no-file"),
        ("elsewhere/model", ("config.json",), "host-refused"),
    ],
)
def test_what_it_does_not(name: str, files: tuple[str, ...], expected: str, tmp_path: Path, checks: ModuleType) -> None:
    finding = only(list(checks.check_can_be_loaded(Data(hub=name, hub_files=files, at=AT), tmp_path)))
    assert finding.id == f"hub.{expected}"
    assert finding.severity is Severity.ERROR


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("name", ["cut/model", "org/private"])
def test_a_token_opens_it_and_is_not_shown(
    name: str, home: Path, tmp_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Data(hub=name, hub_files=("config.json",), at=AT)
    monkeypatch.setenv("HF_TOKEN", "hf_wr0ng")
    assert "hf_wr0ng" not in repr(only(list(checks.check_can_be_loaded(entry, tmp_path))))
    monkeypatch.delenv("HF_TOKEN")
    (home / ".cache/huggingface").mkdir(parents=True)
    (home / ".cache/huggingface/token").write_text("hf_s3cret\n")
    assert not list(checks.check_can_be_loaded(entry, tmp_path))


@pytest.mark.usefixtures("endpoint")
def test_a_hub_that_is_busy(endpoint: str, tmp_path: Path, checks: ModuleType) -> None:
    finding = only(list(checks.check_can_be_loaded(Data(hub="busy/model", at=AT), tmp_path)))
    assert (finding.id, finding.severity) == ("hub.busy", Severity.WARNING)


def test_a_hub_that_is_not_there(tmp_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert only(list(checks.check_can_be_loaded(ANY, tmp_path))).id == "hub.host-refused"


def test_as_a_run_sees_it(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = {"preflight": {"data": [{"hub": "org/model"}, "x.csv"]}}
    (result,) = run_check("hub.can-be-loaded", config, root=tmp_path)
    assert (result.status, result.check) == (Status.FAILED, "hub.can-be-loaded[org/model]")
    cache(home / ".cache/huggingface/hub", "org/model", "config.json")
    (result,) = run_check("hub.can-be-loaded", config, root=tmp_path)
    assert result.status is Status.PASSED
    shutil.rmtree(home)
