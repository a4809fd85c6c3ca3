"""What a commit says about the packages."""

from preflight.envlock.message import WIDEST, message, subject
from preflight.envlock.model import Change, Package


def package(name: str, version: str, manager: str = "conda", **facts: str) -> Package:
    return Package(name=name, version=version, manager=manager, **facts)


def change(before: Package | None, after: Package | None, kind: str = "version") -> Change:
    it = after or before
    assert it
    return Change(name=it.name, manager=it.manager, before=before, after=after, kind=kind)


BUMPED = change(package("numpy", "1.26.4"), package("numpy", "2.0.1"))
NEW = change(None, package("wandb", "0.27", "pip"), "extra")
GONE = change(package("idna", "3.20", "pip"), None, "missing")


def test_what_was_bumped_comes_first_then_the_new_then_the_gone() -> None:
    assert message([GONE, NEW, BUMPED], ["conda-lock.yml"]) == (
        "env: numpy 1.26.4 -> 2.0.1, +wandb 0.27 (pip), -idna\n"
        "\n"
        "conda numpy 1.26.4 -> 2.0.1\n"
        "pip   wandb 0.27 is new\n"
        "pip   idna 3.20 is gone\n"
    )


def test_every_kind_of_step() -> None:
    old = package("tiny", "1.0", build="h1_0")
    steps = {
        "tiny 1.0 h1_0 -> h1_1": package("tiny", "1.0", build="h1_1"),
        "tiny 1.0 -> 1.1 (pip)": package("tiny", "1.1", "pip"),
        "tiny 1.0 h1_0 -> ? (pip)": package("tiny", "1.0", "pip"),
        "tiny 1.0 from git+https://example.org/t@abc": package(
            "tiny", "1.0", build="h1_0", source="git+https://me:secret@example.org/t@abc"
        ),
        "tiny 1.0 from another file": package("tiny", "1.0", build="h1_0", sha256="0"),
    }
    assert [subject([change(old, new)]) for new in steps.values()] == [f"env: {step}" for step in steps]
    assert subject([change(old, old, "edited")]) == "env: tiny 1.0 edited in place"


def test_a_long_subject_is_folded() -> None:
    many = [change(package(f"package-{n}", "1.0"), package(f"package-{n}", "1.1")) for n in range(9)]
    assert subject(many) == "env: package-0 1.0 -> 1.1, package-1 1.0 -> 1.1 and 7 more"
    assert message(many, []).count("\n") == 11


def test_a_first_lock_only_counts() -> None:
    assert subject([change(None, package(f"p{n}", "1"), "extra") for n in range(322)]) == "env: +322 packages"


def test_names_that_are_too_long_are_counted() -> None:
    long = [change(None, package("x" * 80, "1"), "extra"), BUMPED, change(None, package("y" * 80, "1"), "extra")]
    assert subject(long) == "env: numpy 1.26.4 -> 2.0.1 and 2 more"
    assert subject(long[::2]) == "env: 2 packages"
    assert len(subject(long)) <= WIDEST


def test_without_a_change_of_packages_the_files_are_named() -> None:
    assert message([], ["environment.yml", "conda-lock.yml"]) == "env: environment.yml, conda-lock.yml\n"
