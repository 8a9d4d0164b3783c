"""The connection to MLflow: refuse one that does not open, with the cure."""

from __future__ import annotations

from expunge.tasks.core.connection import SECONDS, describe_error, without_password
from expunge.tasks.core.errors import ServiceUnreachable

MLFLOW = "`make up`, or set MLFLOW_TRACKING_URI, and MLFLOW_TRACKING_USERNAME and _PASSWORD or _TOKEN if it wants them"


def ask_mlflow(url: str) -> None:
    """Refuse to go on unless MLflow lets its own client in within seconds; the client's retries would take minutes.

    Raises:
        ServiceUnreachable: it does not; the error has the cure.
    """
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    ask = "/api/2.0/mlflow/experiments/search"
    try:
        answer = http_request(
            get_default_host_creds(url), ask, "GET", max_retries=0, timeout=SECONDS, params={"max_results": 1}
        )
        verify_rest_response(answer, ask)
    except Exception as error:  # the library raises every kind there is
        raise ServiceUnreachable(
            f"MLflow at {without_password(url)} does not let us in ({describe_error(error, url)}): {MLFLOW}"
        ) from None
