import os
import subprocess
import sys
import textwrap

import pytest

from preflight.draft.paths import suggest_paths
from preflight.draft.project import read_project


@pytest.fixture
def suggested(tmp_path):
    def suggest(config, code="", **files):
        for name, number in files.items():
            for each in range(number):
                path = tmp_path / name.replace("__", "/").replace("_dot_", ".").replace("N", str(each))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("x")
        (tmp_path / "train.py").write_text(textwrap.dedent(code))
        source = tmp_path / "foo.yaml"
        source.write_text(textwrap.dedent(config))
        return suggest_paths(read_project(source.read_text(), source, [tmp_path / "train.py"], tmp_path))

    return suggest


def test_a_file_that_exists_is_data(suggested):
    found = suggested("train: data/train.bin\nname: resnet\nurl: https://x/y\nlr: 0.1\n", data__train_dot_bin=1)
    assert (found.data, found.paths) == ([{"path": "${train}"}], [])


def test_a_folder_is_data_with_its_files_counted(suggested):
    found = suggested("data: {root: pets}\n", pets__cat__N_dot_xyz=3, pets__dog__N_dot_xyz=2, pets__labels_dot_csv=1)
    assert found.data == [{"path": "${data.root}", "files": {"glob": "**/*.xyz", "min": 5}}]


def test_a_folder_of_many_kinds_has_no_pattern(suggested):
    found = suggested("data_dir: pets\n", pets__N_dot_xyz=2, pets__N_dot_txt=2, pets__N_dot_csv=2)
    assert found.data == [{"path": "${data_dir}", "files": {"min": 6}}]


def test_the_codes_own_pattern_is_taken(suggested):
    code = "import glob\nglob.glob(cfg['root'] + '/*/*.xyz')"
    found = suggested("root: pets\n", code, pets__cat__N_dot_xyz=3, pets__N_dot_xyz=2)
    assert found.data == [{"path": "${root}", "files": {"glob": "*/*.xyz", "min": 3}}]


def test_a_glob_in_the_config_is_counted(suggested):
    found = suggested(
        "train: d/t-*.bin\n", "[open(f) for f in glob(cfg['train'])]", d__tDASH_dot_bin=0, **{"d__t-N_dot_bin": 4}
    )
    assert found.data == [{"path": "${train}", "files": {"min": 4}}]
    assert found.held == 4


def test_a_path_below_a_key_stays_below_it(suggested):
    code = "import os\nopen(os.path.join(cfg['root'], 'labels.csv'))\nopen(cfg['root'] + '/missing.csv')"
    found = suggested("root: pets\n", code, pets__labels_dot_csv=1)
    assert {"path": "${root}/labels.csv"} in found.data
    assert {"path": "${root}/missing.csv"} in found.data


def test_missing_data_is_listed_only_where_it_is_surely_read(suggested):
    code = "open(cfg['a'])\nif fast:\n    open(cfg['b'])\nif cfg['resume']:\n    open(cfg['c'])"
    config = "a: x/a.csv\nb: x/b.csv\nc: x/c.csv\nd: x/d.csv\nresume: "
    assert suggested(config + "false\n", code).data == [{"path": "${a}"}]
    assert suggested(config + "true\n", code).data == [{"path": "${a}"}, {"path": "${c}"}]


def test_a_list_of_paths_is_followed_item_by_item(suggested):
    code = "for name in cfg['files']:\n    open(name)"
    found = suggested("files: [a.csv, b.csv]\n", code, a_dot_csv=1, b_dot_csv=1)
    assert found.data == [{"path": "${files[0]}"}, {"path": "${files[1]}"}]


@pytest.mark.parametrize(
    "key", ["output_dir", "out", "log_dir", "save_dir", "checkpoint_dir", "results_path", "logdir"]
)
def test_where_names_say_output_it_is_written(suggested, key):
    found = suggested(f"{key}: somewhere/run1\n")
    assert (found.data, found.paths) == ([], [{"path": f"${{{key}}}", "access": "write"}])


def test_the_code_knows_better_than_the_name(suggested):
    code = "import torch, os\ntorch.load(cfg['checkpoint_dir'])\nos.makedirs(cfg['train'], exist_ok=True)"
    found = suggested("checkpoint_dir: ckpt\ntrain: made\n", code, ckpt__a_dot_pt=1)
    assert found.data == [{"path": "${checkpoint_dir}", "files": {"glob": "**/*.pt", "min": 1}}]
    assert found.paths == [{"path": "${train}", "access": "write"}]


def test_what_is_made_below_an_output_folder_is_part_of_it(suggested):
    code = """
    import os, torch
    os.makedirs(f"{cfg['out']}/images", exist_ok=True)
    for epoch in range(3):
        torch.save(model, f"{cfg['out']}/epoch{epoch}.pt")
    open(cfg['out'] + '/log.txt', 'w')
    """
    entry = {"path": "${out}", "access": "write", "free": "100MB", "inodes": 3}
    assert suggested("out: runs/a\n", code).paths == [entry]


def test_a_file_that_is_written_is_listed_itself(suggested):
    assert suggested("log_file: logs/a.txt\n", "open(cfg['log_file'], 'w')").paths == [
        {"path": "${log_file}", "access": "write"}
    ]


def test_a_folder_that_must_be_empty_says_so(suggested):
    code = "import os\nif os.listdir(cfg['out']) and not cfg.get('overwrite'):\n    raise ValueError"
    assert suggested("out: runs\n", code).paths == [{"path": "${out}", "access": "write", "empty": True}]
    assert suggested("out: runs\noverwrite: true\n", code).paths == [{"path": "${out}", "access": "write"}]


def test_names_of_the_hub_are_told_from_folders(suggested):
    code = (
        "from transformers import *\nAutoTokenizer.from_pretrained(cfg['name'])\nAutoModel.from_pretrained('org/model')"
    )
    found = suggested("name: bert-base\n", code)
    assert found.data == [
        {"hub": "${name}", "files": ["tokenizer_config.json"]},
        {"hub": "org/model", "files": ["config.json"]},
    ]
    assert suggested("name: local\n", code, local__config_dot_json=1).data[0] == {
        "path": "${name}", "files": {"glob": "**/*.json", "min": 1}
    }  # fmt: skip


def test_literals_and_defaults_of_options_are_paths_too(suggested):
    code = """
    p.add_argument('--data', default='d/a.csv')
    open(args.data)
    open('d/b.csv')
    open('/dev/null', 'w')
    open('train.py')
    """
    found = suggested("", code, d__a_dot_csv=1, d__b_dot_csv=1)
    assert found.data == [{"path": "d/a.csv"}, {"path": "d/b.csv"}]
    assert found.paths == []


def test_what_is_surely_read_from_elsewhere_is_listed(suggested):
    code = (
        "import pandas as pd\npd.read_parquet(cfg['train'])\nif fast:\n    pd.read_csv(cfg['val'])\npost(cfg['hook'])"
    )
    config = "train: s3://bucket/a.parquet\nval: https://host/a.csv\nhook: https://host/b\n"
    assert suggested(config, code).data == [{"path": "${train}"}]


def test_an_earlier_run_tells_how_large_a_checkpoint_is(suggested, tmp_path):
    code = "import torch\nfor epoch in range(10):\n    torch.save(model, f\"{cfg['out']}/{epoch}.pt\")"
    assert suggested("out: runs\n", code).paths[0]["free"] == "100MB"
    (tmp_path / "runs").mkdir()
    with open(tmp_path / "runs" / "3.pt", "wb") as file:
        file.truncate(400_000_000)
    assert suggested("out: runs\n", code).paths[0] == {
        "path": "${out}", "access": "write", "free": "3.8GB", "inodes": 10
    }  # fmt: skip


def test_checkpoints_that_a_run_goes_on_from_are_data(suggested):
    code = """
    import glob, torch
    if cfg["resume"]:
        torch.load(sorted(glob.glob(cfg["out"] + "/*.pt"))[-1])
    torch.save(model, cfg["out"] + "/last.pt")
    """
    found = suggested("out: runs\nresume: true\n", code, runs__N_dot_pt=3)
    assert found.data == [{"path": "${out}", "files": {"glob": "*.pt", "min": 1}}]
    assert suggested("out: runs\nresume: false\n", code, runs__N_dot_pt=3).data == []


def test_a_few_of_many_files_may_be_missing(suggested):
    assert suggested("root: pets\n", "", pets__N_dot_xyz=400).data[0]["files"]["min"] == 380


def test_a_folder_gives_way_to_what_the_code_reads_in_it(suggested):
    code = "import os\nfor split in ['train', 'val']:\n    os.listdir(f\"{cfg['root']}/{split}\")"
    found = suggested("root: d\n", code, d__train__N_dot_xyz=2, d__val__N_dot_xyz=1)
    assert [entry["path"] for entry in found.data] == ["${root}/train", "${root}/val"]


def test_variables_keep_their_names(suggested, monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "d"))
    code = "import os\nopen(os.environ['DATA_ROOT'] + '/a.xyz')\nopen(os.environ['ABSENT'] + '/a.xyz')"
    assert suggested("", code, d__a_dot_xyz=1).data == [{"path": "${oc.env:DATA_ROOT}/a.xyz"}]


@pytest.mark.parametrize("holder", ["self.hparams", "args.config", "cfg"])
def test_a_config_that_is_handed_around_is_followed(suggested, holder):
    found = suggested("data: {path: d/a.xyz}\n", f"open({holder}['data']['path'])", d__a_dot_xyz=1)
    assert found.data == [{"path": "${data.path}"}]


@pytest.mark.parametrize(
    "config",
    [
        "root_dir: .\n",
        "root_dir: ..\n",
        "home: /\n",
        "split: train\n",
        "config: foo.yaml\n",
        "code_dir: src\n",
        "empty_dir: empty\n",
        "name: a-b\nmode: 'null'\nnothing: ''\n",
        "command: python train.py\n",
        "format: 'data/{}.csv'\n",
        "device: /dev/null\n",
        "stamp: runs/${now:%Y}\n",
    ],
)
def test_what_is_no_path_of_the_experiment_is_left_out(suggested, tmp_path, config):
    (tmp_path / "empty").mkdir()
    (tmp_path / "train").mkdir()
    found = suggested(config, src__N_dot_py=3)
    assert (found.data, found.paths) == ([], [])


def test_one_path_under_two_keys_is_one_entry(suggested):
    found = suggested("a: {dir: pets}\nb: {dir: '${a.dir}/'}\n", "import os\nos.listdir(cfg.b.dir)", pets__N_dot_xyz=2)
    assert found.data == [{"path": "${a.dir}", "files": {"glob": "**/*.xyz", "min": 2}}]


def test_an_ambiguous_key_is_left_alone(suggested):
    assert suggested("a: {path: x}\nb: {path: y}\n", "open(cfg['path'])").data == []
    assert suggested("a: {path: x}\n", "open(cfg['path'])").data == [{"path": "${a.path}"}]


def test_a_key_that_no_reference_can_name_is_written_out(suggested):
    assert suggested('"a.b": d/x.csv\n', d__x_dot_csv=1).data == [{"path": "d/x.csv"}]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop its rights")
def test_a_folder_that_may_never_be_written_is_left_out_where_it_cannot_be(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    os.chown(locked, 12345, 12345)
    program = f"""
from pathlib import Path
from preflight.draft.candidates import Candidate
from preflight.draft.paths import _written
from preflight.system.uses import Act
for sure in (True, False):
    print(len(_written(Candidate('x', 'x', acts={{Act.WRITE}}, is_certain=sure), {str(locked / "x")!r})))
"""
    rights = "--bounding-set=-dac_override,-dac_read_search"
    done = subprocess.run(
        ["setpriv", rights, sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "0"]
