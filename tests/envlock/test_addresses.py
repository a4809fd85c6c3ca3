"""No URL keeps what lets somebody in."""

import pytest

from preflight.envlock.addresses import build_of, channel_of, variables, with_variables, without_credentials


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://host.example/a/b.whl", "https://host.example/a/b.whl"),
        ("https://me:secret@host.example/a.whl", "https://host.example/a.whl"),
        ("https://secret@host.example:8443/a.whl#sha256=00", "https://host.example:8443/a.whl"),
        ("https://host.example/a.whl?X-Amz-Signature=secret", "https://host.example/a.whl"),
        ("https://host.example/t/secret/channel/linux-64/a.conda", "https://host.example/channel/linux-64/a.conda"),
        ("git+https://me:secret@host.example/o/p.git", "git+https://host.example/o/p.git"),
        ("git+ssh://git@host.example/o/p.git", "git+ssh://git@host.example/o/p.git"),
        ("git+ssh://git:secret@host.example/o/p.git", "git+ssh://host.example/o/p.git"),
        ("ssh://git%3asecret@host.example/p", "ssh://host.example/p"),
        ("https://host.example/p.zip#subdirectory=src&token=secret", "https://host.example/p.zip#subdirectory=src"),
        ("file:///wheels/a.whl", "file:///wheels/a.whl"),
        ("me:secret@host.example/a", "host.example/a"),
        ("../folder", "../folder"),
    ],
)
def test_credentials(url: str, kept: str) -> None:
    assert without_credentials(url) == kept
    assert without_credentials(kept) == kept


@pytest.mark.parametrize(
    ("url", "kept", "names"),
    [
        ("conda-forge", "conda-forge", []),
        ("https://host.example/t/$TOKEN/c", "https://host.example/t/${TOKEN}/c", ["TOKEN"]),
        (
            "https://${USER}:$PASSWORD@host.example/c",
            "https://${USER}:${PASSWORD}@host.example/c",
            ["PASSWORD", "USER"],
        ),
        ("https://me:secret@host.example/c", "https://host.example/c", []),
        ("https://$ME:secret@host.example/t/secret/c", "https://host.example/c", []),
    ],
)
def test_variables_stay_and_what_they_would_hold_does_not(url: str, kept: str, names: list[str]) -> None:
    assert (with_variables(url), variables(with_variables(url))) == (kept, names)


@pytest.mark.parametrize(
    ("url", "channel"),
    [
        ("https://conda.example.org/conda-forge/noarch/six-1.17.0-py_0.conda", "conda-forge"),
        ("https://conda.example.org/team/noarch/six-1.17.0-py_0.conda", "https://conda.example.org/team"),
        ("https://me:secret@host.example/t/secret/a/b/linux-64/six-1-0.conda", "https://host.example/a/b"),
        ("file:///data/channel/noarch/six-1.17.0-py_0.conda", "file:///data/channel"),
        ("", ""),
    ],
)
def test_channels(url: str, channel: str) -> None:
    assert channel_of(url) == channel


def test_the_build_stands_in_the_file_name() -> None:
    assert build_of("https://host.example/c/noarch/ruamel.yaml-clib-0.2-py312h66e93f0_1.tar.bz2") == "py312h66e93f0_1"
    assert build_of("https://host.example/idna.whl") == ""
