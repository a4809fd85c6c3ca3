import hashlib
import textwrap
from datetime import date
from pathlib import Path

import pytest

from preflight.config import Config, Data, Import, Location, PathEntry, asked, entries, label, load
from preflight.errors import UserError


def config(text):
    return load(Path("foo.yaml"), text=textwrap.dedent(text))


def section(text):
    """Load a file that holds nothing but `preflight: {TEXT}`."""
    return config(f"preflight: {{{text}}}")


def mistake(text):
    with pytest.raises(UserError) as raised:
        section(text)
    return str(raised.value)


WHOLE = """
seed: 17
data: {root: /data/cifar}
output_dir: runs/cifar
stamp: ${now:%Y}

preflight:
  python: python
  deadline: 2m
  root: sub/..
  imports:
    - torch>=2.4,<3
    - myproject.train
    - {name: flash_attn, optional: true, deadline: 5s}
  packages: {lock: conda-lock.yml, consistent: true}
  data:
    - path: ${data.root}/train
      files: {glob: "**/*.png", min: 50000}
      open: 64
    - path: ${data.root}/labels.csv
      columns: [id, label, 2019]
      rows: {min: 50k}
      missing: false
      values: {label: {between: [1e-4, 9], one_of: [1, a]}}
      encoding: utf-8
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    - manifest: ${data.root}/MANIFEST
    - hub: bert-base-uncased
      files: [tokenizer_config.json]
  paths:
    - {path: "${output_dir}", access: write, free: 50GB, inodes: 100k, empty: true}
    - {path: ~/.cache, access: read+write}
    - {path: /tmp, access: [execute]}
  system:
    ram: 32GB
    shm: 8GiB
    nofile: 65536
    processes: 512
    ports: ["29500", 29501]
    commands: git
    env: [DATA_ROOT]
    credentials: [wandb]
    hosts: ["hub.example:443", "[::1]:80"]
  gpu: {count: 4, memory: 40GB, capability: ">=8.0", dtypes: [float32], idle: true}
  seeds: {value: "${seed}", step: "myproject.train:one_step", command: python train.py}
  rehearsal: {command: python train.py --config foo.yaml, time: 2m}
  code: {commit: true, clean: false}
  checks: {tokenizer: {path: "${output_dir}/tok.json"}}
  ignore: [{id: gpu.persistence, reason: not ours, until: 2027-01-01}]
"""


def test_every_section_is_read():
    whole = config(WHOLE)
    assert whole.imports[0] == Import(
        name="torch", version=">=2.4,<3", at=Location("foo.yaml", 12, "preflight.imports[0]")
    )
    assert (whole.imports[2].optional, whole.imports[2].deadline) == (True, 5)
    assert (whole.python, whole.deadline, whole.root) == ("", 120, Path.cwd())
    assert whole.packages.lock == ("conda-lock.yml",)
    train, labels, manifest, hub = whole.data
    assert (train.path, train.files.min, train.open) == ("/data/cifar/train", 50000, 64)
    assert (labels.columns, labels.rows.min, labels.missing) == (("id", "label", "2019"), 50_000, False)
    assert (labels.values["label"].between, labels.values["label"].one_of) == ((1e-4, 9), (1, "a"))
    assert (manifest.manifest, hub.hub, hub.hub_files) == (
        "/data/cifar/MANIFEST",
        "bert-base-uncased",
        ("tokenizer_config.json",),
    )
    output, cache, scratch = whole.paths
    assert (output.path, output.free, output.inodes, output.empty) == ("runs/cifar", 50 * 10**9, 100_000, True)
    assert [entry.access for entry in (output, cache, scratch)] == [{"write"}, {"read", "write"}, {"execute"}]
    assert (whole.system.shm, whole.system.ports, whole.system.commands) == (8 * 2**30, (29500, 29501), ("git",))
    assert whole.system.hosts == ("hub.example:443", "[::1]:80")
    assert (whole.gpu.memory, whole.gpu.capability) == (40 * 10**9, ">=8.0")
    assert (whole.seeds.value, whole.seeds.step, whole.rehearsal.time) == (17, "myproject.train:one_step", 120)
    assert (whole.code.commit, whole.code.clean) == (True, False)
    assert whole.checks == {"tokenizer": {"path": "runs/cifar/tok.json"}}
    assert whole.ignore[0].until == date(2027, 1, 1)
    assert whole.experiment == {
        "seed": 17,
        "data": {"root": "/data/cifar"},
        "output_dir": "runs/cifar",
        "stamp": "${now:%Y}",
    }
    assert whole.digest == hashlib.sha256(whole.text.encode()).hexdigest()


def test_the_same_text_gives_the_same_config():
    assert config(WHOLE) == config(WHOLE)


@pytest.mark.parametrize("text", ["", "a: 1", "preflight:", "a: 1\npreflight: {}", "preflight: {imports: , gpu: null}"])
def test_a_file_without_a_section_is_a_config_that_asks_for_nothing(text):
    loaded = config(text)
    assert not any(asked(loaded, key) for key in ("imports", "data", "gpu", "system.ports", "seeds.step", "checks"))
    assert loaded.experiment == ({"a": 1} if text.startswith("a") else {})


def test_single_values_stand_for_lists_of_one():
    loaded = section("imports: torch>=2, data: a.csv, paths: out, system: {ports: 80, env: A}")
    assert (loaded.imports[0].name, loaded.imports[0].version) == ("torch", ">=2")
    assert (loaded.data[0].path, loaded.paths[0].path) == ("a.csv", "out")
    assert (loaded.system.ports, loaded.system.env) == ((80,), ("A",))


def test_a_version_may_stand_in_the_name_of_a_mapping():
    assert section("imports: [{name: torch >= 2, optional: true}]").imports[0].version == ">= 2"


class TestSource:
    def test_without_one_preflight_yaml_is_read(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert load(None) == Config(root=tmp_path)
        Path("preflight.yaml").write_text("preflight: {imports: [os]}")
        assert load(None).imports[0].at == Location("preflight.yaml", 1, "preflight.imports[0]")

    def test_a_dangling_preflight_yaml_is_no_empty_config(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("preflight.yaml").symlink_to("nowhere")
        with pytest.raises(UserError, match="does not exist"):
            load(None)

    def test_a_missing_file_is_told(self):
        with pytest.raises(UserError, match=r"no\.yaml: the file does not exist"):
            load(Path("no.yaml"))

    def test_root_is_relative_to_the_working_directory(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert section("root: sub").root == tmp_path / "sub"
        assert section("root: /elsewhere").root == Path("/elsewhere")
        assert load(Path("x"), text="preflight: {root: ../b}", root=Path("/a/c")).root == Path("/a/b")

    def test_a_lost_working_directory_is_told(self, tmp_path, monkeypatch):
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        with pytest.raises(UserError, match="does not exist any more"):
            load(None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("imprts: [torch]", "preflight.imprts: the key is not known; did you mean `imports`?"),
        ("gpu: {cout: 1}", "preflight.gpu.cout: the key is not known; did you mean `count`?"),
        ("code: {zzz: 1}", "preflight.code.zzz: the key is not known; known here: clean, commit"),
        ("source: a", "preflight.source: the key is not known"),
        ("data: [{path: a, hub_files: [b]}]", "preflight.data[0].hub_files: the key is not known"),
        ("data: [{path: a, at: b}]", "preflight.data[0].at: the key is not known"),
        ("gpu: 4", "preflight.gpu: found the number 4, wanted a mapping"),
        ("gpu: {count: true}", "preflight.gpu.count: found true, wanted a count"),
        ("gpu: {count: -1}", "preflight.gpu.count: found the number -1, wanted a count"),
        ("gpu: {memory: .inf}", "preflight.gpu.memory: found the number inf, wanted a size"),
        (f"gpu: {{memory: {10**400}}}", "preflight.gpu.memory: found a huge number, wanted a size"),
        ("gpu: {memory: lots}", "preflight.gpu.memory: found 'lots', wanted a size such as 50GB"),
        ("gpu: {capability: 8.0}", "preflight.gpu.capability: found the number 8.0, wanted a version specifier"),
        ("gpu: {idle: 'yes'}", "preflight.gpu.idle: found 'yes', wanted true or false"),
        ("deadline: 0", "preflight.deadline: found the number 0, wanted a duration"),
        ("imports: [scikit-learn]", "preflight.imports[0]: found 'scikit-learn', wanted an import name"),
        ("imports: [torch=>2]", "preflight.imports[0]: found '=>2', wanted a version specifier"),
        ("imports: [null]", "preflight.imports[0]: found nothing, wanted text or a mapping"),
        ("imports: [{optional: true}]", "preflight.imports[0]: `name` is missing"),
        ("data: [{path: a, hub: b}]", "preflight.data[0]: found path and hub, wanted exactly one"),
        ("data: [{open: 1}]", "preflight.data[0]: found none of them, wanted exactly one"),
        ("data: [{path: ''}]", "preflight.data[0].path: found '', wanted text"),
        ('data: [{path: "a\\0b"}]', "preflight.data[0].path: found 'a\\x00b', wanted text"),
        ("data: [{path: 2024}]", "preflight.data[0].path: found the number 2024, wanted text"),
        ("data: [{path: a, files: [b]}]", "preflight.data[0]: `files` is a list, wanted a mapping"),
        ("data: [{hub: a, files: {min: 1}}]", "preflight.data[0]: `files` does not go with `hub`"),
        ("data: [{manifest: a, rows: {min: 1}}]", "preflight.data[0]: `rows` does not go with `manifest`"),
        ("data: [{manifest: a, files: [b]}]", "preflight.data[0]: `files` does not go with `manifest`"),
        ("data: [{path: a, files: {min: 2, max: 1}}]", "preflight.data[0].files: min 2 is above max 1"),
        ("data: [{path: a, files: {glob: /b}}]", "preflight.data[0].files.glob: found '/b', wanted a glob"),
        ("data: [{path: a, open: 0}]", "preflight.data[0].open: found the number 0, wanted a number of files"),
        ("data: [{path: a, values: [b]}]", "preflight.data[0].values: found a list, wanted a mapping"),
        ("data: [{path: a, values: {b: {between: [2, 1]}}}]", "preflight.data[0].values.b.between: found a list"),
        ("data: [{path: a, values: {b: {one_of: []}}}]", "preflight.data[0].values.b.one_of: found a list"),
        ("data: [{path: a, encoding: utf-9}]", "preflight.data[0].encoding: found 'utf-9', wanted an encoding"),
        ("data: [{path: a, sha256: abc}]", "preflight.data[0].sha256: found 'abc', wanted 64 hexadecimal digits"),
        ("paths: [{path: a, access: read+wirte}]", "preflight.paths[0].access: found 'read+wirte', wanted read, write"),
        ("paths: [{access: read}]", "preflight.paths[0]: `path` is missing"),
        ("system: {ports: [http]}", "preflight.system.ports[0]: found 'http', wanted a port from 1 to 65535"),
        ("system: {ports: [70000]}", "preflight.system.ports[0]: found the number 70000, wanted a port"),
        ("system: {hosts: [a]}", "preflight.system.hosts[0]: found 'a', wanted `name:port`"),
        ("system: {hosts: ['::1:80']}", "preflight.system.hosts[0]: found '::1:80', wanted `name:port`"),
        ("system: {env: [A=1]}", "preflight.system.env[0]: found 'A=1', wanted the name of"),
        ("system: {commands: [{a: 1}]}", "preflight.system.commands[0]: found a mapping, wanted text"),
        ("seeds: {step: a.b}", "preflight.seeds.step: found 'a.b', wanted `module:function`"),
        ("seeds: {value: 1.5}", "preflight.seeds.value: found the number 1.5, wanted a whole number"),
        ("rehearsal: {command: 'a \"b'}", "preflight.rehearsal.command: found 'a \"b', wanted a command line"),
        ("ignore: [{id: a}]", "preflight.ignore[0]: `reason` is missing"),
        ("ignore: [{id: a, reason: b, until: soon}]", "preflight.ignore[0].until: found 'soon', wanted a date"),
        ("python: [a]", "preflight.python: found a list, wanted an interpreter"),
        ("root: 3", "preflight.root: found the number 3, wanted a folder"),
        ("checks: [a]", "preflight.checks: found a list, wanted a mapping"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_line_and_key(text, told):
    assert mistake(text).startswith(f"foo.yaml:1: {told}")


def test_an_unset_variable_is_told_where_it_stands(monkeypatch):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    text = "train_csv: ${DATA_ROOT}/train.csv\npreflight:\n  data: [{path: '${train_csv}'}]\n"
    with pytest.raises(UserError) as raised:
        config(text)
    assert str(raised.value) == (
        "foo.yaml:1: train_csv: ${DATA_ROOT}: DATA_ROOT is no key of this file, and not set in the environment"
    )
    monkeypatch.setenv("DATA_ROOT", "/d")
    assert config(text).data[0].path == "/d/train.csv"


def test_the_value_of_a_variable_is_never_shown(monkeypatch):
    monkeypatch.setenv("TOKEN", "hunter2")
    for text in ("gpu: {memory: '${oc.env:TOKEN}'}", "imports: ['${TOKEN}!']", "gpu: '${TOKEN}'"):
        assert "hunter2" not in mistake(text)


class TestKeys:
    whole = config(WHOLE)

    @pytest.mark.parametrize(
        "key",
        [
            "imports",
            "gpu",
            "gpu.count",
            "seeds.step",
            "seeds.value",
            "packages.lock",
            "system.ports",
            "code.commit",
            "checks.tokenizer",
        ],
    )
    def test_what_the_config_has_is_asked_for(self, key):
        assert asked(self.whole, key)

    def test_what_it_leaves_out_or_denies_is_not(self):
        assert not asked(self.whole, "code.clean")
        assert not asked(self.whole, "checks.other")
        assert not asked(Config(), "seeds.step")
        assert not asked(section("seeds: {value: 1}"), "seeds.step")
        assert asked(section("gpu: {}"), "gpu")

    def test_a_key_that_no_config_can_have_is_a_mistake(self):
        with pytest.raises(UserError, match=r"no key `seeds.stpe`; did you mean `step`"):
            asked(self.whole, "seeds.stpe")
        with pytest.raises(UserError, match=r"no key `data.pth`"):
            entries(self.whole, "data.pth")

    def test_entries_are_the_items_of_a_list(self):
        assert entries(self.whole, "system.ports") == (29500, 29501)
        assert [label(entry) for entry in entries(self.whole, "imports")] == ["torch", "myproject.train", "flash_attn"]
        assert entries(Config(), "system.ports") == ()
        assert entries(self.whole, "seeds.step") == ("myproject.train:one_step",)

    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("data.local", ["a.csv", "a.sqlite3"]),
            ("data.url", ["s3://bucket/x"]),
            ("data.database", ["a.sqlite3", "postgresql+psycopg://host/name", "sqlite:///a.db"]),
            ("data.hub", ["gpt2"]),
            ("data.manifest", ["sums"]),
        ],
    )
    def test_entries_of_one_kind(self, key, expected):
        paths = ("a.csv", "a.sqlite3", "s3://bucket/x", "postgresql+psycopg://host/name", "sqlite:///a.db")
        every = Config(data=(*(Data(path=path) for path in paths), Data(hub="gpt2"), Data(manifest="sums")))
        assert [label(entry) for entry in entries(every, key)] == expected
        assert asked(every, key)
        assert not asked(Config(), key)

    @pytest.mark.parametrize(
        ("entry", "name"),
        [
            (Import(name="torch"), "torch"),
            (Data(path="a/b.csv"), "a/b.csv"),
            (Data(manifest="m"), "m"),
            (Data(hub="org/model"), "org/model"),
            (Data(path="s3://key:secret@bucket/x"), "s3://bucket/x"),
            (Data(path="https://me:p@ss@host/x.csv?signature=abc"), "https://host/x.csv"),
            (PathEntry(path="out"), "out"),
            (29500, "29500"),
        ],
    )  # fmt: skip
    def test_an_entry_is_called_by_what_it_is_about(self, entry, name):
        assert label(entry) == name
