"""System: the limits, ports, commands, variables, credentials and hosts that the job has here.

See it by hand:

    ulimit -a
    df -h /dev/shm
    cat /sys/fs/cgroup/memory.max
    ss -ltn
    nc -vz HOST PORT

Mend it:

    Ask the scheduler or the container for more, set the variable, install the command, or take another port.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from preflight import Finding, check, error, warning
from preflight.causes.network import explain_unreached
from preflight.config import Config, System
from preflight.phrases import in_a_row
from preflight.quantities import format_size
from preflight.system import credentials, limits, network, processes
from preflight.system.experiment import worker_setting
from preflight.system.network import Outcome

SECONDS_TO_CONNECT = 5.0
# What Docker and Kubernetes give a container by default.
SMALL_SHARED_MEMORY = 64 << 20
# Where the clients look, and how a key gets there.
LOGINS = {
    "wandb": (
        "WANDB_API_KEY, WANDB_IDENTITY_TOKEN_FILE, ~/.netrc",
        "Set WANDB_API_KEY for the job, log in, or run offline:\n    wandb login\n    export WANDB_MODE=offline",
    ),
    "huggingface": (
        "HF_TOKEN, HUGGING_FACE_HUB_TOKEN, the token file below HF_HOME",
        "Set HF_TOKEN for the job, or log in:\n    hf auth login",
    ),
    "aws": (
        "AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, a profile in ~/.aws/credentials or ~/.aws/config, a valid login",
        "Set the keys for the job, write them into a profile, or log in:\n    aws configure",
    ),
    "comet": ("COMET_API_KEY, ~/.comet.config", "Set COMET_API_KEY for the job, or log in:\n    comet login"),
    "google": (
        "GOOGLE_APPLICATION_CREDENTIALS, ~/.config/gcloud/application_default_credentials.json",
        "Set GOOGLE_APPLICATION_CREDENTIALS for the job, or log in:\n    gcloud auth application-default login",
    ),
    "kaggle": (
        "KAGGLE_USERNAME with KAGGLE_KEY, kaggle.json below KAGGLE_CONFIG_DIR or ~/.kaggle",
        "Set KAGGLE_USERNAME and KAGGLE_KEY for the job, or put the kaggle.json of your account into ~/.kaggle",
    ),
    "neptune": ("NEPTUNE_API_TOKEN", "Set NEPTUNE_API_TOKEN for the job:\n    export NEPTUNE_API_TOKEN=..."),
}


@check(when="system.ram", at="node")
def check_memory_is_enough(config: Config) -> Iterator[Finding]:
    """The job may have the memory that it needs.

    The least of what the control groups, `ulimit -v` and the machine allow counts.

        system.ram    less memory than `ram:` wants
        system.busy   enough is allowed, but other programs hold it now
    """
    wanted = _system(config).ram or 0
    limit = limits.memory()
    values = {"found": format_size(limit.value), "wanted": format_size(wanted)}
    if limit.value < wanted:
        message = f"the job may have {values['found']} of memory, {values['wanted']} are needed"
        fix = "Ask the scheduler for more memory (`--mem` for Slurm, `--memory` for Docker), or need less"
        yield _error(config, "ram", message, cause=f"{limit.source} sets the limit", fix=fix, **values)
    elif (available := limits.available_memory()) < wanted:
        message = f"{format_size(available)} of memory are available now, {values['wanted']} are needed"
        cause = "other programs on this machine hold the rest"
        fix = "End what is not needed, or run elsewhere:\n    ps aux --sort=-rss | head"
        yield warning(message, id="system.busy", cause=cause, fix=fix)


@check(when="system.shm", at="node")
def check_shared_memory_is_enough(config: Config) -> Iterator[Finding]:
    """There is enough shared memory for the workers of a data loader.

    system.shm    less is free in /dev/shm than `shm:` wants
    """
    wanted = _system(config).shm or 0
    room = limits.shared_memory()
    if room is None:
        pytest.skip("this system has no /dev/shm")
    if room.free < wanted:
        found, needed, where = format_size(room.free), format_size(wanted), limits.SHARED_MEMORY
        cause = "programs that run, or have died, hold files there"
        fix = f"Remove what no program uses any more:\n    ls -la {where}"
        if room.total < wanted:
            size = f"{-(-wanted // 2**20)}m"
            cause = f"it is only {format_size(room.total)} large, the default of a container being 64 MB"
            fix = f"Make it larger (in Docker with `--shm-size={size}`):\n    sudo mount -o remount,size={size} {where}"
        message = f"{where} has {found} free, {needed} are needed"
        yield _error(config, "shm", message, found=found, wanted=needed, cause=cause, fix=fix)


@check(at="node")
def check_workers_can_hand_over_batches(config: Config) -> Iterator[Finding]:
    """The worker processes of a data loader have shared memory for their batches.

    Only looked at where the experiment has workers, torch is imported, and `shm:` does not say how much is needed.

        system.shm-small    /dev/shm is as small as a container's default, or fuller than that
    """
    key, workers = worker_setting(config.experiment)
    is_torch = any(
        each.name.partition(".")[0] in ("torch", "lightning", "pytorch_lightning") for each in config.imports
    )
    room = limits.shared_memory()
    if not workers or not is_torch or _system(config).shm or room is None or room.free > SMALL_SHARED_MEMORY:
        return
    message = f"{limits.SHARED_MEMORY} has {format_size(room.free)} free, and {key} is {workers}"
    cause = "workers hand batches over in shared memory, and are ended by a bus error where it is full"
    fix = f"Have more of it (in Docker with `--shm-size=8g`), or set {key} to 0:\n"
    fix += f"    sudo mount -o remount,size=8g {limits.SHARED_MEMORY}"
    at = config.system.at if config.system else None
    more = {"file": at.file, "line": at.line} if at else {}
    yield warning(message, id="system.shm-small", found=format_size(room.free), cause=cause, fix=fix, **more)


@check(when="system.nofile", at="node")
def check_files_can_be_opened(config: Config) -> Iterator[Finding]:
    """The job may open as many files at once as it needs.

    system.nofile    `ulimit -n` is lower than `nofile:` wants
    """
    wanted = _system(config).nofile or 0
    soft, hard = limits.open_files()
    if 0 <= soft < wanted:
        message = f"the job may open {soft:,} files at once, {wanted:,} are needed"
        cause = f"the limit of open files (ulimit -n) is {soft:,}"
        fix = f"Raise it before the job starts, in the same shell:\n    ulimit -n {wanted}"
        if 0 <= hard < wanted:
            cause += f", and this user may raise it to {hard:,} only"
            fix = "Ask the administrator to raise the hard limit (/etc/security/limits.conf, `LimitNOFILE=`)"
        values = {"found": f"{soft:,}", "wanted": f"{wanted:,}"}
        yield _error(config, "nofile", message, cause=cause, fix=fix, **values)


@check(when="system.processes", at="node")
def check_processes_can_be_started(config: Config) -> Iterator[Finding]:
    """The job may start as many processes and threads as it needs.

    system.processes    fewer are left than `processes:` wants
    """
    wanted = _system(config).processes or 0
    limit = limits.tasks()
    if limit is not None and limit.left < wanted:
        message = f"{limit.left:,} more processes and threads can be started, {wanted:,} are needed"
        cause = f"{limit.source} allows {limit.value:,}, and {limit.used:,} are running"
        fix = "End processes that are not needed, or ask for a higher limit"
        if limit.source == "ulimit -u":
            fix = f"Raise the limit before the job starts, in the same shell:\n    ulimit -u {limit.used + wanted}"
        values = {"found": f"{limit.left:,}", "wanted": f"{wanted:,}"}
        yield _error(config, "processes", message, cause=cause, fix=fix, **values)


@check(per="system.ports", at="node")
def check_port_is_free(entry: int, config: Config) -> Iterator[Finding]:
    """A server can listen on the port.

    system.port-in-use       another process listens there
    system.port-not-allowed  the port is reserved for root
    """
    number = network.try_to_listen(entry)
    if number == errno.EADDRINUSE:
        holder = processes.holder_of(entry)
        who = f"process {holder.pid} ({holder.name}) of {holder.user}" if holder else "a process of another user"
        fix = "Choose another port, or end that process" + (f":\n    kill {holder.pid}" if holder else "")
        message = f"port {entry} is in use"
        yield _error(config, "port-in-use", message, cause=f"{who} listens there", fix=fix)
    elif number:
        cause = f"listening there gives: {os.strerror(number)}"
        fix = "Choose a port above 1023"
        message = f"port {entry} cannot be used"
        yield _error(config, "port-not-allowed", message, cause=cause, fix=fix)


@check(when="system.commands", at="node")
def check_commands_are_there(config: Config) -> Iterator[Finding]:
    """Every command that the job calls can be found and run.

    system.command    a command is not on PATH, or not executable
    """
    for name in _system(config).commands:
        if shutil.which(name):
            continue
        blocked = shutil.which(name, mode=os.F_OK)
        cause = f"{blocked} is not executable" if blocked else "no folder of PATH has it"
        fix = (
            f"Make it executable:\n    chmod a+x {blocked}" if blocked else f"Install {name}, or add its folder to PATH"
        )
        evidence = {"PATH": os.environ.get("PATH", "")}
        yield _error(config, "command", f"{name} cannot be run", cause=cause, fix=fix, evidence=evidence)


@check(when="system.env", at="node")
def check_variables_are_set(config: Config) -> Iterator[Finding]:
    """Every environment variable that the job reads is set and not empty; what it holds is not shown.

    system.env    variables are not set, or empty
    """
    missing = [name for name in _system(config).env if not os.environ.get(name)]
    if missing:
        empty = [name for name in missing if name in os.environ]
        message = f"{in_a_row(missing, most=10)} {'is' if len(missing) == 1 else 'are'} not set"
        cause = (
            f"{in_a_row(empty, most=10)} is set, but empty"
            if empty
            else "the environment that preflight runs in does not have it"
        )
        fix = "Set it where the job is started:\n" + "\n".join(f"    export {name}=..." for name in missing)
        yield _error(config, "env", message, cause=cause, fix=fix)


@check(per="system.credentials", at="node")
def check_credentials_are_there(entry: str, config: Config, root: Path) -> Iterator[Finding]:
    """The client will find its credentials; they are neither shown nor tried.

    system.credentials    nothing where the client looks
    """
    find = credentials.FINDERS.get(entry)
    if find is None:
        pytest.skip(f"where {entry} keeps its credentials is not known; known are {', '.join(credentials.FINDERS)}")
    if find(root):
        return
    message = f"{entry} has no credentials here"
    places, fix = LOGINS[entry]
    cause = f"nothing in any place where the client looks: {places}"
    yield _error(config, "credentials", message, cause=cause, fix=fix)


@check(per="system.hosts", at="node")
def check_host_can_be_reached(entry: str, config: Config) -> Iterator[Finding]:
    """The host answers on its port.

    system.host-unknown    its name cannot be resolved
    system.host-refused    it refuses the connection
    system.host-silent     it does not answer in time
    system.no-network      there is no way to it from here
    system.host-failed     the connection fails in another way
    """
    name, _, port = entry.rpartition(":")
    reached = network.reach(name.strip("[]"), int(port), SECONDS_TO_CONNECT)
    if reached.outcome is not Outcome.CONNECTED:
        what, cause, fix = explain_unreached(reached)
        evidence = {"addresses": list(reached.addresses), "proxy": reached.proxy}
        yield _error(
            config, what, f"{entry} cannot be reached: {reached.error}", cause=cause, fix=fix, evidence=evidence
        )


def _system(config: Config) -> System:
    return config.system or System()


def _error(config: Config, name: str, message: str, **more: object) -> Finding:
    at = _system(config).at
    return error(message, id=f"system.{name}", file=at.file, line=at.line, **more)
