"""The limits of the job, in control groups of both versions and under ulimit."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preflight.system import limits, processes


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group inside one that allows 300 MB."""
    top = Path("/sys/fs/cgroup/memory")
    if os.geteuid() != 0 or not (top / "memory.limit_in_bytes").exists():
        pytest.skip("needs the memory controller of cgroup v1 and root")
    outer = top / f"preflight-{os.getpid()}"
    inner = outer / "job"
    inner.mkdir(parents=True)
    (outer / "memory.limit_in_bytes").write_text("314572800")
    yield inner
    inner.rmdir()
    outer.rmdir()


def test_a_group_further_up_sets_the_limit(memory_group: Path, in_world: Any) -> None:
    limit = in_world(f"echo $$ > {memory_group}/cgroup.procs", limits.memory)
    assert limit.value == 314_572_800
    assert limit.source == str(memory_group.parent / "memory.limit_in_bytes")


def unified(folder: Path) -> str:
    """Return shell text after which the process is in `/job/step` of a cgroup v2 hierarchy mounted at `folder`."""
    (folder / "job/step").mkdir(parents=True)
    (folder / "mountinfo").write_text(f"31 23 0:28 / {folder} rw,relatime - cgroup2 cgroup2 rw\n")
    (folder / "cgroup").write_text("0::/job/step\n")
    return f"mount --bind {folder}/mountinfo /proc/$$/mountinfo; mount --bind {folder}/cgroup /proc/$$/cgroup"


def test_cgroup_version_2(tmp_path: Path, in_world: Any) -> None:
    setup = unified(tmp_path)
    (tmp_path / "job/step/memory.max").write_text("max\n")
    (tmp_path / "job/memory.max").write_text("104857600\n")
    (tmp_path / "job/pids.max").write_text("100\n")
    (tmp_path / "job/pids.current").write_text("93\n")
    assert in_world(setup, limits.memory) == limits.Limit(value=104_857_600, source=f"{tmp_path}/job/memory.max")
    tasks = in_world(setup, limits.tasks)
    assert (tasks.value, tasks.used, tasks.left) == (100, 93, 7)


def test_a_container_that_sees_only_its_own_group(tmp_path: Path, in_world: Any) -> None:
    setup = unified(tmp_path)
    (tmp_path / "cgroup").write_text("0::/kubepods/pod1/c2\n")
    (tmp_path / "memory.max").write_text("104857600\n")
    assert in_world(setup, limits.memory).source == f"{tmp_path}/memory.max"


def test_no_limit_is_the_machine() -> None:
    assert limits.memory().value <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < limits.available_memory() < 10**15


def test_ulimit(in_world: Any) -> None:
    assert in_world("ulimit -v 1000000", limits.memory).value == 1_024_000_000
    assert in_world("ulimit -S -n 333", limits.open_files)[0] == 333


def tasks_of_another_user() -> limits.Limit | None:
    import psutil

    assert psutil.pids()
    resource.setrlimit(resource.RLIMIT_NPROC, (50, 50))
    os.setuid(54321)
    return limits.tasks()


def test_the_processes_of_a_user(in_world: Any) -> None:
    limit = in_world("", tasks_of_another_user)
    assert (limit.value, limit.source, limit.used) == (50, "ulimit -u", 1)


def test_counting_tasks() -> None:
    assert processes.count_tasks(os.getuid()) >= 1
    assert processes.count_tasks(3_000_000_000) == 0
