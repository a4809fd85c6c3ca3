"""How a program reads its data, as far as its text tells: words in it that change what a file must be."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from preflight.system.code import Source, dotted

# fmt: off
FILLS_GAPS = frozenset({
    "fillna", "dropna", "ffill", "bfill", "interpolate", "isna", "isnull", "notna", "notnull", "isnan", "nan_to_num",
    "nanmean", "nanmedian", "nanstd", "SimpleImputer", "KNNImputer", "IterativeImputer", "na_values", "fill_null",
    "drop_nulls", "drop_nans", "fill_nan", "masked_invalid", "isfinite", "XGBClassifier", "XGBRegressor",
    "LGBMClassifier", "LGBMRegressor", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor",
})
MAPS_LABELS = frozenset({
    "LabelEncoder", "OrdinalEncoder", "LabelBinarizer", "factorize", "return_inverse", "inverse", "codes", "map",
    "replace", "get_dummies", "label_map", "label2id", "class_to_idx", "class_to_index", "unique", "set", "Categorical",
    "searchsorted", "digitize", "ignore_index", "clip",
})
NAMES_DELIMITER = frozenset({"sep", "delimiter", "Sniffer", "delim_whitespace", "dialect", "separator"})
FORGIVES_BYTES = frozenset({"encoding_errors", "errors", "surrogateescape", "chardet", "charset_normalizer"})
_ANOTHER = re.compile(
    r"(?i)(iso[-_]?)?8859[-_]\d+|latin[-_]?\d|cp\d{3,4}|windows[-_]?125\d|utf[-_]?(7|16|32)([-_]?[bl]e)?"
    r"|gb(k|2312|18030)|big5|euc[-_](jp|kr)|shift[-_]?jis|sjis|koi8[-_][ru]|mac[-_]?roman"
)
MENDS_IMAGES = frozenset({"LOAD_TRUNCATED_IMAGES"})
LIFTS_LIMITS = frozenset({"MAX_IMAGE_PIXELS"})
SETS_DEVICE = frozenset({"set_default_device"})
TRUSTS_CHECKPOINTS = frozenset({"add_safe_globals", "safe_globals"})
_LABELS = {"y", "ys", "label", "labels", "target", "targets", "lab", "cls", "classes"}
# fmt: on


def names_in(sources: Iterable[Source]) -> frozenset[str]:
    """Return every name, attribute and keyword in the files."""
    return frozenset(name for node in _nodes(sources) for name in names_of(node))


def says(sources: Iterable[Source], text: str) -> bool:
    """Tell whether a text stands in the files by itself."""
    return any(text in _text_of(node) for node in _nodes(sources))


def shifts_labels(sources: Iterable[Source], column: str) -> bool:
    """Tell whether a number is taken from what looks like labels, as from those that begin at 1."""
    for node in _nodes(sources):
        match node:
            case (
                ast.BinOp(left=changed, op=ast.Sub() | ast.Mod())
                | ast.AugAssign(target=changed, op=ast.Sub() | ast.Mod())
            ):
                words = {word for each in ast.walk(changed) for word in (*names_of(each), *_text_of(each))}
                if words & (_LABELS | {column}):
                    return True
    return False


def copes_with_bytes(sources: Iterable[Source]) -> bool:
    """Tell whether the program reads text in another encoding than UTF-8, or goes on where bytes are of none."""
    sources = list(sources)
    return bool(FORGIVES_BYTES & names_in(sources)) or any(
        _names_another(node) or not all(map(_is_utf8, _encodings_of(node))) for node in _nodes(sources)
    )


def _names_another(node: ast.AST) -> bool:
    """Tell whether it is the name of another encoding, wherever it is given: `codecs.open(path, "r", "cp1252")`."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(_ANOTHER.fullmatch(node.value))


def _encodings_of(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what an encoding is given as: by its keyword, or to `decode`."""
    match node:
        case ast.keyword(arg="encoding", value=value) | ast.Call(func=ast.Attribute(attr="decode"), args=[value, *_]):
            yield value


def _is_utf8(node: ast.expr) -> bool:
    """Tell whether it is UTF-8 by its own name, or what the place has."""
    match node:
        case ast.Constant(value=None):
            return True
        case ast.Constant(value=str(name)):
            return name.lower().replace("_", "-") in ("utf8", "utf-8", "utf-8-sig")
    return False


def checkpoint_loads(sources: Iterable[Source]) -> list[bool | None]:
    """Return `weights_only` of each `torch.load`: None where it is not given or not a plain True or False."""
    return [_weights_only(call) for call in _torch_loads(sources)]


def leaves_devices(sources: Iterable[Source]) -> bool:
    """Tell whether the files call `torch.load`, and never say to which device."""
    calls = _torch_loads(sources)
    return bool(calls) and not any(
        len(call.args) > 1 or any(each.arg in (None, "map_location") for each in call.keywords) for call in calls
    )


def _torch_loads(sources: Iterable[Source]) -> list[ast.Call]:
    sources = list(sources)
    aliases = {"torch.load"}
    for node in _nodes(sources):
        match node:
            case ast.Import(names=names):
                aliases |= {f"{each.asname}.load" for each in names if each.name == "torch" and each.asname}
            case ast.ImportFrom(module="torch", names=names):
                aliases |= {each.asname or each.name for each in names if each.name == "load"}
    return [node for node in _nodes(sources) if isinstance(node, ast.Call) and dotted(node.func) in aliases]


def _weights_only(call: ast.Call) -> bool | None:
    for keyword in call.keywords:
        if keyword.arg == "weights_only" and isinstance(keyword.value, ast.Constant):
            return bool(keyword.value.value)
        if keyword.arg is None or keyword.arg == "weights_only":
            return False  # told where this reader cannot see: the program is taken to know
    return None


def _nodes(sources: Iterable[Source]) -> Iterator[ast.AST]:
    for source in sources:
        yield from ast.walk(source.tree)


def names_of(node: ast.AST) -> Iterator[str]:
    """Yield the names, attributes and keywords of one node."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
            yield name
        case ast.keyword(arg=str(name)):
            yield name


def _text_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
