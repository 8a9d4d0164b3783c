"""Where the services are: from the environment, else from the local stack's own record of itself."""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

from expunge.engine.files.reading.strict_json import SMALL, read_json
from expunge.tasks.core.environment import ORPHAN_DAYS, Environment
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

DRAWING = ("EXPUNGE_WORKERS", "EXPUNGE_CREW", "EXPUNGE_CREW_DEVICE")
"""Who draws pictures: read by whoever has them drawn, so that a mistake here stops nothing else."""

PASSWORDS = (*PREFECT_VARIABLES[1:], *MLFLOW_VARIABLES[1:])

_ACTOR: ContextVar[str] = ContextVar("actor", default="")


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
    """Return `$EXPUNGE_HOME`, absolute. UsageError if it can be no folder."""
    home = _read("EXPUNGE_HOME").home.absolute()
    there = next(path for path in (home, *home.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise UsageError(f"EXPUNGE_HOME is {home}, but {there} is no folder: set EXPUNGE_HOME to a folder, new or not")
    return home


def workers() -> int:
    """Return how many processes draw pictures side by side; UsageError if `$EXPUNGE_WORKERS` is no such number."""
    return _read("EXPUNGE_WORKERS").workers


def draws_on_cluster() -> bool:
    """Return whether Ray's actors draw, and not processes of this machine; UsageError if `$EXPUNGE_CREW` is neither."""
    return _read("EXPUNGE_CREW").crew == "ray"


def crew_device() -> str:
    """Return what Ray's actors compute on, "cpu" or "cuda"; UsageError if `$EXPUNGE_CREW_DEVICE` is neither."""
    return _read("EXPUNGE_CREW_DEVICE").crew_device


def check_crew() -> None:
    """Raise UsageError, before any work, if the variables that say who draws are wrong, or Ray is to and is missing."""
    crew_device()
    if draws_on_cluster() and find_spec("ray") is None:
        raise UsageError("EXPUNGE_CREW is ray, which is not installed: pip install 'expunge[ray]'")


def actor() -> str:
    """Return whom receipts name, by default the user's login; UsageError if there is none, or it is long."""
    return _ACTOR.get() or _read("EXPUNGE_ACTOR").who_acts()


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Let receipts name this person, in this thread alone: a server acts for several people at once."""
    before = _ACTOR.set(name)
    try:
        yield
    finally:
        _ACTOR.reset(before)


def _read(name: str) -> Environment:
    """Return what the environment says of one variable: what is wrong with another is no matter here."""
    return Environment.read({name: os.environ.get(name, "")})


def stack_folder(home: Path) -> Path:
    """Return where the local stack keeps its data."""
    return home / "stack"


def stack_file(home: Path) -> Path:
    """Return the local stack's record of its own addresses and keys (mode 0600, gone when the stack is down)."""
    return stack_folder(home) / "env.json"


def stack_variables(home: Path) -> dict[str, str]:
    """Return what the local stack's record says, nothing while it is down; UsageError if it cannot be read."""
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
    bucket: str = "expunge"
    region: str = "us-east-1"
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    retention_days: int = 0
    orphan_days: int = ORPHAN_DAYS

    @property
    def locked_until(self) -> datetime | None:
        """Return until when S3 locks what is written to the record now; None where it is not asked to."""
        return datetime.now(UTC) + timedelta(self.retention_days) if self.retention_days else None

    @classmethod
    def load(cls, needed: Collection[str] = SERVERS, home: Path | None = None) -> "Settings":
        """Read the environment, else the local stack's record; raises ServiceUnreachable naming what is missing.

        `home`: another than that of the environment.
        """
        home = home or home_folder()
        return cls.of(home, _merged(os.environ, stack_variables(home)), needed)

    @classmethod
    def of(cls, home: Path, variables: Mapping[str, str], needed: Collection[str] = SERVERS) -> "Settings":
        """Return settings from environment variables by their names.

        Raises:
            ServiceUnreachable: some are missing; it names them.
        """
        for name in needed:
            _need(variables, name)
        found = Environment.read({name: value for name, value in variables.items() if name not in DRAWING})
        return cls(
            home=home,
            prefect_api_url=found.prefect_api_url,
            mlflow_tracking_uri=found.mlflow_tracking_uri,
            s3_endpoint_url=found.s3_endpoint_url,
            bucket=found.bucket,
            region=found.region,
            access_key_id=found.access_key_id,
            secret_access_key=found.secret_access_key,
            session_token=found.session_token,
            passwords={name: variables[name] for name in PASSWORDS if variables.get(name)},
            retention_days=found.retention_days,
            orphan_days=found.orphan_days,
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
        """Return the settings as environment variables."""
        named = {
            "EXPUNGE_HOME": str(self.home),
            "EXPUNGE_BUCKET": self.bucket,
            "EXPUNGE_RETENTION_DAYS": str(self.retention_days),
            "EXPUNGE_ORPHAN_DAYS": str(self.orphan_days),
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
    """Return the variables of the environment and of the stack, merged.

    The environment wins by variable, but the address of a server and its keys go together.
    """
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
