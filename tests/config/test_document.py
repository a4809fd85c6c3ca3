import os
import subprocess
import sys

import pytest

from preflight.config.document import Node, parse, plain, read_text
from preflight.errors import UserError


def values(text):
    return plain(parse(text, "foo.yaml"))


def mistake(text):
    with pytest.raises(UserError) as raised:
        parse(text, "foo.yaml")
    return raised.value


class TestParse:
    def test_each_value_knows_the_line_of_its_key(self):
        root = parse("a: 1\nb:\n  - x\n  - {c: 2}\nd:\n\n  e: 3\n", "foo.yaml")
        assert root.value["b"].line == 2
        assert root.value["b"].value[1].value["c"] == Node(2, 4)
        assert root.value["d"].value["e"].line == 7

    def test_values_are_those_of_a_safe_load(self):
        yaml = pytest.importorskip("yaml")
        text = """
a: [1, 2.5, .inf, ~, yes, 1e-4, 0x1f, '1', 2024-01-02, 1:30]
b: {2: x, true: y}
? z
: |
  t
s: !!set {k}
m: !!binary aGk=
"""
        assert values(text) == yaml.safe_load(text)

    @pytest.mark.parametrize("text", ["", "\n", "# only this\n", "---\n", "null\n", "\ufeff"])
    def test_an_empty_file_is_an_empty_mapping(self, text):
        assert values(text) == {}

    def test_aliases_and_merge_keys_work(self):
        text = "a: &a {x: 1, y: 2}\nb: &b {z: 0, x: 9}\nc: {<<: [*a, *b], y: 3}\nd: *a\n"
        assert values(text)["c"] == {"x": 1, "y": 3, "z": 0}
        assert values(text)["d"] == {"x": 1, "y": 2}

    def test_an_alias_has_the_line_where_it_is_used(self):
        assert parse("a: &a [1]\nb: *a\n", "foo.yaml").value["b"].line == 2

    def test_signs_that_pyyaml_stumbles_over_are_text(self):
        assert values("=: 1\nb: =\nc: [<<]\n") == {"=": 1, "b": "=", "c": ["<<"]}

    def test_a_duplicate_key_names_both_lines(self):
        assert str(mistake("a:\n  b: 1\n  c: 2\n  b: 3\n")).splitlines()[0] == (
            "foo.yaml:4: a.b: the key is there twice, first on line 2"
        )

    @pytest.mark.parametrize(
        ("text", "line", "words"),
        [
            ("- 1", 1, "holds a list"),
            ("just text", 1, "holds a single value"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("a:\n\tb: 1\n", 2, "tab"),
            ("a: 1\nb: [1,\n", 2, "not YAML"),
            ("a: 1\nb: {c: ${x}}\n", 2, "not YAML"),
            ("a: 1\nb: 'x\n", 2, "not YAML"),
            ("b: 1\na: &x [*x]\n", 2, "stands inside"),
            ("b: 1\na: *y\n", 2, "no anchor"),
            ("a: !!python/object/apply:os.system [echo]\n", 1, "not plain YAML"),
            ("a: 1\nb: !include x\n", 2, "!include"),
            ("!!python/name:os.system x", 1, "not plain YAML"),
            ("a: 1\nb: !!int x\n", 2, "cannot be read as int"),
            ("a: 1\nb: 2024-13-45\n", 2, "cannot be read as timestamp"),
            ("a: 1\n? [1]\n: 2\n", 2, "cannot be a key"),
            ("a: {<<: 3}\n", 1, "`<<` takes"),
            ("a: 1\nb: \x07\n", 2, "U+0007"),
            ("a: \ud800\n", 1, "U+D800"),
            ("a: " + "[" * 100_000, 1, "100 levels"),
            ("\n".join(" " * depth + "a:" for depth in range(150)), 101, "100 levels"),
        ],
        ids=lambda value: value[:14] if isinstance(value, str) else None,
    )
    def test_a_mistake_has_its_line(self, text, line, words):
        told = mistake(text)
        assert told.where.startswith(f"foo.yaml:{line}")
        assert words in told.message

    def test_an_unquoted_reference_in_braces_has_its_remedy(self):
        assert "quotes" in mistake("a: {b: ${c}}\n").fix


class TestReadText:
    def test_a_byte_order_mark_is_passed_over(self, tmp_path):
        (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
        assert read_text(tmp_path / "a.yaml") == "a: 1\n"

    @pytest.mark.parametrize(
        ("content", "words"),
        [(b"a: \0", "binary"), (b"a: 1\nb: \xff\n", "0xff is not UTF-8"), ("a: ü\n".encode("utf-16"), "binary")],
    )
    def test_what_is_no_text_is_told(self, tmp_path, content, words):
        path = tmp_path / "a.yaml"
        path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            read_text(path)

    def test_the_line_of_a_bad_byte_is_told(self, tmp_path):
        path = tmp_path / "a.yaml"
        path.write_bytes(b"a: 1\nb: \xff\n")
        with pytest.raises(UserError) as raised:
            read_text(path)
        assert raised.value.where == f"{path}:2"

    def test_a_missing_file_a_folder_and_an_impossible_name_are_told(self, tmp_path):
        for path, words in (
            (tmp_path / "no.yaml", "does not exist"),
            (tmp_path, "folder"),
            (tmp_path / "\0", "no file name"),
        ):
            with pytest.raises(UserError, match=words):
                read_text(path)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop its rights")
    def test_an_unreadable_file_is_told(self, tmp_path):
        path = tmp_path / "a.yaml"
        path.write_text("a: 1")
        path.chmod(0)
        os.chown(path, 12345, 12345)
        code = (
            "import sys, pathlib; from preflight.config import document; document.read_text(pathlib.Path(sys.argv[1]))"
        )
        rights = "--bounding-set=-dac_override,-dac_read_search"
        done = subprocess.run(
            ["setpriv", rights, sys.executable, "-c", code, path], capture_output=True, text=True, check=False
        )
        assert "permission denied" in done.stderr
