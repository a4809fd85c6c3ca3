"""Where what pip installed is found again, who is asked for it, and that no secret is kept."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight import writing
from preflight.envlock import provenance
from preflight.envlock.choice import File, chosen
from preflight.envlock.environment import Environment
from preflight.envlock.index import offered
from preflight.envlock.indexes import indexes
from preflight.envlock.inventory import Inventory
from preflight.envlock.model import Package
from preflight.envlock.plan import plan
from preflight.envlock.pylock import read_pylock

Inventories = Callable[[Path], Inventory]
SECRET = "planted-secret"


@pytest.fixture
def bare(tmp_path: Path, load_world: Callable[[str], ModuleType], wheels: Path) -> Path:
    """A virtual environment without pip, in which the wheels lie unpacked as an installer leaves them."""
    import zipfile

    folder = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python3.*/site-packages"))
    for name in ("gadget-1.0", "widget-1.2"):
        with zipfile.ZipFile(next(wheels.glob(f"{name}-*.whl"))) as archive:
            archive.extractall(site)
        (site / f"{name}.dist-info/INSTALLER").write_text("pip\n")
    return folder


def info_of(prefix: Path, name: str) -> Path:
    return next(prefix.glob(f"lib/python3.*/site-packages/{name}-*.dist-info"))


def found(inventory: Inventory, root: Path, *known: Package, **how: Any) -> dict[str, tuple[str, str]]:
    said = provenance.find(inventory, known, root, **how)
    return {each.name: (each.url, each.sha256) for each in said.packages}


@pytest.mark.parametrize("form", ["json", "html"])
def test_an_index_is_asked(
    bare: Path, root: Path, inventory_of: Inventories, index: Any, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "form", form)
    said = found(inventory_of(bare), root)
    assert said["gadget"][0] == f"http://{index.host}/files/gadget-1.0-py3-none-any.whl"
    assert len(said["widget"][1]) == 64
    assert sorted(index.asked) == ["/simple/gadget/", "/simple/widget/"]


@pytest.mark.parametrize("where", ["url", "netrc"])
def test_an_index_that_wants_to_know_who_asks(
    bare: Path, root: Path, inventory_of: Inventories, index_type: type, wheels: Path, user: Path, where: str
) -> None:
    with index_type(wheels, login=f"me:{SECRET}") as served:
        url = served.url if where == "url" else f"http://{served.host}/simple"
        (user / ".config/pip").mkdir(parents=True)
        (user / ".config/pip/pip.conf").write_text(f"[global]\nindex-url = {url}\n")
        assert found(inventory_of(bare), root) == {} if where == "netrc" else True
        (user / ".netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
        (user / ".netrc").chmod(0o600)
        said = found(inventory_of(bare), root)
    assert said["gadget"][0] == f"http://{served.host}/files/gadget-1.0-py3-none-any.whl"


def test_a_file_of_the_same_name_with_other_metadata_is_another(
    bare: Path, root: Path, inventory_of: Inventories, index: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (info_of(bare, "gadget") / "METADATA").write_text("Metadata-Version: 2.1\nName: gadget\nVersion: 1.0\n\nother\n")
    said = provenance.find(inventory_of(bare), [], root)
    assert [each.name for each in said.packages] == ["widget"]
    assert said.unlocked == {"gadget": "1.0 (no index offers the file that was installed)"}
    monkeypatch.setattr(index, "tells_metadata", False)
    assert found(inventory_of(bare), root).keys() == {"gadget", "widget"}


def test_what_a_lock_has_is_not_asked_for(bare: Path, root: Path, inventory_of: Inventories, index: Any) -> None:
    url = "https://host.example/widget-1.2-py3-none-any.whl"
    known = Package(name="widget", version="1.2", manager="pip", url=url, sha256="0a" * 32)
    assert found(inventory_of(bare), root, known)["widget"] == (url, "0a" * 32)
    assert index.asked == ["/simple/gadget/"]
    index.asked.clear()
    wheel = f"{{url = '{url.replace('widget-1.2', 'gadget-1.0')}', hash = 'sha256:{'0b' * 32}'}}"
    lock = f"version = 1\n[[package]]\nname = 'gadget'\nversion = '1.0'\nwheels = [{wheel}]\n"
    (root / "uv.lock").write_text(lock)
    assert found(inventory_of(bare), root, known)["gadget"][1] == "0b" * 32
    assert index.asked == []


def test_offline_nobody_is_asked(bare: Path, root: Path, inventory_of: Inventories, index: Any) -> None:
    said = provenance.find(inventory_of(bare), [], root, offline=True)
    assert said.unlocked["gadget"] == "1.0 (no file of it is known offline)"
    assert index.asked == []
    later = provenance.find(inventory_of(bare), [], root, hopeless=said.unlocked)
    assert later.unlocked == {}


def test_what_pip_noted_of_the_installation(bare: Path, root: Path, inventory_of: Inventories, index: Any) -> None:
    url = "https://host.example/files/gadget-1.0-py3-none-any.whl"
    direct = info_of(bare, "gadget") / "direct_url.json"
    direct.write_text(json.dumps({"url": url, "archive_info": {"hash": f"sha256={'0a' * 32}"}}))
    assert found(inventory_of(bare), root)["gadget"] == (url, "0a" * 32)
    vcs = {"vcs": "git", "commit_id": "c" * 40, "requested_revision": "main"}
    direct.write_text(json.dumps({"url": "https://host.example/o/g.git", "vcs_info": vcs, "subdirectory": "src"}))
    address = f"git+https://host.example/o/g.git@{'c' * 40}#subdirectory=src"
    assert found(inventory_of(bare), root)["gadget"] == (address, "")
    writing.save(plan(inventory_of(bare), root).files)
    gadget = read_pylock(root / "pylock.toml")[0][0]
    assert (gadget.source, gadget.url) == (address, address)
    direct.write_text(json.dumps({"url": "file:///wheels/gadget-1.0-py3-none-any.whl", "archive_info": {}}))
    said = provenance.find(inventory_of(bare), [], root)
    assert said.unlocked == {"gadget": "1.0 (installed from the local file gadget-1.0-py3-none-any.whl)"}


def test_an_editable_project_is_told_by_its_commit(
    bare: Path, root: Path, tmp_path: Path, inventory_of: Inventories, index: Any
) -> None:
    project = tmp_path / "proj"
    project.mkdir()
    direct = info_of(bare, "gadget") / "direct_url.json"
    direct.write_text(json.dumps({"url": project.as_uri(), "dir_info": {"editable": True}}))
    assert provenance.find(inventory_of(bare), [], root).unlocked == {"gadget": "1.0 (editable ../proj)"}
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@host.example", "-C", str(project)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    (project / "a.py").touch()
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "a"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert provenance.find(inventory_of(bare), [], root).unlocked == {"gadget": f"1.0 (editable ../proj at {commit})"}
    (project / "a.py").write_text("changed")
    said = provenance.find(inventory_of(bare), [], root).unlocked
    assert said == {"gadget": f"1.0 (editable ../proj at {commit}, changed)"}


@pytest.mark.slow
def test_pip_is_asked_for_what_only_it_finds(
    virtual: Path, root: Path, tmp_path: Path, user: Path, wheels: Path, inventory_of: Inventories
) -> None:
    (user / ".config/pip").mkdir(parents=True)
    (user / ".config/pip/pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
    subprocess.run([virtual / "bin/python", "-m", "pip", "install", "gadget==1.0"], check=True, capture_output=True)
    said = provenance.find(inventory_of(virtual), [], root)
    assert said.unlocked.keys() == {"gadget", "pip", "widget"}
    assert said.unlocked["gadget"] == "1.0 (installed from the local file gadget-1.0-py3-none-any.whl)"


def test_uv_is_asked_for_what_uv_installed(
    bare: Path, root: Path, inventory_of: Inventories, index: Any, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = Path(sys.executable).parent
    if not (scripts / "uv").exists():
        pytest.skip("needs uv")
    monkeypatch.setenv("PATH", str(scripts), prepend=os.pathsep)
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    (user / ".config/uv").mkdir(parents=True)
    (user / ".config/uv/uv.toml").write_text(f'[[index]]\nurl = "{index.url}"\ndefault = true\n')
    (user / ".config/pip/pip.conf").unlink()
    for name in ("gadget", "widget"):
        (info_of(bare, name) / "INSTALLER").write_text("uv")
    online = found(inventory_of(bare), root)
    assert online["gadget"][0] == f"http://{index.host}/files/gadget-1.0-py3-none-any.whl"
    index.asked.clear()
    assert found(inventory_of(bare), root, offline=True) == online
    assert index.asked == []


def test_no_secret_reaches_a_file(
    mixed: Path, root: Path, inventory_of: Inventories, index_type: type, wheels: Path, user: Path, tmp_path: Path
) -> None:
    with index_type(wheels, login=f"me:{SECRET}") as served:
        (user / ".config/pip").mkdir(parents=True)
        (user / ".config/pip/pip.conf").write_text(
            f"[global]\nextra-index-url = {served.url}\nindex-url = {served.url}\n"
        )
        for record in (mixed / "conda-meta").glob("*.json"):
            document = json.loads(record.read_text())
            document["url"] = f"https://me:{SECRET}@host.example/t/{SECRET}/team/noarch/{document['fn']}?token={SECRET}"
            document["requested_specs"] = [f"https://me:{SECRET}@host.example/t/{SECRET}/team::{document['name']}"]
            record.write_text(json.dumps(document))
        (mixed / "conda-meta/history").write_text(
            f"# update specs: ['https://host.example/t/{SECRET}/team::tinyapp']\n"
        )
        direct = {"url": f"https://me:{SECRET}@host.example/g.git", "vcs_info": {"vcs": "git", "commit_id": "c" * 40}}
        (info_of(mixed, "widget") / "direct_url.json").write_text(json.dumps(direct))
        made = plan(inventory_of(mixed), root)
    assert {path.name for path in made.files} == {"environment.yml", "conda-lock.yml"}
    assert {each.name for each in made.packages} >= {"gadget", "widget", "tinyapp"}
    assert not made.unlocked
    assert SECRET not in "".join(data.decode() for data in made.files.values())
    assert SECRET not in str(made)


ALIKE = ["a-1.0-py3-none-any.whl", "a-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "a-1.0.tar.gz"]


@pytest.mark.parametrize(
    ("wheel", "name"),
    [
        ("Tag: py3-none-any\n", ALIKE[0]),
        ("Tag: cp311-cp311-manylinux_2_17_x86_64\nTag: cp311-cp311-manylinux2014_x86_64\n", ALIKE[1]),
        ("Tag: cp312-cp312-linux_x86_64\n", None),
    ],
)
def test_the_wheel_with_the_installed_tags(tmp_path: Path, wheel: str, name: str | None) -> None:
    from preflight.system.packages import Installed

    info = tmp_path / "a-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: a\nVersion: 1.0\n\n")
    (info / "WHEEL").write_text(wheel)
    [distribution] = Installed.in_folders([str(tmp_path)])
    files = [File(name=each, url=each, sha256="0a") for each in [*ALIKE, "a-1.1-py3-none-any.whl", "odd.exe"]]
    file = chosen(files, distribution)
    assert (file and file.name) == name
    source = chosen([each for each in files if each.name.endswith(".gz")], distribution)
    assert source
    assert source.name == "a-1.0.tar.gz"


def test_pip_s_own_configuration(tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(tmp_path, "")
    [default] = indexes(environment)
    assert default.startswith("https://")
    (user / ".config/pip").mkdir(parents=True)
    (user / ".config/pip/pip.conf").write_text("[global]\nindex-url = https://a.example/simple/\n")
    (tmp_path / "pip.conf").write_text("[install]\nextra-index-url =\n  https://b.example/s\n  https://c.example/s\n")
    assert indexes(environment) == ["https://a.example/simple", "https://b.example/s", "https://c.example/s"]
    monkeypatch.setenv("PIP_INDEX_URL", "https://d.example/simple")
    assert indexes(environment)[0] == "https://d.example/simple"
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert indexes(environment) == ["https://d.example/simple"]
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert indexes(environment) == []


def test_an_index_that_gives_no_answer_has_nothing(index: Any) -> None:
    assert offered(["http://127.0.0.1:9/simple", index.url], {"gadget": "1.0"})["gadget"][0].name.startswith("gadget")
    assert offered([index.url], {"absent": "1.0"}) == {"absent": []}
