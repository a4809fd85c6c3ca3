"""Files that people wrote are edited where they are wrong, and not a sign of the rest changes."""

import difflib
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from preflight.envlock.intent import Present, edit
from preflight.envlock.model import Package
from preflight.envlock.specification import is_met, parse_spec, read_specification
from preflight.errors import UserError

CORPUS = Path(__file__).parent / "environments"
FILES = sorted(each.name for each in CORPUS.glob("*.yml") if ".edited" not in each.name)


def conda(name: str, version: str, build: str = "") -> Package:
    return Package(name=name, version=version, manager="conda", build=build)


def pip(name: str, version: str) -> Package:
    return Package(name=name, version=version, manager="pip")


# What is installed now; the corpus says `gone` and `lost` for what is not, and is older for the rest.
PRESENT = Present(
    platform="linux-64",
    packages=[
        conda("_libgcc_mutex", "0.1", "conda_forge"),
        conda("blas", "2.120", "mkl"),
        conda("numpy", "2.0.1", "py311h71ddf71_0"),
        conda("pip", "24.0", "pyhd8ed1ab_0"),
        conda("python", "3.11.9", "h955ad1f_0_cpython"),
        conda("scipy", "1.14.1", "py311he9a78e4_1"),
        conda("zlib", "1.3.1", "h4ab18f5_1"),
        pip("foo-bar", "2.3"),
        pip("proj", "0.2"),
        pip("rich", "13.9"),
        pip("six", "1.17.0"),
        pip("wandb", "0.27.0"),
    ],
    conda=["numpy", "zlib=1.3"],
    pip=["wandb", "rich", "-e ./proj"],
)


@pytest.fixture(params=FILES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def text_of(name: str) -> str:
    return (CORPUS / name).read_bytes().decode()


def test_the_corpus_is_edited_as_its_twins_say(name: str) -> None:
    assert edit(text_of(name), PRESENT, CORPUS / name) == text_of(name.replace(".yml", ".edited.yml"))


def test_only_lines_about_what_changed_are_touched(name: str) -> None:
    before, after = text_of(name).splitlines(), text_of(name.replace(".yml", ".edited.yml")).splitlines()
    touched = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    about = re.compile(r"numpy|zlib|wandb|rich|proj|gone|lost|six|scipy|python=3.11|Foo.Bar|pip|prefix:|^[+-]\s*$")
    assert touched
    assert all(about.search(line) for line in touched)


def test_line_ends_stay_what_they_are(name: str) -> None:
    wanted = text_of(name.replace(".yml", ".edited.yml"))
    windows = edit(text_of(name).replace("\n", "\r\n"), PRESENT, CORPUS / name)
    assert windows == wanted.replace("\n", "\r\n")
    assert edit(text_of(name).removesuffix("\n"), PRESENT, CORPUS / name) == wanted.removesuffix("\n")
    assert edit(f"\ufeff{text_of(name)}", PRESENT, CORPUS / name) == f"\ufeff{wanted}"


def test_the_same_again_changes_nothing(name: str) -> None:
    once = edit(text_of(name), PRESENT, CORPUS / name)
    assert edit(once, PRESENT, CORPUS / name) == once


def test_what_is_listed_then_is_what_is_installed(name: str) -> None:
    there = {each.name: each for each in PRESENT.packages}
    after = read_specification(CORPUS / name, "linux-64", edit(text_of(name), PRESENT, CORPUS / name))
    shared = {"gone"} if name == "anchors.yml" else set()
    for spec in after.conda:
        if spec.name not in shared and not spec.name.startswith("__"):
            assert is_met(spec, there[spec.name]) or name == "anchors.yml", spec
    listed = {spec.name for spec in after.conda}
    assert {"numpy", "zlib", "python"} <= listed
    assert {"wandb", "rich", "-e ./proj"} <= {
        re.split(r"[\s=<>~\[]", line)[0] if line[0] != "-" else line for line in after.pip
    }
    assert not any(line.startswith("lost") for line in after.pip)


def lines(*wanted: str) -> str:
    return "dependencies:\n" + "".join(f"  - {line}\n" for line in wanted)


def test_a_met_constraint_stays_whatever_its_form() -> None:
    met = ["python", "numpy>=1.20", "scipy =1.14", "pip 24.0", "blas=*=mkl", "zlib[version='>=1,<2']", "numpy>=3|2.*"]
    assert edit(lines(*met), replace(PRESENT, conda=[], pip=[]), Path("e.yml")) == lines(*met)


def test_what_is_listed_somewhere_is_not_added(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("# tools\nRich>=10\n  wandb\n")
    text = "dependencies:\n- zlib\n- numpy\n- pip:\n  - -r more.txt\n  - --editable=proj\n"
    assert edit(text, PRESENT, tmp_path / "environment.yml") == text


def test_a_pip_line_that_conda_meets_stays() -> None:
    text = "dependencies:\n- python\n- pip:\n  - NumPy>=2\n"
    assert edit(text, replace(PRESENT, conda=[], pip=[]), Path("e.yml")) == text


def test_a_list_without_an_entry() -> None:
    present = replace(PRESENT, conda=["numpy"], pip=["six"])
    assert edit("dependencies: []\n", present, Path("e.yml")) == "dependencies: [numpy, pip, {pip: [six]}]\n"
    assert edit("dependencies: [{pip: []}]\n", present, Path("e.yml")) == "dependencies: [numpy, {pip: [six]}]\n"
    assert edit("dependencies:\n- pip: [lost]\n", present, Path("e.yml")) == "dependencies:\n- numpy\n- pip: [six]\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dependencies: [numpy\n", "e.yml:"),
        ("name: x\n", "`dependencies` is missing"),
        ("dependencies: numpy\n", "`dependencies` is no list"),
        ("dependencies:\n- numpy: 1\n", "e.yml:2: dependencies[0]"),
        ("a: &a {<<: {dependencies: [numpy]}}\n<<: [*a]\n", "cannot be edited"),
    ],
)
def test_a_file_that_makes_no_sense(text: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        edit(text, PRESENT, Path("e.yml"))
    assert told in str(caught.value)


NAMES = ["numpy", "scipy", "zlib", "gone", "blas"]
PIPS = ["six", "rich", "lost", "Foo_Bar"]
VERSIONS = st.lists(st.integers(0, 30), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
OPERATORS = ["=", "==", ">=", "<=", "<", ">", "!=", "~="]
GAPS = st.sampled_from(["", " ", "   "])


@st.composite
def constrained(draw: st.DrawFn, names: list[str], operators: list[str]) -> str:
    clauses = [
        draw(st.sampled_from(operators)) + draw(st.sampled_from(["", " "])) + draw(VERSIONS)
        for _ in range(draw(st.integers(0, 2)))
    ]
    clauses = [re.sub(r"~=(\s*)(\d+)$", r"~=\1\2.0", clause) for clause in clauses]
    return draw(st.sampled_from(names)) + draw(GAPS) + draw(st.sampled_from([",", ", "])).join(clauses)


@st.composite
def environments(draw: st.DrawFn) -> str:
    """Return an environment.yml in one of the many ways to write one."""
    conda_lines = draw(st.lists(constrained(NAMES, OPERATORS), min_size=1, max_size=5))
    pip_lines = draw(st.lists(constrained(PIPS, [each for each in OPERATORS if each != "="]), max_size=4))
    quote = draw(st.sampled_from(['"', "'"]))
    if draw(st.booleans()):
        listed = [f"{quote}{line}{quote}" for line in conda_lines]
        listed += [f"{{pip: [{', '.join(f'{quote}{line}{quote}' for line in pip_lines)}]}}"] if pip_lines else []
        between = draw(st.sampled_from([", ", ",  ", ", # c\n  "]))
        text = f"dependencies: [{between.join(listed)}]\n"
    else:
        indent, gap = draw(st.sampled_from(["", "  ", "    "])), draw(st.sampled_from([" ", "   "]))
        comments = st.sampled_from(["", "  # why", "\n", f"\n{indent}# a comment of its own"])
        quoted = st.sampled_from(["", quote])

        def written(line: str) -> str:
            mark = draw(quoted)
            return f"-{gap}{mark}{line.strip()}{mark}{draw(comments)}\n"

        text = "dependencies:\n" + "".join(indent + written(line) for line in conda_lines)
        if pip_lines:
            inner = " " * (len(indent) + 1 + len(gap)) + draw(st.sampled_from(["", "  "]))
            text += f"{indent}-{gap}pip:\n" + "".join(inner + written(line) for line in pip_lines)
    head, tail = (
        draw(st.sampled_from(["", "# top\nname: x\n", "---\n"])),
        draw(st.sampled_from(["", "variables: {A: b}\n"])),
    )
    text = head + text + tail
    text = text.replace("\n", "\r\n") if draw(st.booleans()) else text
    return text if draw(st.booleans()) else text.removesuffix("\n").removesuffix("\r")


@given(environments())
def test_any_file_is_true_after_an_edit_and_stays_as_it_is_after_another(text: str) -> None:
    file = Path("e.yml")
    once = edit(text, PRESENT, file)
    assert edit(once, PRESENT, file) == once
    before, after = yaml.safe_load(text), yaml.safe_load(once)
    assert {**before, "dependencies": 0} == {**after, "dependencies": 0}
    there = {each.name: each for each in PRESENT.packages}
    for line in (each for each in after["dependencies"] if isinstance(each, str)):
        spec = parse_spec(line)
        assert spec
        assert is_met(spec, there[spec.name]), line
    assert {"numpy", "zlib"} <= {spec.name for spec in read_specification(file, "linux-64", once).conda}
    comments = re.findall(r"^\s*# a comment of its own", text, re.MULTILINE)
    assert len(re.findall(r"^\s*# a comment of its own", once, re.MULTILINE)) == len(comments)
    assert text.endswith("\n") == once.endswith("\n")
    assert ("\r\n" in text) <= ("\n" not in once.replace("\r\n", ""))


@given(environments())
def test_what_is_true_already_is_not_touched(text: str) -> None:
    once = edit(text, PRESENT, Path("e.yml"))
    nothing = replace(PRESENT, conda=[], pip=[])
    assert edit(once, nothing, Path("e.yml")) == once
