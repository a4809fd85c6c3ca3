"""Where clients look for their credentials; only the place is told, never what stands there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
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
    """Return where the AWS clients find their keys, empty where nowhere, where a half is missing or a login is over."""
    del root
    keys = _expanded(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"))
    config = _expanded(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"))
    named = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or ""
    profile = named or "default"
    sections = ((keys, profile), (config, profile), (config, f"profile {profile}"))
    found = [(file, section, options) for file, section in sections if (options := _section(file, section))]
    if named and not found:
        # The clients stop at a profile that is not there, whatever else there is.
        return ""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return "AWS_ACCESS_KEY_ID" if os.environ.get("AWS_SECRET_ACCESS_KEY") else ""
    variables = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if variable := _first_set(*variables, "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        return variable
    usable = (f"{file} [{section}]" for file, section, options in found if _has_aws_keys(options))
    return next(usable, "") or ("the role of this machine" if _has_machine_role() else "")


def comet(root: Path) -> str:
    """Return where comet_ml finds its key, empty where nowhere."""
    files = (root / ".comet.config", _expanded(os.environ.get("COMET_CONFIG", "~/.comet.config")))
    held = (str(file) for file in files if _section(file, "comet").get("api_key"))
    return _first_set("COMET_API_KEY") or next(held, "")


def google(root: Path) -> str:
    """Return where Google's clients find their default credentials, empty where nowhere."""
    del root
    if named := _first_set("GOOGLE_APPLICATION_CREDENTIALS"):
        return named if _holds_something(_expanded(os.environ[named])) else ""
    folder = os.environ.get("CLOUDSDK_CONFIG", "~/.config/gcloud")
    file = _expanded(folder) / "application_default_credentials.json"
    return str(file) if _holds_something(file) else "the account of this machine" if _is_of_google() else ""


def kaggle(root: Path) -> str:
    """Return where the Kaggle client finds its key, empty where nowhere."""
    del root
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        return "KAGGLE_KEY"
    folders = (os.environ.get("KAGGLE_CONFIG_DIR", "~/.kaggle"), "~/.config/kaggle")
    files = (_expanded(folder) / "kaggle.json" for folder in folders)
    return next((str(file) for file in files if _holds_something(file)), "")


def neptune(root: Path) -> str:
    """Return the variable in which neptune finds its token, empty where there is none."""
    del root
    return _first_set("NEPTUNE_API_TOKEN")


FINDERS: Mapping[str, Callable[[Path], str]] = {
    each.__name__: each for each in (wandb, huggingface, aws, comet, google, kaggle, neptune)
}


def _has_aws_keys(options: Mapping[str, str]) -> bool:
    if "aws_access_key_id" in options:
        return "aws_secret_access_key" in options
    if options.keys() & {"sso_session", "sso_start_url"}:
        return _has_login(options)
    return bool(options.keys() & {"role_arn", "credential_process"})


def _has_login(options: Mapping[str, str]) -> bool:
    """Tell whether `aws sso login` has left a token that is still good, or that can be renewed."""
    import hashlib
    import json

    name = options.get("sso_session") or options.get("sso_start_url", "")
    file = _expanded("~/.aws/sso/cache") / f"{hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()}.json"
    with suppress(OSError, ValueError):
        token = json.loads(file.read_text(encoding="utf-8"))
        expires = datetime.fromisoformat(token["expiresAt"].replace("UTC", "+00:00"))
        return "refreshToken" in token or expires > datetime.now(UTC)
    return False


def _has_machine_role() -> bool:
    """Tell whether this is a machine of a cloud that may hand out a role's keys by itself."""
    return "amazon" in _machine() and os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true"


def _is_of_google() -> bool:
    return "google" in _machine()


def _machine() -> str:
    folder = Path("/sys/class/dmi/id")
    names = ""
    for name in ("sys_vendor", "product_name"):
        with suppress(OSError):
            names += (folder / name).read_text(encoding="utf-8").lower()
    return names


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
