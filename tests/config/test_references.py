import pytest

from preflight.config.document import parse, plain
from preflight.config.references import References
from preflight.errors import UserError


def resolved(text, key, environment=None, *, strict=True):
    root = parse(text, "foo.yaml")
    return plain(References(root, "foo.yaml", environment or {}).resolve(root.value[key], key, strict=strict))


def test_a_reference_takes_value_and_type():
    text = "a: {b: [1, {c: true}]}\nx: ${a.b[1].c}\ny: ${a.b.0}\nz: ${a}\nt: <${a.b[0]}>\n"
    assert resolved(text, "x") is True
    assert resolved(text, "y") == 1
    assert resolved(text, "z") == {"b": [1, {"c": True}]}
    assert resolved(text, "t") == "<1>"


def test_references_are_followed():
    text = "root: /d\ndata: {dir: '${root}/x', all: '${data.dir}'}\nother: ${data}\nx: ${other.all}/y\n"
    assert resolved(text, "x") == "/d/x/y"


def test_the_environment_answers():
    environment = {"NAME": "v", "COMMA": "a,b"}
    text = """
a: ${oc.env:NAME}
b: ${oc.env:NO,d/e}
c: ${NAME}
d: ${oc.env:NO,${oc.env:COMMA}/x}
e: ${oc.env:NO,null}
f: ${oc.env:NO,'q'}
"""
    assert [resolved(text, key, environment) for key in "abcdef"] == ["v", "d/e", "v", "a,b/x", None, "q"]


def test_a_key_goes_before_a_variable():
    assert resolved("NAME: key\na: ${NAME}\n", "a", {"NAME": "variable"}) == "key"


def test_an_escaped_reference_stays():
    assert resolved("a: '\\${b}/${c}'\nc: 1\n", "a") == "${b}/1"


def test_keys_that_are_numbers_are_found():
    assert resolved("a: {0: x, '1': y}\nb: ${a.0}${a.1}\n", "b") == "xy"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nx: ${b}\n", "foo.yaml:2: x: ${b}: b is no key of this file, and not set in the environment"),
        ("a: ${NO}/t\nx: ${a}\n", "foo.yaml:1: a: ${NO}: NO is no key of this file, and not set"),
        ("a: {b: 1}\nx: ${a.c}\n", "foo.yaml:2: x: ${a.c}: a.c is no key of this file"),
        ("x: [0, '${oc.env:NO}']\n", "foo.yaml:1: x[1]: ${oc.env:NO}: the environment variable NO is not set"),
        ("x: ${now:%Y}\n", "foo.yaml:1: x: ${now:%Y}: now is no resolver"),
        ("a: ${x}\nx: ${a}\n", "the references go in a circle: a -> x -> a"),
        ("x: ${x}\n", "the references go in a circle: x -> x"),
        ("x: {y: '${x}'}\n", "the references go in a circle: x -> x"),
        ("a: [1]\nx: t${a}\n", "foo.yaml:2: x: ${a} is a list or mapping"),
        ("x: ${a\n", "foo.yaml:1: x: `${` is not closed"),
        ("x: ${}\n", "foo.yaml:1: x: ${}"),
        ("a: [1]\nx: ${a[5]}\n", "foo.yaml:2: x: ${a[5]}"),
    ],
)
def test_what_cannot_be_resolved_is_told_where_it_stands(text, told):
    with pytest.raises(UserError) as raised:
        resolved(text, "x")
    assert told in str(raised.value)


def test_the_value_of_a_variable_is_never_shown():
    with pytest.raises(UserError) as raised:
        resolved("a: [1]\nx: '${SECRET}${a}'\n", "x", {"SECRET": "hunter2"})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("value", ["${now:%Y}", "${NO}/x", "${x}", "${x", "${y}/z"])
def test_elsewhere_what_cannot_be_resolved_stays(value):
    assert resolved(f"x: '{value}'\ny: ${{now:%Y}}\n", "x", strict=False) == value


def test_a_few_lines_cannot_unfold_to_billions():
    aliases = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    lists = "a0: [x]\n" + "".join(f"a{n}: ['${{a{n - 1}}}', '${{a{n - 1}}}']\n" for n in range(1, 40))
    texts = "a0: x\n" + "".join(f"a{n}: '${{a{n - 1}}}${{a{n - 1}}}'\n" for n in range(1, 40))
    for text, key in ((aliases, "a11"), (lists, "a39"), (texts, "a39")):
        with pytest.raises(UserError, match="unfold"):
            resolved(text, key, strict=False)


def test_a_long_chain_ends():
    text = "a0: x\n" + "".join(f"a{n}: ${{a{n - 1}}}\n" for n in range(1, 3000))
    assert resolved(text, "a50") == "x"
    with pytest.raises(UserError, match="100 levels"):
        resolved(text, "a2999")
