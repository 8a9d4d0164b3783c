"""MLflow's registry: of each line one registered model, whose version with the alias `approved` is what is served."""

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from expunge.tasks.core.settings import Settings
from expunge.tasks.tracking.runs import NOTE, reaching, shortened

BUNDLE_TAG = "expunge.bundle"
LONGEST_DESCRIPTION = 5000  # MLflow's own column of it
ALIAS = "approved"
NO_ALIAS = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def register(settings: Settings, uri: str, run_id: str, line: str, digest: str) -> str:
    """Enter the published bundle as a version of the line's registered model and alias it `approved`.

    Returns the version; the same bundle keeps its version. The source is the bundle's own S3 URI. A new version has
    the description of its run.
    """
    name = model_name(settings, line)
    with reaching(settings) as client:
        _unapprove(client, line, settings)
        _ensure_model(client, name)
        found = [one for one in client.search_model_versions(f"name = '{name}'") if one.source == uri]
        made = found[0] if found else _new_version(client, name, uri, run_id, digest)
        client.set_registered_model_alias(name, ALIAS, str(made.version))
        return str(made.version)


def withdraw(settings: Settings, line: str) -> None:
    """Take the alias `approved` from whatever version of the line has it; none is fine."""
    with reaching(settings) as client:
        for name in (model_name(settings, line), line):
            _unapprove(client, name, settings)


def model_name(settings: Settings, line: str) -> str:
    """Return a line's registered model: that of its bucket, for installations on one base may share a server."""
    return f"{settings.bucket}.{line}"


def is_registered(settings: Settings, line: str, uri: str) -> bool:
    """Return whether the registry's approved version of the line is the bundle that lies there."""
    with reaching(settings) as client:
        version = _approved(client, model_name(settings, line))
        return version is not None and version.source == uri


def _unapprove(client: MlflowClient, name: str, settings: Settings) -> None:
    """Take the alias from a model if it is of our bucket: before version 0.6.0 a line's had no bucket in its name."""
    version = _approved(client, name)
    if version is not None and str(version.source).startswith(f"s3://{settings.bucket}/"):
        client.delete_registered_model_alias(name, ALIAS)


def _approved(client: MlflowClient, name: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code not in NO_ALIAS:
            raise
        return None


def _new_version(client: MlflowClient, name: str, uri: str, run_id: str, digest: str) -> ModelVersion:
    description = shortened(client.get_run(run_id).data.tags.get(NOTE, ""), LONGEST_DESCRIPTION)
    return client.create_model_version(name, uri, run_id, tags={BUNDLE_TAG: digest}, description=description)


def _ensure_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name, description="Approved bundles of a model line, by bucket and line")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
