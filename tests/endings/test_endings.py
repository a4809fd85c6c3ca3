"""Every way in which a check can end is one clear answer, and none of them harms another check."""

from collections.abc import Callable
from typing import Any

import pytest

from preflight.model import Report, Result, Status

CHECKS = '''
import ctypes, subprocess, threading

def check_passes():
    """All is well."""

def check_yields_findings():
    yield info("one")
    yield warning("two")
    yield error("three", id="mine.three", found="3", wanted="2", fix="Count again.")

def check_yields_only_a_warning():
    yield warning("mind the gap")

def check_returns_a_finding():
    return error("returned")

def check_asserts():
    shards = []
    assert shards, "the training set has no shards"

def check_raises():
    raise ValueError("of its own")

def check_fails_by_name():
    pytest.fail("said so")

def check_skips():
    pytest.skip("no need today")

@pytest.mark.skip(reason="marked")
def check_is_marked_skip(): ...

def check_xfails():
    pytest.xfail("known bug")

@pytest.mark.xfail(reason="should fail", strict=True)
def check_xpasses_strictly(): ...

def check_os_exits_0():
    os._exit(0)

def check_os_exits_3():
    os._exit(3)

def check_sys_exits_0():
    sys.exit(0)

def check_interrupts_itself():
    raise KeyboardInterrupt

def check_exits_pytest():
    pytest.exit("enough")

def check_segfaults():
    ctypes.string_at(0)

def check_aborts():
    os.abort()

def check_kills_itself():
    os.kill(os.getpid(), signal.SIGKILL)

@check(timeout=1)
def check_stops_itself():
    os.kill(os.getpid(), signal.SIGSTOP)

@check(timeout=1)
def check_loops():
    while True: pass

@check(timeout=1)
def check_loops_in_c():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    (9**9**7) ** 3  # one operation in C that holds the interpreter for hours

@check(timeout=1)
def check_sleeps():
    time.sleep(600)

def check_leaves_a_grandchild_with_the_pipe():
    subprocess.Popen(["sleep", "600"])

def check_leaves_a_grandchild_that_left_its_group():
    subprocess.Popen(["sleep", "600"], start_new_session=True)

def check_floods():
    for _ in range(200):
        os.write(1, b"x" * 1_000_000)
    print("the end")
    assert False, "flooded"

def check_yields_two_megabytes():
    for number in range(2_000):
        yield error("y" * 1_000, evidence={"number": number})

def check_yields_rubbish():
    yield error("first")
    yield 42

def check_returns_rubbish():
    return "hello"

async def check_is_async(): ...

def check_closes_all_files():
    os.closerange(0, 4096)

def check_changes_its_world():
    os.chdir("/"); os.environ["CHANGED"] = "yes"; sys.path.clear(); sys.modules.pop("json", None)
    import builtins; builtins.open = None

def check_sees_the_world_as_it_was(root):
    assert os.getcwd() == str(root) and "CHANGED" not in os.environ and callable(open)

def check_takes_too_much_memory():
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    bytearray(8 << 30)

def check_bombs_with_forks():
    for _ in range(200):
        if os.fork() == 0:
            time.sleep(600); os._exit(0)

def check_has_no_such_fixture(nonsense): ...

@pytest.fixture
def broken(): raise RuntimeError("in a fixture")

def check_has_a_broken_fixture(broken): ...

def check_leaves_a_thread():
    threading.Thread(target=time.sleep, args=(600,)).start()

def check_yields_odd_text():
    yield error("\\udcff \\x1b[31m \\0 ☃", evidence={"odd": object(), "nan": float("nan")})

def check_recurses():
    def deeper(): deeper()
    deeper()
'''

WAYS: dict[str, tuple[Status, str]] = {
    "passes": (Status.PASSED, ""),
    "yields-findings": (Status.FAILED, "three"),
    "yields-only-a-warning": (Status.PASSED, "mind the gap"),
    "returns-a-finding": (Status.FAILED, "returned"),
    "asserts": (Status.FAILED, "the training set has no shards"),
    "raises": (Status.BROKEN, "it raised ValueError: of its own"),
    "fails-by-name": (Status.FAILED, "said so"),
    "skips": (Status.SKIPPED, "no need today"),
    "is-marked-skip": (Status.SKIPPED, "marked"),
    "xfails": (Status.SKIPPED, "fails as expected: known bug"),
    "xpasses-strictly": (Status.FAILED, "[XPASS(strict)] should fail"),
    "os-exits-0": (Status.BROKEN, "left with exit code 0"),
    "os-exits-3": (Status.BROKEN, "left with exit code 3"),
    "sys-exits-0": (Status.BROKEN, "it called sys.exit(0)"),
    "interrupts-itself": (Status.BROKEN, "KeyboardInterrupt"),
    "exits-pytest": (Status.BROKEN, "enough"),
    "segfaults": (Status.BROKEN, "SIGSEGV (segmentation fault), in check_segfaults"),
    "aborts": (Status.BROKEN, "SIGABRT (abort), in check_aborts"),
    "kills-itself": (Status.BROKEN, "SIGKILL"),
    "stops-itself": (Status.BROKEN, "no answer within 1 s, it was stopped by a signal"),
    "loops": (Status.BROKEN, "no answer within 1 s, it was computing, in check_loops"),
    "loops-in-c": (Status.BROKEN, "no answer within 1 s, it was computing, in check_loops_in_c"),
    "sleeps": (Status.BROKEN, "no answer within 1 s, it was sleeping or waiting, in check_sleeps"),
    "leaves-a-grandchild-with-the-pipe": (Status.PASSED, ""),
    "leaves-a-grandchild-that-left-its-group": (Status.PASSED, ""),
    "floods": (Status.FAILED, "flooded"),
    "yields-two-megabytes": (Status.FAILED, "y" * 1_000),
    "yields-rubbish": (Status.BROKEN, "yielded 42 (int), which is no finding"),
    "returns-rubbish": (Status.BROKEN, "returned 'hello' (str), which is no finding"),
    "is-async": (Status.BROKEN, "async"),
    "closes-all-files": (Status.BROKEN, "its answer could not be delivered"),
    "changes-its-world": (Status.PASSED, ""),
    "sees-the-world-as-it-was": (Status.PASSED, ""),
    "takes-too-much-memory": (Status.BROKEN, "it raised MemoryError"),
    "bombs-with-forks": (Status.PASSED, ""),
    "has-no-such-fixture": (Status.BROKEN, "fixture 'nonsense' not found"),
    "has-a-broken-fixture": (Status.BROKEN, "RuntimeError while its fixtures were made: in a fixture"),
    "leaves-a-thread": (Status.PASSED, ""),
    "yields-odd-text": (Status.FAILED, "☃"),
    "recurses": (Status.BROKEN, "it raised RecursionError"),
}

LONGEST_DEADLINE = 5.0


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Report:
    """One run over all ways at once: each must end rightly beside all the others."""
    project_type = request.getfixturevalue("project_type")
    project = project_type(tmp_path_factory.mktemp("ways"))
    project.checks("ways", CHECKS)
    report: Report = project.run(f"deadline: {LONGEST_DEADLINE:g}s", only=("ways",))
    return report


def said_of(result: Result) -> str:
    """Return all that a result says."""
    return "\n".join([result.reason, *(finding.message for finding in result.findings)])


@pytest.mark.parametrize("way", WAYS)
def test_ending_is_one_clear_answer(report: Report, way: str) -> None:
    """The status is right, and the reason names what happened."""
    result = next(result for result in report.results if result.check == f"ways.{way}")
    status, words = WAYS[way]
    assert result.status is status, said_of(result)
    assert words in said_of(result)


def test_table_is_the_file(report: Report) -> None:
    """No way is in the file and not in the table, or the other way round."""
    assert {result.check for result in report.results} == {f"ways.{way}" for way in WAYS}


def test_whole_run_ends_soon_after_the_longest_deadline(report: Report) -> None:
    """Nothing waits for what was left behind."""
    assert report.seconds < LONGEST_DEADLINE + 10


def test_findings_arrive_whole(report: Report) -> None:
    """Two megabytes of findings come through the wire as they were."""
    results = {result.check: result for result in report.results}
    many = results["ways.yields-two-megabytes"].findings
    assert [finding.evidence["number"] for finding in many] == list(range(2_000))
    three = results["ways.yields-findings"].findings[2]
    assert (three.id, three.found, three.wanted, three.fix) == ("mine.three", "3", "2", "Count again.")
    assert results["ways.yields-rubbish"].findings[0].message == "first"


def test_flood_is_kept_at_both_ends(report: Report) -> None:
    """Of two hundred megabytes the beginning and the end are kept."""
    output = next(result.output for result in report.results if result.check == "ways.floods")
    assert len(output) < 100_000
    assert "bytes left out" in output
    assert output.rstrip().endswith("the end")


def test_assertion_points_at_its_line(report: Report) -> None:
    """An assertion's finding carries the file and line to look at, and what was compared."""
    finding = next(result for result in report.results if result.check == "ways.asserts").findings[0]
    assert finding.file.endswith("check_ways.py")
    assert finding.line == 3 + CHECKS.splitlines().index('    assert shards, "the training set has no shards"') + 1


def test_nothing_is_left_running(project: Any, nothing_left: Callable[[], list[str]]) -> None:
    """Grandchildren die with the run, also those that left their group."""
    project.checks("ways", CHECKS)
    ways = (
        "leaves-a-grandchild-with-the-pipe",
        "leaves-a-grandchild-that-left-its-group",
        "bombs-with-forks",
        "sleeps",
    )
    report = project.run("deadline: 5s", only=tuple(f"ways.{way}" for way in ways))
    assert len(report.results) == len(ways)
    assert nothing_left() == []
