"""Where the services are: from the environment, else from the local stack's own record of itself."""

import getpass
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from expunge.engine.files.strict_json import SMALL, read_json
from expunge.tasks.core.errors import ServiceUnreachable, UsageError

SILENCE: Mapping[str, str] = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PREFECT_LOGGING_COLORS": "false",
    "DO_NOT_TRACK": "true",
}
"""No library reports usage, looks for weights on a network, or colours what it prints."""

LOOPBACK = ("127.0.0.1", "localhost")
SERVERS = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3")
STORE, INDEX = ("AWS_ENDPOINT_URL_S3",), ("MLFLOW_TRACKING_URI",)
BUCKET, REGION = "expunge", "us-east-1"  # where the environment names none

MOST_DAYS = 36_500  # S3's own limit is a hundred years
MOST_ACTOR = 200  # characters, as a receipt takes them

PREFECT_VARIABLES = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY")
MLFLOW_VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
S3_VARIABLES = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
)
GROUPS = (PREFECT_VARIABLES, MLFLOW_VARIABLES, S3_VARIABLES)
"""By server its address, which comes first, and what opens it: one goes with the other, and never to another server."""

PASSWORDS = (*PREFECT_VARIABLES[1:], *MLFLOW_VARIABLES[1:])


def keep_silent() -> None:
    """As `SILENCE` says, before any library is loaded; what the environment says already stays."""
    for name, value in SILENCE.items():
        os.environ.setdefault(name, value)


def spare_proxy() -> None:
    """Reach servers on this machine directly, whatever proxy the environment names for all others."""
    spared = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if spared.strip() != "*":  # which stands for all, and only alone
        names = dict.fromkeys(filter(None, (*spared.split(","), *LOOPBACK)))
        os.environ["no_proxy"] = ",".join(names)  # the spelling that all libraries heed


def home_folder() -> Path:
    """`$EXPUNGE_HOME`, by default `.expunge` in the current directory; absolute. UsageError if it can be no folder."""
    home = Path(os.environ.get("EXPUNGE_HOME") or ".expunge").absolute()
    there = next(path for path in (home, *home.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise UsageError(f"EXPUNGE_HOME is {home}, but {there} is no folder: set EXPUNGE_HOME to a folder, new or not")
    return home


def workers() -> int:
    """`$EXPUNGE_WORKERS`, how many processes draw pictures side by side, by default one; UsageError if it is none."""
    value = os.environ.get("EXPUNGE_WORKERS") or "1"
    if not value.isdecimal() or int(value) < 1:
        raise UsageError(f"EXPUNGE_WORKERS is {value!r}: give how many processes may draw side by side, such as 2")
    return int(value)


def retention_days(variables: Mapping[str, str]) -> int:
    """`EXPUNGE_RETENTION_DAYS`, by default 0: S3 locks nothing of its own accord; UsageError if it is no number."""
    value = variables.get("EXPUNGE_RETENTION_DAYS") or "0"
    if not value.isdecimal() or int(value) > MOST_DAYS:
        raise UsageError(
            f"EXPUNGE_RETENTION_DAYS is {value!r}: give for how many days S3 is to lock the record, up to {MOST_DAYS}"
        )
    return int(value)


def actor() -> str:
    """`$EXPUNGE_ACTOR`, whom receipts name, by default the user's login; UsageError if there is none, or it is long."""
    try:
        who = os.environ.get("EXPUNGE_ACTOR") or getpass.getuser()
    except (KeyError, OSError):
        who = ""
    if not 0 < len(who) <= MOST_ACTOR:
        raise UsageError(f"EXPUNGE_ACTOR is {who[:40]!r}: set it to who acts, at most {MOST_ACTOR} characters")
    return who


def stack_file(home: Path) -> Path:
    """The local stack's record of its own addresses and keys (mode 0600, gone when the stack is down)."""
    return home / "stack" / "env.json"


def stack_variables(home: Path) -> dict[str, str]:
    """What the local stack's record says, nothing while it is down; UsageError if it cannot be read."""
    file = stack_file(home)
    try:
        return read_json(file, SMALL) if file.exists() else {}
    except ValueError as error:
        raise UsageError(f"{file} cannot be read ({error}): remove it, then `make down` and `make up`") from None


@dataclass(frozen=True)
class Settings:
    """Addresses of the services, "" of one that is not needed, and what opens them.

    `passwords`: those of PASSWORDS that are set, by variable. Without S3 keys, boto3's own chain (an instance or pod
    role) finds them. Temporary keys are worth nothing without their `session_token`.
    """

    home: Path
    prefect_api_url: str
    mlflow_tracking_uri: str
    s3_endpoint_url: str
    bucket: str = BUCKET
    region: str = REGION
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    retention_days: int = 0

    @classmethod
    def load(cls, needed: Collection[str] = SERVERS) -> "Settings":
        """Read the environment, else the local stack's record; raises ServiceUnreachable naming what is missing."""
        home = home_folder()
        return cls.of(home, _merged(os.environ, stack_variables(home)), needed)

    @classmethod
    def of(cls, home: Path, variables: Mapping[str, str], needed: Collection[str] = SERVERS) -> "Settings":
        """Settings from environment variables by their names; raises ServiceUnreachable naming what is missing."""
        for name in needed:
            _need(variables, name)
        return cls(
            home=home,
            prefect_api_url=variables.get("PREFECT_API_URL") or "",
            mlflow_tracking_uri=variables.get("MLFLOW_TRACKING_URI") or "",
            s3_endpoint_url=variables.get("AWS_ENDPOINT_URL_S3") or "",
            bucket=variables.get("EXPUNGE_BUCKET") or BUCKET,
            region=variables.get("AWS_DEFAULT_REGION") or REGION,
            access_key_id=variables.get("AWS_ACCESS_KEY_ID"),
            secret_access_key=variables.get("AWS_SECRET_ACCESS_KEY"),
            session_token=variables.get("AWS_SESSION_TOKEN"),
            passwords={name: variables[name] for name in PASSWORDS if variables.get(name)},
            retention_days=retention_days(variables),
        )

    def export(self) -> None:
        """Put addresses and keys into this process's environment, where it has none. Do so before importing prefect.

        A key for another server leaves it: whoever reads the environment next would send it to ours.
        """
        merged = _merged(os.environ, {**SILENCE, **_merged(self.variables(), stack_variables(self.home))})
        for group in GROUPS:
            for name in group:
                os.environ.pop(name, None)
        os.environ.update(merged)

    def variables(self) -> dict[str, str]:
        """The settings as environment variables."""
        named = {
            "EXPUNGE_HOME": str(self.home),
            "EXPUNGE_BUCKET": self.bucket,
            "EXPUNGE_RETENTION_DAYS": str(self.retention_days),
            "PREFECT_API_URL": self.prefect_api_url,
            "MLFLOW_TRACKING_URI": self.mlflow_tracking_uri,
            "AWS_ENDPOINT_URL_S3": self.s3_endpoint_url,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": self.session_token,
            **self.passwords,
        }
        return {name: value for name, value in named.items() if value is not None}


def _merged(environ: Mapping[str, str], stack: Mapping[str, str]) -> dict[str, str]:
    """The environment wins by variable, but the address of a server and its keys go together."""
    own = {name: value for name, value in environ.items() if value}
    for address, *keys in GROUPS:
        group, same = (address, *keys), address in stack and own.get(address) == stack[address]
        if address in own and not (same and own.keys().isdisjoint(keys)):
            stack = {name: value for name, value in stack.items() if name not in group}
        elif address in stack:
            own = {name: value for name, value in own.items() if name not in group}
    return {**stack, **own}


def _need(variables: Mapping[str, str], name: str) -> None:
    if not variables.get(name):
        raise ServiceUnreachable(f"{name} is not set and no local stack is up: set it, or run `make up` first")
