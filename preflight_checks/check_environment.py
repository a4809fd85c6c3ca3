"""Environment: what the job inherits from its shell and its machine suits it: encoding, folders, names, screen.

See it by hand:

    locale
    df -hT "${TMPDIR:-/tmp}"
    getent hosts "$(hostname)"
    nproc
    env | grep -E 'NUM_THREADS|NCCL|GLOO|MPLBACKEND|TMPDIR'

Mend it:

    Set the variable that the finding names where the job is started: in the batch script or the container.
"""

import errno
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

from preflight import Finding, check, error, info, warning
from preflight.config import Config, Gpu
from preflight.phrases import in_a_row, shown
from preflight.system import disk, display, encoding, files, network, trials
from preflight.system.code import Source
from preflight.system.experiment import node_setting, wants_several_processes, worker_setting
from preflight.system.programs import read_scripts, scripts_of
from preflight.system.watched import NoAnswer, watched

# The variables that decide upon the encoding, those first that win.
OF_ENCODING = ("PYTHONUTF8", "LC_ALL", "LC_CTYPE", "LANG")


@check(when="data")
def check_text_is_read_as_utf8(config: Config, root: Path) -> Iterator[Finding]:
    """Text files of the data are read as UTF-8 here, where the code leaves the encoding to the environment.

    Only looked at where Python uses another encoding than UTF-8, which needs an unusual locale or PYTHONUTF8=0.

        environment.encoding    text with characters beyond ASCII is read in another encoding
    """
    if (used := encoding.encoding_here()) == "utf-8":
        return
    try:
        found = watched(lambda: encoding.first_undecodable(_files_of(config, root), used), config.deadline)
    except NoAnswer:
        # The check of the data says so.
        return
    if not found:
        return
    openings = encoding.openings(_sources(config, root))
    place = f"{shown(openings[0].file)}:{openings[0].line}" if openings else "the code"
    say = error if openings and found.fails else warning
    message = f"{shown(found.file)} holds characters beyond ASCII, and text is read as {used} here, not as UTF-8"
    outcome = "fails with UnicodeDecodeError" if found.fails else "gives other characters"
    settings = ", ".join(f"{name}={os.environ[name]}" for name in OF_ENCODING if name in os.environ) or "no locale"
    cause = f"{place} opens text without an encoding, which {outcome} in line {found.line} under {settings}"
    fix = "Have Python use UTF-8, or pass `encoding` where text is opened:\n    export PYTHONUTF8=1"
    values = {"found": used, "wanted": "utf-8"}
    yield say(message, id="environment.encoding", cause=cause, fix=fix, **values)


@check(at="node")
def check_temporary_folder_suits_workers(config: Config) -> Iterator[Finding]:
    """Temporary files go to a folder that is there, and in which the worker processes of a data loader can talk.

    Only looked at where the experiment has worker processes, or TMPDIR names a folder.

        environment.temporary-missing   TMPDIR names a folder that does not exist or cannot be written
        environment.temporary-network   TMPDIR is on a network file system, and worker processes leave files there
        environment.temporary-sockets   no socket can be made in TMPDIR, through which worker processes talk
    """
    named, (key, workers) = os.environ.get("TMPDIR", ""), worker_setting(config.experiment)
    folder = Path(named or tempfile.gettempdir())
    if named and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        message = f"TMPDIR={named} is no folder that can be written to"
        cause = "it does not exist" if not folder.exists() else f"this user (uid {os.geteuid()}) may not write there"
        fix = f"Make it, or let another be used:\n    mkdir -p {quote(named)}"
        yield warning(message, id="environment.temporary-missing", cause=cause, fix=fix)
    elif workers and (refusal := trials.try_to_listen(folder)):
        message = f"no socket can be made in {folder}: {os.strerror(refusal.errno)}"
        cause = f"{key} is {workers}, and workers talk through sockets in the temporary folder"
        cause += ", whose whole name may have some 70 characters" if refusal.errno == errno.ENAMETOOLONG else ""
        fix = "Use a folder of this machine with a short name:\n    export TMPDIR=/tmp"
        yield warning(message, id="environment.temporary-sockets", cause=cause, fix=fix)
    elif workers and (mount := disk.mount_of(folder)).type in disk.NETWORK:
        message = f"the temporary folder {folder} is on a network file system"
        cause = f"it lies on {mount}; {key} is {workers}, and files that workers still hold cannot be deleted there"
        fix = "Use a folder of this machine:\n    export TMPDIR=/tmp"
        yield warning(message, id="environment.temporary-network", cause=cause, fix=fix)


@check(at="node")
def check_host_name_resolves(config: Config) -> Iterator[Finding]:
    """This machine finds its own address by its name, where several processes are to meet.

    environment.host-name    the name has no address
    """
    together = wants_several_processes(config.experiment) or node_setting(config.experiment) > 1
    if not together and not (config.system and config.system.ports):
        return
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except (OSError, UnicodeError) as problem:
        message = f"the name of this machine, {name}, cannot be resolved"
        cause = f"{getattr(problem, 'strerror', None) or problem}: neither /etc/hosts nor a name server knows it"
        fix = f"Write it down:\n    echo '127.0.1.1 {name}' | sudo tee -a /etc/hosts"
        say = error if together else warning
        yield say(message, id="environment.host-name", cause=cause, fix=fix)


@check()
def check_figures_can_be_drawn(config: Config, root: Path) -> Iterator[Finding]:
    """Matplotlib draws with a backend that needs no screen, or there is one.

    environment.no-display    a backend that opens windows is chosen, and there is no display
    """
    if display.has_screen():
        return
    sources = _sources(config, root)
    backend = display.chosen_backend(sources, root)
    if backend is None or not backend.is_windowed:
        return
    if not backend.line and not display.imports_pyplot(sources):
        return
    place = f"{shown(backend.file)}:{backend.line}" if backend.line else backend.file
    message = f"matplotlib is to draw with {backend.name}, which needs a display, and there is none here"
    cause = f"{place} chooses it, and neither DISPLAY nor WAYLAND_DISPLAY is set"
    fix = "Draw into files:\n    export MPLBACKEND=Agg"
    if backend.line:
        fix = f'Write "Agg" in place of "{backend.name}" there:\n    sed -i {backend.line}s/{backend.name}/Agg/ '
        fix += quote(shown(backend.file))
    more = {"file": backend.file, "line": backend.line} if backend.line else {}
    yield error(message, id="environment.no-display", cause=cause, fix=fix, **more)


@check(at="node")
def check_threads_have_processors(config: Config) -> Iterator[Finding]:
    """Workers and threads are no more than the processors that this job may use.

    environment.processors    more workers or threads are asked for than there are processors
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    key, workers = worker_setting(config.experiment)
    threads = os.environ.get("OMP_NUM_THREADS", "")
    asked = {key: workers, "OMP_NUM_THREADS": int(threads) if threads.isdecimal() else 0}
    for name, number in asked.items():
        if number > processors:
            message = f"{name} is {number}, and this job may use {processors} processors"
            cause = "the processors of the machine, or what taskset or the scheduler leaves of them"
            yield info(message, id="environment.processors", found=str(number), wanted=str(processors), cause=cause)


@check(at="node")
def check_interfaces_of_nccl(config: Config) -> Iterator[Finding]:
    """The network interfaces that NCCL or Gloo is told to use are there, where several processes work together.

    gpu.no-interface    NCCL_SOCKET_IFNAME or GLOO_SOCKET_IFNAME matches no interface of this machine
    gpu.loopback        it names the loopback, which reaches no other node
    gpu.no-network      no interface is up, so that the processes cannot meet
    """
    together = wants_several_processes(config.experiment) or (config.gpu or Gpu()).count not in (None, 0, 1)
    nodes = _number_of_nodes(config)
    if not (together or nodes > 1 or os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1")):
        return
    if not network.has_loopback() and not network.has_network():
        message, cause = (
            "no network interface is up",
            "the processes of the run meet over a network, even on one machine",
        )
        fix = "Run where there is a network, or bring up the loopback:\n    sudo ip link set lo up"
        yield error(message, id="gpu.no-network", cause=cause, fix=fix)
    for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        if not (value := os.environ.get(name, "")):
            continue
        chosen = network.interfaces_for(value, network.interfaces())
        there = in_a_row(network.interfaces(), most=8)
        correct = f"Name an interface that leads to the other nodes, or let it be found:\n    unset {name}"
        if not chosen:
            message = f"{name}={value} matches no network interface here"
            yield error(message, id="gpu.no-interface", cause=f"this machine has {there}", fix=correct)
        elif nodes > 1 and all(each.startswith("lo") for each in chosen):
            message = f"{name}={value} is the loopback, and the run has {nodes} nodes"
            cause = f"the loopback reaches no other node; this machine has {there}"
            yield error(message, id="gpu.loopback", cause=cause, fix=correct)


def _files_of(config: Config, root: Path) -> Iterator[str]:
    for entry in config.data:
        if entry.local:
            glob = entry.files.glob if entry.files else "**/*"
            yield from files.walk(files.find(files.resolve(entry.local, root)), glob)


def _sources(config: Config, root: Path) -> Sequence[Source]:
    """Return the program's own files, as far as they are known from the config and the folder."""
    commands = [config.seeds.command] if config.seeds else []
    commands += [config.rehearsal.command] if config.rehearsal else []
    scripts = scripts_of(commands, [each.name for each in config.imports], root)
    return read_scripts(scripts, root).sources


def _number_of_nodes(config: Config) -> int:
    """Return how many machines the run is spread over, as the scheduler, torchrun or the config say."""
    said = [os.environ.get(name, "") for name in ("SLURM_JOB_NUM_NODES", "SLURM_NNODES", "NNODES", "GROUP_WORLD_SIZE")]
    return max([node_setting(config.experiment), *(int(text) for text in said if text.isdecimal())])
