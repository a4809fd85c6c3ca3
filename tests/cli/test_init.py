import os
import subprocess
import sys
from pathlib import Path

import pytest

from preflight.cli import init
from preflight.config import load
from preflight.errors import UserError

CONFIG = """\
# The experiment.
seed:   17      # fixed


data: {root: "pets"}
output_dir: runs
"""

TRAIN = """\
import os
import yaml
cfg = yaml.safe_load(open("foo.yaml"))
for name in os.listdir(cfg["data"]["root"]):
    open(os.path.join(cfg["data"]["root"], name))
os.makedirs(cfg["output_dir"], exist_ok=True)
raise SystemExit("this program was run")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pets").mkdir()
    for number in range(3):
        Path(f"pets/{number}.xyz").write_text("x")
    Path("train.py").write_text(TRAIN)
    Path("foo.yaml").write_text(CONFIG)
    return tmp_path


def test_the_section_is_appended_and_the_rest_kept(project, capsys):
    assert init.main(["--config", "foo.yaml", "train.py"]) == 0
    text = Path("foo.yaml").read_text()
    assert text == CONFIG + (
        "\npreflight:\n"
        "  imports: [yaml]\n"
        "  data:\n"
        "    - {path: '${data.root}', files: {glob: '**/*.xyz', min: 3}}\n"
        "  paths:\n"
        "    - {path: '${output_dir}', access: write}\n"
    )
    assert load(Path("foo.yaml")).data[0].path == "pets"
    assert capsys.readouterr().out == "foo.yaml: `preflight:` added with 1 import, 1 data, 1 path\n"
    assert sorted(os.listdir()) == ["foo.yaml", "pets", "train.py"]


def test_a_second_time_it_refuses_and_prints_on_request(project, capsys):
    init.main(["--config", "foo.yaml"])
    before = Path("foo.yaml").read_bytes()
    with pytest.raises(UserError, match=r"foo\.yaml:8: there is a `preflight:` section already"):
        init.main(["--config", "foo.yaml"])
    capsys.readouterr()
    assert init.main(["--config", "foo.yaml", "--print"]) == 0
    assert capsys.readouterr().out.startswith("preflight:\n  imports: [yaml]\n")
    assert Path("foo.yaml").read_bytes() == before


def test_without_a_config_preflight_yaml_is_written(project):
    assert init.main([]) == 0
    assert load(None).imports[0].name == "yaml"
    assert sorted(os.listdir()) == ["foo.yaml", "pets", "preflight.yaml", "train.py"]


def test_bytes_mode_and_link_are_kept(project):
    content = b"\xef\xbb\xbf# caf\xc3\xa9\r\na: 1\r\n"
    Path("real.yaml").write_bytes(content)
    Path("real.yaml").chmod(0o640)
    Path("link.yaml").symlink_to("real.yaml")
    init.main(["--config", "link.yaml"])
    written = Path("real.yaml").read_bytes()
    assert written.startswith(content)
    assert written.count(b"\n") == written.count(b"\r\n")
    assert Path("real.yaml").stat().st_mode & 0o777 == 0o640
    assert Path("link.yaml").is_symlink()


def test_a_config_that_is_not_there_is_told(project):
    with pytest.raises(UserError, match=r"no\.yaml: the file does not exist"):
        init.main(["--config", "no.yaml"])
    assert not Path("no.yaml").exists()


@pytest.mark.parametrize("config", ["a: [", "a: 1\na: 2\n", "- a\n", "{a: 1}"])
def test_a_config_with_a_mistake_is_left_alone(project, config):
    Path("foo.yaml").write_text(config)
    with pytest.raises(UserError):
        init.main(["--config", "foo.yaml"])
    assert Path("foo.yaml").read_text() == config


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop its rights")
def test_a_folder_that_cannot_be_written_is_told(project):
    os.chown(project, 12345, 12345)
    project.chmod(0o555)
    rights = "--bounding-set=-dac_override,-dac_read_search"
    program = "import sys; from preflight.cli.init import main; main(sys.argv[1:])"
    command = ["setpriv", rights, sys.executable, "-c", program, "--config", "foo.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    project.chmod(0o755)
    assert "foo.yaml: the file cannot be written: Permission denied" in done.stderr
    assert Path("foo.yaml").read_text() == CONFIG
