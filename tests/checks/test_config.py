"""The findings of the config check, with the code that reads the file beside it."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from preflight import config
from preflight.model import Finding, Severity

READS_PLAINLY = "import yaml\nsettings = yaml.safe_load(open('config.yaml'))\n"


@pytest.fixture(scope="session")
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("config")


def said(checks: ModuleType, root: Path, text: str, code: str = READS_PLAINLY) -> list[Finding]:
    (root / "train.py").write_text(code)
    return list(checks.check_numbers_are_numbers(config.load(root / "config.yaml", text=text, root=root), root))


def test_a_number_that_is_text(checks: ModuleType, tmp_path: Path) -> None:
    [finding] = said(checks, tmp_path, "lr: 0.1\noptimizer:\n  min_lr: 1e-6\n")
    assert (finding.id, finding.severity) == ("config.number-as-text", Severity.ERROR)
    assert finding.message == "optimizer.min_lr: 1e-6 is read as a string by PyYAML, not as a number"
    assert finding.fix == "Write 1.0e-6"
    assert finding.line == 3
    assert said(checks, tmp_path, "lr: 0.1\noptimizer:\n  min_lr: 1.0e-6\n") == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1e-4", "1.0e-4"), ("1E5", "1.0e+5"), ("1.5e3", "1.5e+3"), ("-2e-3", "-2.0e-3"), (".5e3", ".5e+3")],
)
def test_the_number_to_write_is_one(checks: ModuleType, tmp_path: Path, written: str, meant: str) -> None:
    [finding] = said(checks, tmp_path, f"betas: [0.9, {written}]\n")
    assert finding.fix == f"Write {meant}"
    assert config.load(None, text=f"x: {meant}\n").experiment["x"] == float(written)


@pytest.mark.parametrize(
    "text",
    [
        "lr: '1e-6'",
        "lr: !!str 1e-6",
        "lr: 1.0e-6",
        "commit: 12e4567",
        "commit_hash: 1e4",
        "note: 1e-6 is small",
        "preflight: {checks: {mine: {tolerance: 1e-6}}}",
    ],
)
def test_what_is_meant_as_it_is(checks: ModuleType, tmp_path: Path, text: str) -> None:
    assert said(checks, tmp_path, text) == []


@pytest.mark.parametrize(
    "line", ["lr = float(settings['lr'])", "parser.add_argument('--lr', type=float)", "lr: float = 0"]
)
def test_what_the_code_turns_into_a_number(checks: ModuleType, tmp_path: Path, line: str) -> None:
    assert said(checks, tmp_path, "lr: 1e-6", READS_PLAINLY + line) == []


@pytest.mark.parametrize(
    "line",
    [
        "optim = {k: float(v) for k, v in settings['optim'].items()}",
        "for k, v in settings.items():\n    if k:\n        settings[k] = float(v)\n",
    ],
)
def test_what_the_code_turns_into_numbers_with_all_of_its_section(
    checks: ModuleType, tmp_path: Path, line: str
) -> None:
    assert said(checks, tmp_path, "optim: {lr: 1e-6}", READS_PLAINLY + line) == []
    other = line.replace("settings", "losses").replace("optim", "found")
    assert len(said(checks, tmp_path, "optim: {lr: 1e-6}", READS_PLAINLY + other)) == 1


@pytest.mark.parametrize("code", ["print(1)", "from omegaconf import OmegaConf\nimport yaml\nyaml.safe_load('')"])
def test_where_another_reader_is_at_work_it_only_tells(checks: ModuleType, tmp_path: Path, code: str) -> None:
    [finding] = said(checks, tmp_path, "lr: 1e-6", code)
    assert finding.severity is Severity.INFO


def test_an_anchor_is_told_once(checks: ModuleType, tmp_path: Path) -> None:
    assert len(said(checks, tmp_path, "a: &one {lr: 1e-6}\nb: *one\nc:\n  <<: *one\n")) == 1


def test_without_a_file_there_is_nothing_to_say(checks: ModuleType, tmp_path: Path) -> None:
    assert list(checks.check_numbers_are_numbers(config.Config(), tmp_path)) == []


def keys_said(checks: ModuleType, root: Path, text: str, code: str) -> list[Finding]:
    (root / "train.py").write_text(READS_PLAINLY + code)
    return list(checks.check_keys_are_read(config.load(root / "config.yaml", text=text, root=root), root))


def test_a_misspelled_key(checks: ModuleType, tmp_path: Path) -> None:
    code = "lr = settings.get('learning_rate', 1)\n"
    [finding] = keys_said(checks, tmp_path, "seed: 1\nlearning_rte: 0.1\n", code)
    assert (finding.id, finding.severity, finding.line) == ("config.unread-key", Severity.ERROR, 2)
    assert finding.message == (
        "learning_rte is read by no code, it is unknown; train.py:3 reads learning_rate, which the file lacks: "
        "did you mean learning_rate?"
    )
    assert keys_said(checks, tmp_path, "seed: 1\nlearning_rate: 0.1\n", code) == []


def test_a_misspelled_key_of_a_section(checks: ModuleType, tmp_path: Path) -> None:
    code = "def train(options):\n    options['learning_rate']\ntrain(settings['optimizer'])\n"
    [finding] = keys_said(checks, tmp_path, "optimizer:\n  learning_rte: 0.1\n", code)
    assert finding.found == "optimizer.learning_rte"
    assert keys_said(checks, tmp_path, "optimizer:\n  learning_rate: 0.1\n", code) == []


def test_a_key_in_the_wrong_section(checks: ModuleType, tmp_path: Path) -> None:
    code = "lr = settings['training'].get('learning_rate', 1)\n"
    [finding] = keys_said(checks, tmp_path, "learning_rate: 0.1\ntraining:\n  epochs: 3\n", code)
    assert (finding.id, finding.severity) == ("config.misplaced-key", Severity.ERROR)
    assert finding.fix == "Move learning_rate to training.learning_rate"
    assert keys_said(checks, tmp_path, "training:\n  epochs: 3\n  learning_rate: 0.1\n", code) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("learning_rte: 0.1", "settings.get('momentum')"),
        ("learning_rte: 0.1\nlearning_rate: 0.2", "settings['learning_rate']"),
        ("learning_rte: 0.1", "settings.get('learning_rate')\nunknown(**settings)"),
        ("learning_rte: 0.1", "settings.get('learning_rate')\n# learning_rte is for the plots"),
        ("learning_rte: 0.1\nx: ${learning_rte}", "settings.get('learning_rate')\nsettings['x']"),
        ("learning_rte: 0.1", "row = {}\nrow['learning_rate']"),
        ("learning_rte: 0.1", "settings.get('learning_rate')\nother = yaml.safe_load('b: 1')"),
        ("name: baseline", "settings.get('names')"),
        ("x_min: 1", "settings.get('y_min')"),
        ("lr: 1\ntraining: {epochs: 1}", "settings['training'].get('lr')\nargs.lr"),
        ("lr: 1", "settings.get('training', {}).get('lr')"),
        ("lr: 1\ntraining: {epochs: 1}", "settings.get('lr') or settings['training'].get('lr')"),
        ("preflight: {}", "settings.get('learning_rate')"),
        ("tokenizer: {vocab: 1}", "settings.get('tokenizer')\nbuild(settings['tokenizer'])"),
    ],
)
def test_keys_of_which_nothing_can_be_said(checks: ModuleType, tmp_path: Path, text: str, code: str) -> None:
    assert keys_said(checks, tmp_path, text, code) == []


def about(checks: ModuleType, name: str, root: Path, text: str, code: str) -> list[Finding]:
    (root / "train.py").write_text(READS_PLAINLY + code)
    return list(getattr(checks, name)(config.load(root / "config.yaml", text=text, root=root), root))


EXPANDS = "import os\nopen(os.path.expandvars(settings['train']))\n"
RESOLVES = "from omegaconf import OmegaConf\nOmegaConf.load('config.yaml').train\n"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("${SOME_ROOT}/train.csv", EXPANDS),
        ("$SOME_ROOT/train.csv", EXPANDS),
        ("'${oc.env:SOME_ROOT}/train.csv'", RESOLVES),
    ],
)
def test_a_variable_that_is_not_set(
    checks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, code: str
) -> None:
    monkeypatch.delenv("SOME_ROOT", raising=False)
    text = f"seed: 1\ntrain: {value}\n"
    [finding] = about(checks, "check_variables_are_set", tmp_path, text, code)
    assert (finding.id, finding.severity, finding.line) == ("config.unset-variable", Severity.ERROR, 2)
    assert finding.message == "train: the environment variable SOME_ROOT is not set"
    monkeypatch.setenv("SOME_ROOT", "/data")
    assert about(checks, "check_variables_are_set", tmp_path, text, code) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("train: $SOME_ROOT/x", "open(settings['train'])"),
        ("prompt: costs $SOME_ROOT", EXPANDS),
        ("SOME_ROOT: a\ntrain: ${SOME_ROOT}/x", EXPANDS),
        ("train: '${oc.env:SOME_ROOT,/data}/x'", RESOLVES),
        ("train: costs 5$", EXPANDS),
    ],
)
def test_what_names_no_variable(
    checks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: str
) -> None:
    monkeypatch.delenv("SOME_ROOT", raising=False)
    assert about(checks, "check_variables_are_set", tmp_path, text, code) == []


@pytest.mark.parametrize(
    ("text", "key", "mended"),
    [
        ("locales: [english, no]", "locales[1]", "locales: [english, 'no']"),
        ("countries: [gb, no, se]", "countries[1]", "countries: [gb, 'no', se]"),
        ("data: {language: no}", "data.language", "data: {language: 'no'}"),
        ("augment:\n  on: flip", "augment.on", "augment:\n  'on': flip"),
    ],
)
def test_a_word_that_is_read_as_a_boolean(checks: ModuleType, tmp_path: Path, text: str, key: str, mended: str) -> None:
    [finding] = about(checks, "check_words_are_words", tmp_path, text, "")
    assert (finding.id, finding.severity) == ("config.boolean-word", Severity.WARNING)
    assert finding.message.startswith(f"{key}: o" if key.endswith("on") else f"{key}: no")
    assert about(checks, "check_words_are_words", tmp_path, mended, "") == []


def test_no_among_codes_that_the_program_asks_for_is_an_error(checks: ModuleType, tmp_path: Path) -> None:
    code = "for each in settings['languages']: open(each)"
    [finding] = about(checks, "check_words_are_words", tmp_path, "languages: [da, no, sv]", code)
    assert finding.severity is Severity.ERROR
    assert about(checks, "check_words_are_words", tmp_path, "languages: [da, 'no', sv]", code) == []
    [finding] = about(checks, "check_words_are_words", tmp_path, "x: {languages: [danish, no]}", code)
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize(
    "text",
    [
        "shuffle: no",
        "flags: [no, yes]",
        "flags: [true, no]",
        "flags: [1, no]",
        "note: no",
        "languages: [en, de]",
        "x: []",
    ],
)
def test_booleans_that_are_meant(checks: ModuleType, tmp_path: Path, text: str) -> None:
    assert about(checks, "check_words_are_words", tmp_path, text, "") == []
    lenient = "from omegaconf import OmegaConf\n"
    assert about(checks, "check_words_are_words", tmp_path, "langs: [en, no]", lenient) == []


def test_a_path_that_starts_from_the_folder_of_the_config(checks: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "configs/data").mkdir(parents=True)
    (tmp_path / "configs/data/train.csv").touch()
    source, text = tmp_path / "configs/config.yaml", "seed: 1\ntrain: data/train.csv\n"

    def paths_said(code: str = "open(settings['train'])\n") -> list[Finding]:
        (tmp_path / "train.py").write_text(READS_PLAINLY + code)
        return list(checks.check_paths_start_from_here(config.load(source, text=text, root=tmp_path), tmp_path))

    [finding] = paths_said()
    assert (finding.id, finding.severity, finding.line) == ("config.other-folder", Severity.WARNING, 2)
    assert finding.fix.endswith("or write configs/data/train.csv")
    assert paths_said("import os\nos.chdir(os.path.dirname(1))\nopen(settings['train'])\n") == []
    assert paths_said("") == []
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.csv").touch()
    assert paths_said() == []
