"""Where clients look for their credentials; only the place is told, never what stands there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

_YES = {"1", "true", "yes", "on"}


def wandb(root: Path) -> str:
    """Return where wandb finds its key, or which setting makes it do without; empty where neither is so."""
    settings = _wandb_settings(root)
    mode = os.environ.get("WANDB_MODE") or settings.get("mode", "")
    if mode in ("offline", "disabled", "dryrun"):
        return f"mode {mode}"
    if os.environ.get("WANDB_DISABLED", "").lower() in _YES:
        return "WANDB_DISABLED"
    if variable := _first_set("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        return variable
    server = os.environ.get("WANDB_BASE_URL") or settings.get("base_url") or "https://api.wandb.ai"
    return _netrc_with(urlsplit(server).netloc)


def huggingface(root: Path) -> str:
    """Return where huggingface_hub finds its token, or that it is offline; empty where neither is so."""
    del root
    if variable := _first_set("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        return variable
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", os.path.join(cache, "huggingface"))
    token = _expanded(os.environ.get("HF_TOKEN_PATH", os.path.join(home, "token")))
    if _holds_something(token):
        return str(token)
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(variable, "").lower() in _YES:
            return variable
    return ""


def aws(root: Path) -> str:
    """Return where the AWS clients find their keys, empty where nowhere (the role of a machine may still do)."""
    del root
    if os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"):
        return "AWS_ACCESS_KEY_ID"
    variables = (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    )
    if variable := _first_set(*variables):
        return variable
    profile = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
    keys = _expanded(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"))
    config = _expanded(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"))
    for file, section in ((keys, profile), (config, profile), (config, f"profile {profile}")):
        options = _section(file, section)
        if options.keys() & {"aws_access_key_id", "sso_session", "sso_start_url", "role_arn", "credential_process"}:
            return f"{file} [{section}]"
    return ""


FINDERS: Mapping[str, Callable[[Path], str]] = {"wandb": wandb, "huggingface": huggingface, "aws": aws}


def has_machine_role() -> bool:
    """Tell whether this is a machine of a cloud that may hand out a role's keys by itself."""
    with suppress(OSError):
        return "amazon" in Path("/sys/class/dmi/id/sys_vendor").read_text(encoding="utf-8").lower()
    return False


def _wandb_settings(root: Path) -> Mapping[str, str]:
    """Return what wandb's settings files say, those of the project over those of the user."""
    folder = os.environ.get("WANDB_CONFIG_DIR", "~/.config/wandb")
    near = _expanded(os.environ.get("WANDB_DIR", str(root)))
    files = (_expanded(folder) / "settings", near / "wandb" / "settings", near / ".wandb" / "settings")
    return {key: value for file in files for key, value in _section(file, "default").items()}


def _section(file: Path, name: str) -> Mapping[str, str]:
    import configparser

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    with suppress(OSError, UnicodeDecodeError, configparser.Error):
        parser.read_string(file.read_text(encoding="utf-8"))
    return dict(parser[name]) if parser.has_section(name) else {}


def _netrc_with(host: str) -> str:
    """Return the netrc file that holds a password for `host`, empty where none does."""
    import netrc

    named = os.environ.get("NETRC")
    files = [_expanded(named)] if named else [_expanded("~/.netrc"), _expanded("~/_netrc")]
    file = next((each for each in files if each.exists()), None)
    with suppress(OSError, UnicodeDecodeError, netrc.NetrcParseError):
        if file and (entry := netrc.netrc(str(file)).authenticators(host)) and entry[2]:
            return str(file)
    return ""


def _holds_something(file: Path) -> bool:
    with suppress(OSError):
        return bool(file.read_bytes().strip())
    return False


def _first_set(*variables: str) -> str:
    return next((variable for variable in variables if os.environ.get(variable)), "")


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(os.path.expanduser(path)))
