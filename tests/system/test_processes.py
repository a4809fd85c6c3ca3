"""Who holds a port."""

import os
import socket
from typing import Any

from preflight.system import processes


def test_the_holder_of_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        holder = processes.holder_of(port)
        assert holder is not None
        assert holder.pid == os.getpid()
        assert holder.name
    assert processes.holder_of(port) is None


def look_as_another_user(port: int) -> processes.Process | None:
    import psutil

    assert psutil.pids()
    os.setuid(54321)
    return processes.holder_of(port)


def test_a_holder_that_is_not_ours_to_see(in_world: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert in_world("", look_as_another_user, server.getsockname()[1]) is None
