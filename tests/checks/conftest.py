"""What the tests of the built-in checks share: a check file, loaded by its path as the engine does."""

import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

CHECKS = Path(__file__).parents[2] / "preflight_checks"


@pytest.fixture(scope="session")
def load_check_file() -> Callable[[str], ModuleType]:
    """Return a function that loads `preflight_checks/check_FAMILY.py`."""

    def load(family: str) -> ModuleType:
        path = CHECKS / f"check_{family}.py"
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """The empty folder of a check."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


FAILING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(const char *call, const char *path) {
    char wanted[64], part[256]; int number;
    if (sscanf(getenv("FAILING"), "%63[^:]:%255[^:]:%d", wanted, part, &number) != 3) return 0;
    if (strcmp(wanted, call) || !strstr(path, part)) return 0;
    errno = number;
    return 1;
}

#define OPEN(name) int name(const char *path, int flags, ...) { \\
    va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \\
    if (fails("open", path)) return -1; \\
    return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name))(path, flags, mode); }
OPEN(open)
OPEN(open64)

#define MOVE(name, type, arguments, ...) type name arguments { \\
    char link[64], path[4096] = ""; snprintf(link, sizeof link, "/proc/self/fd/%d", file); \\
    if (readlink(link, path, sizeof path - 1) > 0 && fails(#name, path)) return -1; \\
    return ((type (*) arguments)dlsym(RTLD_NEXT, #name))(__VA_ARGS__); }
MOVE(read, ssize_t, (int file, void *to, size_t size), file, to, size)
MOVE(fallocate, int, (int file, int mode, off_t from, off_t size), file, mode, from, size)
MOVE(flock, int, (int file, int how), file, how)
MOVE(write, ssize_t, (int file, const void *from, size_t size), file, from, size)
"""


@pytest.fixture(scope="session")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, int], str]:
    """Return `failing(call, part, number)`: shell text after which `call` fails on files with `part` in their path."""
    if not shutil.which("cc"):
        pytest.skip("failing system calls need a C compiler")
    folder = tmp_path_factory.mktemp("failing")
    (folder / "failing.c").write_text(FAILING)
    library = folder / "failing.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, folder / "failing.c", "-ldl"], check=True)
    return lambda call, part, number: f"export FAILING={call}:{part}:{number} LD_PRELOAD={library}"
