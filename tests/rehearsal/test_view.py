"""The view: what a program writes is told, and nothing of it is left, with all rights and with few."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from preflight.rehearsal.command import Command
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, rehearse
from preflight.rehearsal.view import ViewRefused, coverings, foreign, open_view
from preflight.system.disk import Mount, visible

NOBODY = 65534


def as_nobody() -> str:
    """Return shell text after which a process is a user without rights, whose view needs a user namespace."""
    prefix = Path(sys.base_prefix)
    closed = [each for each in reversed(prefix.parents) if not each.stat().st_mode & 1]
    opened = "".join(
        f"""
kept=$(mktemp --directory); mount --rbind {each} $kept; mount -t tmpfs -o mode=755 none {each}
mkdir -p {prefix}; mount --rbind $kept/{prefix.relative_to(each)} {prefix}; umount -l $kept; rmdir $kept
"""
        for each in closed[:1]
    )
    return f'{opened}set -- setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups "$@"\n'


# Where part of /proc is masked, as in a container, no namespace of process ids can be used.
MASKED = "mount --bind /dev/null /proc/version\n"
RIGHTS = {"all": "", "few": as_nobody(), "fewer": MASKED + as_nobody()}

WRITES = """
import os, pathlib, sys
home = pathlib.Path(os.environ["HOME"])
(home / ".cache").mkdir(exist_ok=True)
(home / ".cache" / "model").write_bytes(bytes(1000))
with open("log.csv", "a") as log:
    log.write("more")
os.remove("old.pt")
os.makedirs("runs/a")
open("runs/a/part", "w").write("x" * 10)
os.rename("runs/a/part", "runs/a/last.pt")
open("/dev/shm/mine", "w").write("x")
open("/dev/null", "w").write("x")
assert os.getuid() == int(sys.argv[1]), os.getuid()
assert os.path.samefile("/proc/self", f"/proc/{os.getpid()}")
print(sorted(os.listdir(".")), pathlib.Path("log.csv").read_text())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody can reach, with a project of two files, a home and scratch: everybody's too."""
    folder = Path(tempfile.mkdtemp(prefix="view-", dir="/tmp"))
    folder.chmod(0o755)
    for each in ("project", "home", "scratch"):
        (folder / each).mkdir()
    (folder / "project" / "log.csv").write_text("header")
    (folder / "project" / "old.pt").write_bytes(bytes(100))
    yield folder
    shutil.rmtree(folder)


def given(folder: Path, rights: str) -> str:
    """Return the shell text that leaves a process these rights, once the folder is its user's."""
    if rights != "all":
        for each in [*folder.rglob("*")]:
            os.chown(each, NOBODY, NOBODY)
    return RIGHTS[rights]


def in_view(folder: str, *texts: str, **more: Any) -> list[dict[str, Any]]:
    """Run programs one after another in one view of the project in `folder`, and return what each did."""
    os.environ["HOME"] = str(Path(folder) / "home")
    project, scratch = Path(folder) / "project", Path(folder) / "scratch"
    view = replace(open_view(scratch, places=[project]), **more)
    done = []
    try:
        for number, text in enumerate(texts):
            command = Command(words=(sys.executable, "-c", text, str(os.getuid())))
            orders = Orders(root=project, answers=scratch / f"answers-{number}")
            done.append(rehearse(command, orders, seconds=20, view=view).to_json())
    except ViewRefused as problem:
        return [{"refused": str(problem)}]
    finally:
        view.remove()
    assert not list(scratch.glob("preflight-view-*"))
    return done


def state_of(folder: Path) -> str:
    """Return a digest of all below a folder: names, kinds, modes, times and contents."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        digest.update(f"{path} {facts.st_mode} {facts.st_mtime_ns} {facts.st_size}".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


@pytest.mark.parametrize("rights", RIGHTS)
def test_what_is_written_is_told_and_gone(rights: str, folder: Path, in_world: Callable[..., Any]) -> None:
    project = folder / "project"
    before = state_of(project), state_of(folder / "home")
    [facts] = in_world(given(folder, rights), in_view, str(folder), WRITES)
    done = Rehearsed.from_json(facts)
    assert done.code == 0, done.output
    assert done.output == "['log.csv', 'runs'] headermore\n"
    assert (state_of(project), state_of(folder / "home")) == before
    assert not Path("/dev/shm/mine").exists()
    assert sorted((each.path, each.bytes, each.new) for each in done.written) == [
        (str(folder / "home" / ".cache" / "model"), 1000, True),
        (str(project / "log.csv"), 10, False),
        (str(project / "runs" / "a" / "last.pt"), 10, True),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("rights", ["all", "few"])
def test_mounts_below_are_seen_and_covered(rights: str, folder: Path, in_world: Callable[..., Any]) -> None:
    project = folder / "project"
    (project / "data").mkdir()
    world = f"""
mount -t tmpfs none {project}/data
mkdir {project}/data/inner {project}/data/sealed
echo 17 > {project}/data/images
mount -t tmpfs none {project}/data/inner
echo 18 > {project}/data/inner/labels
mount -t tmpfs none {project}/data/sealed && mount -o remount,ro {project}/data/sealed
chown -R {NOBODY if rights == "few" else 0}:{NOBODY if rights == "few" else 0} {project}/data || true
"""
    program = """
print(open("data/images").read(), open("data/inner/labels").read())
open("data/images", "a").write("19"); open("data/inner/new", "w").write("x")
try: open("data/sealed/x", "w")
except OSError as problem: print(problem.strerror)
"""
    # The world itself sees whether its files are what they were.
    check = f'{given(folder, rights)}trap "grep -q 19 {project}/data/images && echo dirty >&2" EXIT\n'
    [facts] = in_world(world + check, in_view, str(folder), program)
    assert facts["output"].split("\n") == ["17", " 18", "", "Read-only file system", ""]
    assert {Path(each["path"]).name for each in facts["written"]} == {"images", "new"}


@pytest.mark.slow
def test_a_file_system_of_its_own_kind(folder: Path, in_world: Callable[..., Any], misbehaving: Any) -> None:
    """What is served by a process (FUSE) is read and written as any other; where it does not answer it is left out."""
    server, point = folder / "server", folder / "project" / "data"
    for each in (server, point):
        each.mkdir()
    (server / "images").write_text("17")
    program = "import os; print(open('data/images').read()); open('data/images', 'a').write('18')"
    [facts] = in_world(misbehaving(server, point), in_view, str(folder), program)
    assert (facts["output"], facts["sealed"]) == ("17\n", [])
    assert [(each["path"], each["bytes"], each["new"]) for each in facts["written"]] == [(f"{point}/images", 4, False)]
    assert (server / "images").read_text() == "17"
    hangs = misbehaving(server, point, "readdir:*:HANG", "opendir:*:HANG")
    [facts] = in_world(hangs, in_view, str(folder), "print(1)")
    assert (facts["output"], facts["sealed"]) == ("1\n", [(str(point), "it does not answer")])


@pytest.mark.slow
def test_runs_in_one_view_see_each_other(folder: Path, in_world: Callable[..., Any]) -> None:
    project = folder / "project"
    write = "import os; open('last.pt', 'w').write('state'); os.remove('old.pt')"
    read = "import os; print(open('last.pt').read(), os.path.exists('old.pt'))"
    for rights in RIGHTS:
        _, facts = in_world(given(folder, rights), in_view, str(folder), write, read)
        assert facts["output"] == "state False\n"
    assert sorted(each.name for each in project.iterdir()) == ["log.csv", "old.pt"]


@pytest.mark.slow
@pytest.mark.parametrize("rights", RIGHTS)
def test_what_slips_away_is_ended(rights: str, folder: Path, in_world: Callable[..., Any]) -> None:
    """Also where the kernel does not end it."""
    slips = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(0.1)
        while True: time.sleep(0.01)
    os._exit(0)
"""
    [facts] = in_world(given(folder, rights), in_view, str(folder), slips)
    assert len(facts["left"]) == 1
    assert facts["left"][0]["argv"][0] == sys.executable
    words = [" ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
    assert not [each for each in words if "os.setsid" in each]


def test_a_text_in_place_of_a_file(folder: Path, in_world: Callable[..., Any]) -> None:
    project = folder / "project"
    files = {str(project / "log.csv"): "other"}
    [facts] = in_world("", in_view, str(folder), "print(open('log.csv').read())", files=files)
    assert facts["output"] == "other\n"
    assert (project / "log.csv").read_text() == "header"


def test_ids_of_processes_differ_from_run_to_run(folder: Path, in_world: Callable[..., Any]) -> None:
    runs = in_world("", in_view, str(folder), *["import os; print(os.getpid())"] * 3)
    assert len({facts["output"] for facts in runs}) == 3


@pytest.mark.parametrize("rights", ["all", "few"])
def test_what_may_not_be_written_may_not_be_written_in_it(
    rights: str, folder: Path, in_world: Callable[..., Any]
) -> None:
    project = folder / "project"
    world = f"mkdir {project}/theirs && chown 1:1 {project}/theirs && chmod 755 {project}/theirs\n"
    program = "import os; print(os.access('theirs', os.W_OK), os.access('/usr', os.W_OK), os.access('.', os.W_OK))"
    [facts] = in_world(world + given(folder, rights), in_view, str(folder), program)
    assert facts["output"] == ("True True True\n" if rights == "all" else "False False True\n")


def test_scratch_that_fills_up_is_not_the_programs_fault(folder: Path, in_world: Callable[..., Any]) -> None:
    world = f"mount -t tmpfs -o size=60m none {folder}/scratch\nset -- env TMPDIR={folder}/scratch "
    world += '"$@"\nmount -t tmpfs -o ro none /var/tmp; mount -t tmpfs -o ro none /dev/shm'
    program = "for i in range(80): open(f'shard-{i}', 'wb').write(bytes(2**20))"
    [facts] = in_world(world, in_view, str(folder), program)
    assert facts["stopped"] == "full"


def test_a_kernel_that_refuses(folder: Path, in_world: Callable[..., Any]) -> None:
    world = 'echo 0 > /proc/sys/user/max_user_namespaces\nset -- setpriv --bounding-set=-all --inh-caps=-all "$@"'
    refusing = ["unshare", "--user", "--map-root-user", "bash", "-euc", f'{world}\nexec "$@"', "bash"]
    words = " ".join(f"'{word}'" for word in refusing)
    [facts] = in_world(f'set -- {words} "$@"', in_view, str(folder), "print(1)")
    assert facts["refused"].startswith("new namespaces: ")


def test_mounts_that_others_hide() -> None:
    def mount(number: int, parent: int, point: str) -> Mount:
        return Mount(number=number, parent=parent, point=point, type="ext4", options=frozenset({"rw"}))

    root, old, new = mount(1, 0, "/"), mount(2, 1, "/data"), mount(3, 2, "/data")
    below_old, below_new, over = mount(4, 2, "/data/a"), mount(5, 3, "/data/b"), mount(6, 1, "/home")
    inside = mount(7, 1, "/home/me")
    seen = visible([new, over, inside, below_new, below_old, old, root])
    assert [each.number for each in seen] == [1, 3, 5, 6]
    assert [(each.point, each.how) for each in coverings([new, over, inside, below_new, below_old, old, root])] == [
        ("/", "cover"),
        ("/data", "cover"),
        ("/data/b", "cover"),
        ("/home", "cover"),
    ]


def test_folders_of_others_on_the_way(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for folder in (mine / "inner", theirs / "inner"):
        folder.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(theirs, 1, 1)
        assert str(theirs) in foreign([theirs / "inner"])
    assert not [each for each in foreign([mine]) if each.startswith(str(folder))]


@pytest.mark.skipif(os.geteuid() != 0, reason="the start is timed with all rights")
def test_it_starts_at_once(folder: Path) -> None:
    """Beside a start of Python, which the program needs anyway, a view costs less than another one."""
    project = folder / "project"
    view = open_view(folder / "scratch", places=[project])

    def run(number: int, **more: Any) -> float:
        orders = Orders(root=project, answers=folder / f"answers-{number}")
        return rehearse(Command(words=("true",)), orders, seconds=20, **more).seconds

    plain, covered = (min(run(i + base, **more) for i in range(5)) for base, more in ((0, {}), (10, {"view": view})))
    view.remove()
    assert covered < plain + 0.1 + plain, (plain, covered)


def test_nothing_is_left_where_the_layers_lie() -> None:
    assert not [each for each in Path(tempfile.gettempdir()).glob("preflight-view-*") if os.access(each, os.W_OK)]
    assert subprocess.run(["grep", "-c", "preflight", "/proc/self/mountinfo"], capture_output=True).stdout == b"0\n"
