"""Whatever stands in a file, it is a Config or a UserError with a line."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from preflight.config import Config, asked, entries, label, load
from preflight.config.document import read_text
from preflight.config.jsonschema import config_schema
from preflight.errors import UserError

quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

SECTIONS = {
    "imports": ["name", "version", "optional", "deadline"],
    "packages": ["lock", "consistent"],
    "data": ["path", "hub", "manifest", "files", "open", "columns", "rows", "values", "missing", "encoding", "sha256"],
    "paths": ["path", "access", "free", "inodes", "empty", "deadline"],
    "system": ["ram", "shm", "nofile", "ports", "commands", "env", "hosts"],
    "gpu": ["count", "memory", "capability", "dtypes", "idle"],
    "seeds": ["value", "step", "command"],
    "rehearsal": ["command", "time"],
    "code": ["commit", "clean"],
    "ignore": ["id", "reason", "until"],
    "checks": ["x"],
    "root": [],
    "python": [],
    "deadline": [],
}

WORDS = """
torch>=2 50GB 1h30m 100k all read+write ${a} ${oc.env:HOME} ${ \\${x} ${a[0].b} ${${a}} a:80 >=8 \0 \ud7ff İ 🧪
= << !x &y *z 1e-4 2027-01-01 .. / ~
"""
words = st.sampled_from(WORDS.split())
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(2**63), 2**64, 0]),
    st.floats(),
    st.text(max_size=20),
    words,
    st.dates(),
    st.datetimes(),
    st.binary(max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(words, st.text(max_size=5), st.integers(), st.booleans()), inner, max_size=4),
    ),
    max_leaves=12,
)


@st.composite
def sections(draw):
    """A `preflight:` whose keys are mostly right and whose values are mostly not."""
    section = {}
    for name in draw(st.lists(st.sampled_from(sorted(SECTIONS)), max_size=3, unique=True)):
        keys = st.sampled_from([*SECTIONS[name], "x", "glob", "min"])
        entry = st.dictionaries(keys, values, max_size=4)
        section[name] = draw(st.one_of(values, entry, st.lists(entry, max_size=3)))
    return section


def answer(read):
    """Return the Config, or None where there is a mistake that a user can find."""
    try:
        return read()
    except UserError as told:
        mistake = told
    assert re.match(r"\S*foo\.yaml(:[1-9]|$)", mistake.where), mistake
    assert str(mistake).count("\n") <= 1
    return None


def is_answered(text):
    config = answer(lambda: load(Path("foo.yaml"), text=text))
    assert config is None or isinstance(config, Config)
    for key in ("imports", "data", "paths", "system.ports", "gpu", "seeds.step"):
        assert config is None or all(label(entry) for entry in entries(config, key)) or not asked(config, key)


@quick
@given(sections(), values)
def test_any_section(section, value):
    is_answered(yaml.safe_dump({"a": value, "preflight": section}, allow_unicode=True))


@quick
@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"%@`#,? \n\t${}.0<~="), max_size=60))
def test_any_signs(text):
    is_answered(text)


@quick
@given(st.text(max_size=60), st.sampled_from(["{}", "preflight: {{root: {}}}", "a: {}\npreflight: {{root: '${{a}}'}}"]))
def test_any_text(text, frame):
    is_answered(frame.format(text))


@quick
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from("abc"), st.sampled_from(["${%s}", "*%s", "[*%s, x]", "x${%s}"])
        ),
        max_size=6,
    )
)
def test_any_aliases(lines):
    text = "".join(
        f"{key}{number}: &{key} {{v: {value % other!r}}}\n"
        if "$" in value
        else f"{key}{number}: &{key} {value % other}\n"
        for number, (key, other, value) in enumerate(lines)
    )
    is_answered(text + "preflight: {checks: {x: '${a0}'}}\n")


@settings(quick, max_examples=100)
@given(st.integers(0, 400), st.sampled_from(["[", "{a: ", "${", "- "]))
def test_any_depth(depth, sign):
    is_answered("preflight: " + ("\n" if sign == "- " else "") + sign * depth)
    is_answered(f"preflight: {{root: '{'${' * depth}a{'}' * depth}'}}")


@quick
@given(data=st.binary(max_size=60))
def test_any_bytes(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "foo.yaml"
    path.write_bytes(data)
    text = answer(lambda: read_text(path))
    is_answered(text or "")


def test_the_fuzzer_sees_both_answers():
    is_answered("preflight: {imports: [torch]}")
    with pytest.raises(UserError):
        load(Path("foo.yaml"), text="preflight: {imports: 3}")


SCHEMA = Draft202012Validator(config_schema())


@quick
@given(sections())
def test_the_published_schema_refuses_nothing_that_is_taken(section):
    text = yaml.safe_dump({"preflight": section}, allow_unicode=True)
    if answer(lambda: load(Path("foo.yaml"), text=text)) is None:
        return
    try:
        plain = json.loads(json.dumps(yaml.safe_load(text), default=str))
    except (TypeError, ValueError, yaml.YAMLError):  # keys that JSON has no word for
        return
    assert not [error.message for error in SCHEMA.iter_errors(plain)]
