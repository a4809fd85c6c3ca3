import sys
import textwrap

import pytest

from preflight.system.code import find_scripts, is_installed, is_loaded_with_parent, read_program


@pytest.fixture
def project(tmp_path):
    def build(**files):
        for name, text in files.items():
            path = tmp_path / (name.replace("__slash__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return tmp_path

    return build


def imports(root, script="train.py"):
    return {each.name: each for each in read_program([root / script], root).imports}


def test_imports_come_in_the_order_of_the_program(project):
    root = project(
        train="""
        from __future__ import annotations
        import os, yaml
        import helper
        import torch.nn as nn
        def late():
            import onnx
        import numpy as np
        """,
        helper="""
        import json
        from PIL import Image
        def inner():
            import cv2
        """,
    )
    found = imports(root)
    assert list(found) == ["yaml", "PIL", "torch.nn", "numpy", "cv2", "onnx"]
    assert [name for name, each in found.items() if each.deferred] == list(found)[4:]
    assert (found["PIL"].file.name, found["PIL"].line) == ("helper.py", 3)


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import x\nexcept ImportError:\n    x = None\n",
        "try:\n    import x\nexcept (ValueError, ModuleNotFoundError):\n    pass\n",
        "try:\n    import x\nexcept Exception as problem:\n    print(problem)\n",
        "try:\n    import x\nexcept:\n    pass\n",
        "try:\n    import json\nexcept ImportError:\n    import x\n",
        "try:\n    import json\nexcept ImportError:\n    pass\nelse:\n    import x\n",
        "try:\n    import helper\nexcept ImportError:\n    pass\n",
    ],
)
def test_what_the_program_goes_on_without_is_optional(project, text):
    root = project(train=text, helper="import x")
    assert imports(root)["x"].optional


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import x\nexcept ImportError:\n    raise SystemExit('install x')\n",
        "import sys\ntry:\n    import x\nexcept ImportError:\n    sys.exit(1)\n",
        "try:\n    import x\nexcept KeyError:\n    pass\n",
        "try:\n    import x\nfinally:\n    pass\n",
        "try:\n    import x\nexcept ImportError:\n    pass\nimport x\n",
        "import x\ntry:\n    import x\nexcept ImportError:\n    pass\n",
    ],
)
def test_what_it_cannot_do_without_is_not(project, text):
    assert not imports(project(train=text))["x"].optional


def test_names_for_the_type_checker_are_left_out(project):
    text = """
    import typing
    from typing import TYPE_CHECKING
    if TYPE_CHECKING:
        import a
    else:
        import b
    if typing.TYPE_CHECKING:
        import c
    """
    assert list(imports(project(train=text))) == ["b"]


def test_the_main_block_of_the_script_counts_and_that_of_a_module_does_not(project):
    root = project(
        train="import helper\nif __name__ == '__main__':\n    import a\n",
        helper="if __name__ == '__main__':\n    import b\n",
    )
    found = imports(root)
    assert list(found) == ["a"]
    assert not found["a"].deferred


def test_imports_under_a_condition_and_by_name_are_found(project):
    text = """
    import importlib
    if input():
        import a
    module = importlib.import_module("b.c")
    for each in range(3):
        with open("x"):
            import d
    class E:
        import f
    match 1:
        case 1:
            import g
    """
    found = imports(project(train=text))
    assert list(found) == ["a", "b.c", "d", "f", "g"]
    assert [name for name, each in found.items() if each.deferred] == ["a"]


def test_packages_of_the_project_are_followed(project):
    root = project(
        train="from pkg.models import net\nimport pkg.data\n",
        pkg__slash____init__="import a",
        pkg__slash__models__slash____init__="from . import loss\nfrom .. import data\n",
        pkg__slash__models__slash__net="from .loss import f\nimport b\n",
        pkg__slash__models__slash__loss="import c",
        pkg__slash__data="from .models.net import x\nimport d\n",
    )
    assert list(imports(root)) == ["a", "c", "b", "d"]


def test_a_src_folder_and_a_folder_without_init_are_the_project(project):
    root = project(
        train="import mine.part\nimport tools.thing\n",
        src__slash__mine__slash____init__="",
        src__slash__mine__slash__part="import a",
        tools__slash__thing="import b",
    )
    assert list(imports(root)) == ["a", "b"]


def test_a_folder_that_holds_packages_alone_is_the_project_where_the_whole_name_leads_to_a_file(project):
    root = project(
        train="from lab.vision.models import Net\n", src__slash__lab__slash__vision__slash__models="import a"
    )
    assert list(imports(root)) == ["a"]


def test_a_folder_that_only_shares_the_name_of_an_installed_package_is_not(project):
    root = project(train="import yaml\n", yaml__slash__prepare="import a")
    assert list(imports(root)) == ["yaml"]


def test_a_project_file_in_the_place_of_a_standard_module_is_listed_and_followed(project):
    root = project(train="import random\nimport os\n", random="import a", os="import b")
    assert list(imports(root)) == ["a", "random"]


def test_the_scripts_folder_is_looked_at_first(project, tmp_path):
    root = project(scripts__slash__go="import near\nimport far\n", scripts__slash__near="import a", far="import b")
    assert list(imports(root, "scripts/go.py")) == ["a", "b"]


def test_broken_files_are_passed_over_and_a_broken_script_is_not(project):
    root = project(train="import helper\nimport a\n", helper="def (", bad="def (")
    assert list(imports(root)) == ["a"]
    with pytest.raises(SyntaxError):
        read_program([root / "bad.py"], root)


def test_a_file_too_deep_for_python_is_no_python(project):
    root = project(train="x = " + "-" * 100_000 + "1")
    with pytest.raises((ValueError, SyntaxError)):
        read_program([root / "train.py"], root)


def test_modules_that_import_each_other_end(project):
    root = project(train="import one", one="import two\nimport a\n", two="import one\nimport b\n")
    assert list(imports(root)) == ["b", "a"]


def test_reading_runs_nothing(project, tmp_path):
    mark = tmp_path / "ran"
    root = project(train=f"import helper\nopen({str(mark)!r}, 'w')\n", helper=f"open({str(mark)!r}, 'w')")
    read_program([root / "train.py"], root)
    assert not mark.exists()
    assert "helper" not in sys.modules


def test_scripts_are_found(project):
    assert find_scripts(project(other="1")) == []
    root = project(b="if __name__ == '__main__':\n    pass\n", a="if __name__ == '__main__':\n    pass\n", bad="def (")
    assert [path.name for path in find_scripts(root)] == ["a.py", "b.py"]
    project(main="import a")
    assert [path.name for path in find_scripts(root)] == ["main.py"]


def test_what_a_package_imports_itself_is_loaded_with_it(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "pack"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("from . import deep\nfrom .near import x\n")
    (package / "deep" / "__init__.py").write_text("import pack.deep.low\n")
    monkeypatch.syspath_prepend(str(package.parent))
    root = tmp_path / "project"
    loaded = {
        name: is_loaded_with_parent(name, root) for name in ("pack.near", "pack.deep.low", "pack.far", "pack.deep.x")
    }
    assert loaded == {"pack.near": True, "pack.deep.low": True, "pack.far": False, "pack.deep.x": False}
    assert is_installed("pack", root)
    assert not is_installed("packless", root)
    assert "pack" not in sys.modules
