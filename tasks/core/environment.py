"""The variables of the environment that set expunge up: type and default of each, and what to do if one is wrong."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources.utils import parse_env_vars

from expunge.tasks.core.errors import UsageError

MOST_DAYS = 36_500  # S3's own limit is a hundred years
MOST_ACTOR = 200  # characters, as a receipt takes them
MOST_LEASE_SECONDS = 3600
ORPHAN_DAYS = 7
CURES = {
    "EXPUNGE_CREW": "give processes, which draw on this machine, or ray, whose actors draw on a cluster",
    "EXPUNGE_CREW_DEVICE": "give cpu, or cuda where each actor has a GPU of its own",
    "EXPUNGE_WORKERS": "give how many processes may draw side by side, such as 2",
    "EXPUNGE_RETENTION_DAYS": f"give for how many days S3 is to lock the record, up to {MOST_DAYS}",
    "EXPUNGE_ORPHAN_DAYS": f"give how many days old an object in S3 must be that nothing names, up to {MOST_DAYS}",
    "EXPUNGE_LEASE_SECONDS": (
        f"give after how many seconds a worker that does not answer loses its line, up to {MOST_LEASE_SECONDS}"
    ),
}


def _decimal(value: Any) -> Any:
    if isinstance(value, str) and not value.isdecimal():
        raise ValueError("it is no whole number in plain digits")
    return value


Count = Annotated[int, BeforeValidator(_decimal)]


class Environment(BaseSettings):
    """Settings from the environment; a variable that is set to nothing counts as unset.

    Without S3 keys, boto3's own chain (an instance or pod role) finds them.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    home: Path = Field(Path(".expunge"), validation_alias="EXPUNGE_HOME")
    workers: Count = Field(1, ge=1, validation_alias="EXPUNGE_WORKERS")
    crew: Literal["processes", "ray"] = Field("processes", validation_alias="EXPUNGE_CREW")
    crew_device: Literal["cpu", "cuda"] = Field("cpu", validation_alias="EXPUNGE_CREW_DEVICE")
    actor: str = Field("", validation_alias="EXPUNGE_ACTOR")
    retention_days: Count = Field(0, le=MOST_DAYS, validation_alias="EXPUNGE_RETENTION_DAYS")
    lease_seconds: Count = Field(60, ge=1, le=MOST_LEASE_SECONDS, validation_alias="EXPUNGE_LEASE_SECONDS")
    orphan_days: Count = Field(ORPHAN_DAYS, le=MOST_DAYS, validation_alias="EXPUNGE_ORPHAN_DAYS")
    prefect_api_url: str = Field("", validation_alias="PREFECT_API_URL")
    mlflow_tracking_uri: str = Field("", validation_alias="MLFLOW_TRACKING_URI")
    s3_endpoint_url: str = Field("", validation_alias="AWS_ENDPOINT_URL_S3")
    bucket: str = Field("expunge", validation_alias="EXPUNGE_BUCKET")
    region: str = Field("us-east-1", validation_alias="AWS_DEFAULT_REGION")
    access_key_id: str | None = Field(None, validation_alias="AWS_ACCESS_KEY_ID", repr=False)
    secret_access_key: str | None = Field(None, validation_alias="AWS_SECRET_ACCESS_KEY", repr=False)
    session_token: str | None = Field(None, validation_alias="AWS_SESSION_TOKEN", repr=False)

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        """Return what these variables say. UsageError names the first that is wrong, and the cure."""
        try:
            return cls(variables=variables)  # type: ignore[call-arg]
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            raise UsageError(f"{name} is {variables[name]!r}: {CURES[name]}") from None

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the variables that are given, and no file and no other environment."""
        return (Variables(settings_cls, init_settings()["variables"]),)

    def who_acts(self) -> str:
        """Return whom receipts name, by default the user's login; UsageError if there is none, or it is long."""
        try:
            who = self.actor or getpass.getuser()
        except (KeyError, OSError):
            who = ""
        if not 0 < len(who) <= MOST_ACTOR:
            raise UsageError(f"EXPUNGE_ACTOR is {who[:40]!r}: set it to who acts, at most {MOST_ACTOR} characters")
        return who


class Variables(EnvSettingsSource):
    """A mapping in the place of the environment: whoever reads it has decided which keys go with which address."""

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str]) -> None:
        self._variables = variables
        super().__init__(settings_cls, case_sensitive=True, env_ignore_empty=True)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return parse_env_vars(self._variables, case_sensitive=True, ignore_empty=True)
