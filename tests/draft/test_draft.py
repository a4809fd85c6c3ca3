import subprocess
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight import draft
from preflight.config import load
from preflight.config.document import parse, plain
from preflight.envlock import environment
from preflight.errors import UserError
from preflight.system import watched

LAZY_WANDB = """
class Wandb:
    def __init__(self, project):
        import wandb
        wandb.init(project=project)


def make_logger(use_wandb=False, project="demo"):
    return Wandb(project) if use_wandb else None


def main(cfg):
    make_logger(**cfg["log"])


main(cfg)
"""


def told(root):
    watched.PATIENCE = 1
    try:
        draft.draft("train: data/train.npy\n", None, [root / "train.py"], root)
    except UserError as error:
        return str(error).partition("\n")[0]
    return ""


@pytest.fixture
def drafted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(code, config=""):
        Path("train.py").write_text(textwrap.dedent(code))
        text = textwrap.dedent(config)
        section = draft.draft(text, Path("foo.yaml"), [Path("train.py")], tmp_path)
        load(Path("foo.yaml"), text=text + draft.append(text, draft.write(section), "foo.yaml"))
        return section

    return make


class TestDraft:
    def test_an_empty_project_needs_nothing(self, drafted):
        assert drafted("import os") == {}

    def test_imports_are_listed_as_the_program_has_them(self, drafted):
        code = """
        import numpy
        import yaml.loader
        import email.nowhere
        from absent_package.part import x
        try:
            import flash_attn
        except ImportError:
            pass
        def export():
            import absent_exporter
            import packaging.version
        """
        assert drafted(code)["imports"] == [
            "numpy",
            "yaml",
            "absent_package",
            {"name": "flash_attn", "optional": True},
            {"name": "absent_exporter", "optional": True},
            "packaging",
            "packaging.version",
        ]

    @pytest.mark.parametrize(
        ("code", "config", "gpu"),
        [
            ("", "device: cuda\ngpus: 4\n", {"device": "${device}", "count": "${gpus}"}),
            ("", "device: cpu\ngpus: 4\n", {"device": "${device}", "count": "${gpus}"}),
            ("", "device: cuda\n", {"device": "${device}"}),
            ("", "device: cuda:3\n", {"device": "${device}", "count": 4}),
            (
                "",
                "trainer: {accelerator: gpu, devices: 2}\n",
                {"device": "${trainer.accelerator}", "count": "${trainer.devices}"},
            ),
            ("", "device: cuda\ndevices: [0, 1, 2]\n", {"device": "${device}", "count": 3}),
            ("", "device: cuda\ngpus: auto\n", {"device": "${device}"}),
            ("", "device: cuda\nprecision: 16-mixed\n", {"device": "${device}", "dtypes": ["float16"]}),
            ("", "device: cuda\nbf16: true\ntf32: true\n", {"device": "${device}", "dtypes": ["bfloat16", "tf32"]}),
            ("", "device: cuda\nfp16: false\n", {"device": "${device}"}),
            ("", "device: cuda\nworld_size: 4\n", {"device": "${device}", "count": "${world_size}"}),
            ("", "device: cuda\nworld_size: 16\nnum_nodes: 4\n", {"device": "${device}"}),
            (
                "",
                "device: cuda\nnum_nodes: 4\ngpus_per_node: 4\n",
                {"device": "${device}", "count": "${gpus_per_node}"},
            ),
            ("", "device: cuda\nprecision: bf16-mixed\n", {"device": "${device}", "dtypes": ["bfloat16"]}),
            ("m.cuda()", "lr: 1\n", {"count": 1}),
            ("m.cuda()", "device: auto\n", None),
            ("", "device: auto\n", None),
            ("", "gpus: 4\n", None),
        ],
    )
    def test_gpus_are_wanted_where_the_config_or_the_code_says_so(self, drafted, code, config, gpu):
        assert drafted(code, config).get("gpu") == gpu

    def test_ports_for_workers_are_listed_and_others_are_not(self, drafted):
        config = "dist: {master_port: 29500}\nddp_port: '29501'\nport: 80\ndb_port: 5432\nmaster_addr: x\n"
        assert drafted("", config)["system"] == {"ports": ["${dist.master_port}", "${ddp_port}"]}

    def test_a_package_below_src_goes_with_a_script_that_is_named_from_here(self, drafted, tmp_path):
        for name, text in {"mine/__init__": "", "mine/net": "import yaml", "lab/net/big": "import numpy"}.items():
            file = tmp_path / "src" / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        code = "import sys\nsys.path.insert(0, 'src')\nimport mine.net\nfrom lab.net.big import x\n"
        assert drafted(code)["imports"] == ["yaml", "numpy"]

    def test_variables_that_are_set_now_are_listed(self, drafted, monkeypatch):
        monkeypatch.setenv("DATA_ROOT", "/x")
        monkeypatch.setenv("LOCAL_RANK", "0")
        monkeypatch.delenv("ELSEWHERE", raising=False)
        code = "import os\na = os.environ['DATA_ROOT'], os.environ['ELSEWHERE'], os.environ['LOCAL_RANK']"
        assert drafted(code)["system"] == {"env": ["DATA_ROOT"]}

    @pytest.mark.parametrize(
        ("code", "config", "wanted"),
        [
            ("import wandb\nwandb.init()", "", True),
            ("import wandb as w\ndef main():\n    w.init(project='x')", "wandb_project: x\n", True),
            ("import wandb", "", False),
            ("import wandb\nwandb.init(mode='disabled')", "", False),
            ("import wandb\nwandb.init()", "wandb: {mode: offline}\n", False),
            ("import wandb\nwandb.init()", "use_wandb: false\n", False),
            ("import wandb\nwandb.init()", "wandb_interval: 0\n", True),
            ("try:\n    import wandb\nexcept ImportError:\n    pass\nwandb.init()", "", False),
            ("if x:\n    import wandb\n    wandb.init()", "", False),
            (LAZY_WANDB, "log: {use_wandb: true, project: x}\n", True),
            (LAZY_WANDB, "log: {use_wandb: null, project: x}\n", False),
            (LAZY_WANDB, "log: {project: x}\n", False),
        ],
    )
    def test_credentials_are_wanted_where_the_program_surely_logs_in(self, drafted, code, config, wanted):
        assert drafted(code, config).get("system") == ({"credentials": ["wandb"]} if wanted else None)

    def test_credentials_that_are_there_now_are_wanted(self, drafted, monkeypatch):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
        assert drafted("import boto3\nboto3.client('s3')")["system"] == {"credentials": ["aws"]}
        assert "system" not in drafted("import torch\ntorch.load(x)")

    def test_files_that_are_held_open_count(self, drafted, tmp_path):
        for number in range(300):
            (tmp_path / f"{number}.bin").touch()
        section = drafted("import glob\na = [open(f) for f in glob.glob(cfg['shards'])]", "shards: '*.bin'\n")
        assert section["system"] == {"nofile": 400}
        assert section["data"] == [{"path": "${shards}", "files": {"min": 300}}]

    def test_a_lock_beside_the_config_is_listed(self, drafted, tmp_path, monkeypatch):
        (tmp_path / "requirements.txt").write_text("numpy==1.0\n")
        assert drafted("")["packages"] == {"lock": "requirements.txt"}
        (tmp_path / "uv.lock").write_text("")
        assert drafted("")["packages"] == {"lock": "uv.lock"}
        (tmp_path / "conda-lock.yml").write_text("")
        assert drafted("")["packages"] == {"lock": "uv.lock"}
        monkeypatch.setattr(environment, "here", lambda: SimpleNamespace(is_conda=True))
        assert drafted("")["packages"] == {"lock": "conda-lock.yml"}

    @pytest.mark.parametrize(
        ("call", "cache"),
        [
            ("import torch\ntorch.hub.load_state_dict_from_url('file:///x')", "torch"),
            ("from transformers import AutoModel\nAutoModel.from_pretrained(cfg['x'])", "huggingface"),
            ("from datasets import load_dataset\nload_dataset(cfg['x'])", "huggingface"),
        ],
    )
    def test_caches_that_libraries_write_to_are_listed(self, drafted, tmp_path, monkeypatch, call, cache):
        for name in ("TORCH_HOME", "HF_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        text = draft.write({"paths": drafted(call)["paths"]})
        assert [entry.path for entry in load(Path("foo.yaml"), text=text).paths] == [str(tmp_path / "cache" / cache)]

    def test_where_code_is_built_it_must_run(self, drafted):
        entry = {"path": "${oc.env:TMPDIR,/tmp}", "access": "write+execute"}
        assert drafted("import torch\nm = torch.compile(m)")["paths"] == [entry]

    def test_limits_are_wanted_where_the_code_needs_them(self, drafted):
        code = """
        import numpy
        numpy.zeros((cfg["rows"], 8))
        DataLoader(x, num_workers=cfg["workers"])
        """
        assert drafted(code, "rows: 100_000_000\nworkers: 8\n")["system"] == {
            "ram": "6.7GB", "shm": "32MB", "processes": 64
        }  # fmt: skip
        assert "system" not in drafted(code, "rows: 1000\nworkers: 0\n")

    def test_a_file_that_is_read_whole_needs_memory(self, drafted, tmp_path):
        with open(tmp_path / "a.bin", "wb") as file:
            file.truncate(500_000_000)
        code = "import numpy\nnumpy.fromfile(cfg['train'])"
        assert drafted(code, "train: a.bin\n")["system"] == {"ram": "800MB"}

    def test_commands_that_are_there_are_listed(self, drafted):
        code = "import subprocess\nsubprocess.run(['sh', x])\nsubprocess.run(['absent-command', x])"
        assert drafted(code)["system"] == {"commands": ["sh"]}

    def test_ports_are_followed_from_the_code(self, drafted):
        code = "import os\nos.environ['MASTER_PORT'] = str(cfg['dist']['port'])\ns.bind(('', 8080))"
        section = drafted(code, "dist: {port: 29533}\nport: 80\n")
        assert section["system"] == {"ports": ["${dist.port}", 8080]}

    def test_a_commit_is_wanted_where_the_code_asks_for_it(self, drafted, tmp_path):
        code = "import subprocess\nsubprocess.check_output(['git', 'rev-parse', 'HEAD'])"
        assert "code" not in drafted(code)
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
        assert "code" not in drafted(code)
        commit = [
            "git",
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b.example",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "x",
        ]
        subprocess.run(commit, cwd=tmp_path, check=True)
        assert drafted(code)["code"] == {"commit": True}

    def test_a_program_that_asks_the_driver_wants_what_it_shows(self, tmp_path, in_world, nvidia_driver):
        (tmp_path / "train.py").write_text("import pynvml\npynvml.nvmlInit()\n")
        section = in_world(nvidia_driver(2), draft.draft, "gpus: 2\n", None, (), tmp_path)
        assert section["gpu"] == {"count": "${gpus}"}
        hidden = nvidia_driver(2, driver={"nvmlInit": "error 18"})
        assert "gpu" not in in_world(hidden, draft.draft, "gpus: 2\n", None, (), tmp_path)

    def test_a_device_that_is_no_gpu_asks_for_none(self, drafted):
        section = draft.write(drafted("", "device: cpu\ngpus: 4\n"))
        assert load(Path("foo.yaml"), text="device: cpu\ngpus: 4\n" + section).gpu is None
        asked = load(Path("foo.yaml"), text="device: cuda\ngpus: 4\n" + section).gpu
        assert asked is not None
        assert (asked.device, asked.count) == ("cuda", 4)

    def test_a_mount_that_does_not_answer_is_told(self, tmp_path, in_world, misbehaving):
        point, server = tmp_path / "data", tmp_path / "server"
        for folder in (point, server):
            folder.mkdir()
        (server / "train.npy").write_bytes(b"x")
        (tmp_path / "train.py").write_text("import numpy\nnumpy.load(cfg['train'])")
        setup = misbehaving(server, point, "getattr:train.npy:HANG")
        assert in_world(setup, told, tmp_path) == f"{point}/train.npy does not answer within 1 s"

    def test_without_scripts_they_are_looked_for(self, drafted, tmp_path):
        drafted("import numpy")
        assert draft.section_of("", None, [], tmp_path)["imports"] == ["numpy"]

    @pytest.mark.parametrize("content", [b"def (", b"x = '\xff'", b"\0"])
    def test_a_script_that_is_no_python_is_told(self, tmp_path, content):
        (tmp_path / "train.py").write_bytes(content)
        with pytest.raises(UserError, match=r"train\.py.*this is no Python"):
            draft.section_of("", None, [tmp_path / "train.py"], tmp_path)

    def test_a_missing_script_is_told(self, tmp_path):
        with pytest.raises(UserError, match=r"train\.py: the script cannot be read: No such file"):
            draft.section_of("", None, [tmp_path / "train.py"], tmp_path)


yaml_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.dates(), st.binary(max_size=3)
    )
    | st.sampled_from(
        ["data/*", "**", "${a}", "${x.y}", "/", "~", "..", "cuda:1", "a\0b", "x" * 5000, "[", "org/name"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.one_of(st.text(max_size=4), st.integers(), st.sampled_from(["gpus", "out", "a"])), inner, max_size=3
        )
    ),
    max_leaves=8,
)
KEYS = ["a", "out", "data", "device", "gpus", "master_port", "wandb", "name", "files"]
CODE = """
import os, glob, wandb
from transformers import AutoModel
wandb.init()
AutoModel.from_pretrained(cfg["name"])
for f in glob.glob(cfg["data"] + "/*/*.jpg"):
    open(f)
open(os.path.join(cfg["a"], "b", cfg["files"]))
os.makedirs(f"{cfg['out']}/{cfg['a']}")
x = [open(f) for f in cfg["files"]]
"""


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(KEYS), yaml_values, max_size=5))
def test_any_config_gives_a_section_that_loads(tmp_path_factory, values):
    root = tmp_path_factory.getbasetemp()
    (root / "train.py").write_text(CODE)
    text = yaml.safe_dump(values, allow_unicode=True) if values else ""
    section = draft.write(draft.section_of(text, Path("foo.yaml"), [root / "train.py"], root))
    try:
        load(Path("foo.yaml"), text=text + draft.append(text, section, "foo.yaml"))
    except UserError as told:
        mistake = told
    else:
        return
    # What the experiment's own values lack is theirs to mend; what we write is in order.
    assert "${" in mistake.message or "references" in mistake.message, (section, mistake)


def test_a_config_that_unfolds_to_billions_is_told(tmp_path):
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with pytest.raises(UserError, match="unfold"):
        draft.section_of(text, None, [], tmp_path)


class TestWrite:
    def test_entries_stand_on_lines_of_their_own(self):
        section = {
            "imports": ["torch", "yaml"],
            "data": [{"path": "${a}", "files": {"glob": "**/*.png", "min": 3}}],
            "system": {"ports": ["${port}"]},
        }
        assert draft.write(section) == (
            "preflight:\n  imports: [torch, yaml]\n  data:\n    - {path: '${a}', files: {glob: '**/*.png', min: 3}}\n"
            "  system: {ports: ['${port}']}\n"
        )

    def test_long_lists_are_broken(self):
        lines = draft.write({"imports": [f"module_{number}" for number in range(20)], "gpu": {"count": 1}}).splitlines()
        assert max(map(len, lines)) < 100
        assert lines[2] == "    - module_0"

    def test_any_text_reads_back(self):
        for text in ("a b", "a: b", "${x}", "ü", "'", "#x", "- x", "null", "1e-4", "x" * 200, "a\nb", "~/x", "*x", "{"):
            section = {"paths": [{"path": text}], "system": {"env": [text]}}
            assert plain(parse(draft.write(section), "")) == {"preflight": section}


SECTION = "preflight:\n  imports: [torch]\n"


class TestAppend:
    @pytest.mark.parametrize(
        ("text", "addition"),
        [
            ("", SECTION),
            ("a: 1\n", "\n" + SECTION),
            ("a: 1", "\n\n" + SECTION),
            ("# only a comment", "\n\n" + SECTION),
            ("a: 1 # note\n\n\n", "\n" + SECTION),
            ("a: 1\r\nb: 2\r\n", ("\n" + SECTION).replace("\n", "\r\n")),
            ("a: |+\n  text\n", SECTION),
            ("a: .nan\n", "\n" + SECTION),
        ],
    )
    def test_what_is_there_is_kept(self, text, addition):
        assert draft.append(text, SECTION, "foo.yaml") == addition
        kept = plain(parse(text + addition, ""))
        assert kept.pop("preflight") == {"imports": ["torch"]}
        assert repr(kept) == repr(plain(parse(text, "")))

    def test_a_file_that_has_a_section_is_refused(self):
        with pytest.raises(UserError) as raised:
            draft.append("a: 1\npreflight:\n", SECTION, "foo.yaml")
        assert str(raised.value).startswith("foo.yaml:2: there is a `preflight:` section already")

    @pytest.mark.parametrize("text", ["{a: 1}", "a: 1\n...\n", "  a: 1\n", "a: |+\n  text", "a: >\n  text"])
    def test_a_file_that_nothing_can_follow_is_refused(self, text):
        with pytest.raises(UserError, match="nothing can be appended"):
            draft.append(text, SECTION, "foo.yaml")
