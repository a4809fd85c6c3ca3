"""What conda-lock itself says of locks: run as a program of its own, with the folders that hold them as arguments.

Prints one line of JSON for each folder: what its parser, its schema, its hash and its renderer say.
"""

import contextlib
import io
import json
import pathlib
import sys
import tempfile

import conda_lock.conda_lock as program
import conda_lock.lockfile.v1 as schema
import jsonschema
import yaml
from conda_lock.content_hash import compute_content_hashes
from conda_lock.lockfile import parse_conda_lock_file
from conda_lock.src_parser import make_lock_spec
from conda_lock.virtual_package import default_virtual_package_repodata

PLATFORMS = ["linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64"]


def hashes(file: pathlib.Path, platforms: list[str], mapping: str) -> dict[str, str]:
    specification = make_lock_spec(src_files=[file], platform_overrides=platforms, mapping_url=mapping)
    return compute_content_hashes(specification, default_virtual_package_repodata())


def described(folder: pathlib.Path, mapping: str) -> dict[str, object]:
    said: dict[str, object] = {"hashes": hashes(folder / "environment.yml", PLATFORMS, mapping)}
    file = folder / "conda-lock.yml"
    if not file.is_file():
        return said
    document = yaml.safe_load(file.read_text())
    rules = json.loads((pathlib.Path(schema.__file__).parent / "conda-lock-v1.schema.json").read_text())
    jsonschema.validate(document, rules)
    content = parse_conda_lock_file(file)
    said["packages"] = [[each.manager, each.name, each.platform] for each in content.package]
    with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()) as told:
        program.make_lock_files(
            conda="no-conda",  # what is locked already is not solved
            src_files=[folder / "environment.yml"],
            kinds=["lock", "explicit"],
            lockfile_path=file,
            check_input_hash=True,
            filename_template="rendered-{platform}-{input-hash}",
            mapping_url=mapping,
        )
    said["told"] = told.getvalue()
    said["rendered"] = {
        platform: next(folder.glob(f"rendered-{platform}-*")).read_text().splitlines()
        for platform in content.metadata.platforms
    }
    return said


with tempfile.NamedTemporaryFile("w", suffix=".json") as empty:
    empty.write("{}")
    empty.flush()
    for each in sys.argv[1:]:
        print(json.dumps(described(pathlib.Path(each), f"file://{empty.name}")))
