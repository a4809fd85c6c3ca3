"""Whatever a job's words, its folder, its name or its environment hold, it sees them exactly as they were typed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

WAYS = ["local", "tmux", "ssh", "slurm"]
PIECES = [
    *(
        "a b",
        "'",
        '"',
        "\\",
        "$(touch hacked)",
        "`touch hacked`",
        "$HOME",
        "${HOME}",
        "*",
        "?",
        "~",
        "!",
        "!!",
        "#",
        ";",
    ),
    *(
        "&",
        "|",
        ">",
        "<",
        "(",
        "{a,b}",
        "\n",
        "\t",
        "\r",
        "\x1b[31m",
        "\x7f",
        "%j",
        "%%",
        "#{pid}",
        "=",
        "-",
        "--",
        "-x",
    ),
    *("ü", "→", "\u202e", "\U0001f600", "é"),
]
WORDS = st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map("".join), min_size=12, max_size=24)
NAMES = st.lists(st.sampled_from([piece for piece in PIECES if piece.isprintable() and piece != "→/"]), max_size=4)
FOLDER = 'it\'s a $(touch hacked) "project" #{pid} %j \\ ü -x'
DOUBTFUL = os.fsdecode(b"\xff\xfe not UTF-8")


@pytest.mark.parametrize("way", WAYS)
def test_the_job_sees_the_very_words(
    way: str, tmp_path: Path, experiment: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    start = request.getfixturevalue("host") if way == "ssh" else way
    if way in ("tmux", "slurm"):
        request.getfixturevalue(way)
    hostile = type(experiment)(tmp_path / FOLDER, tmp_path / "outside")
    hostile.write(ssh={"folder": str(tmp_path / "$(touch hacked) 'there'")})
    hostile.git("checkout", "--quiet", "-b", "feature/$(id)'`x`")
    examples = iter(range(100))

    @settings(
        max_examples=2,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        phases=[Phase.generate],
    )
    @given(WORDS, NAMES, st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
    def holds(words: list[str], name: list[str], variable: str) -> None:
        (hostile.outside / "seen.json").unlink(missing_ok=True)
        monkeypatch.setenv("GIVEN", variable)
        words = [*words, "", "--", "--config", DOUBTFUL]
        run_name = f"r{next(examples)} {''.join(name)}"
        hostile.launch(start, *words, name=run_name)
        seen = hostile.seen()
        assert seen["argv"] == words
        if way != "ssh":
            assert seen["variable"] == variable
        record = hostile.end(run_name)
        assert (str(record.state), record.exit_code) == ("finished", 0), hostile.done.stderr
        assert record.command[3:] == tuple(words)
        assert record.branch == "feature/$(id)'`x`"

    holds()
    assert list(tmp_path.rglob("hacked")) == []
    assert not Path("hacked").exists()


def test_the_gate_hands_over_the_very_words(experiment: Any) -> None:
    words = [*PIECES, "", DOUBTFUL]
    code = "import json, os, sys; print(json.dumps(sys.argv[1:]))"
    gate = [sys.executable, "-m", "preflight", "gate", "--config", "foo.yaml", "--only", "node", "--"]
    done = subprocess.run([*gate, sys.executable, "-c", code, *words], cwd=experiment.folder, capture_output=True)
    assert json.loads(done.stdout) == words
