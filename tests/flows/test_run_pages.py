"""What people see on Prefect's pages of a takedown, a check and a restoration: verdict, pictures and progress."""

from __future__ import annotations

import base64
import io

from PIL import Image
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter
from prefect.client.schemas.objects import Artifact

from expunge.flows.reverify import reverify
from expunge.tasks.core.settings import Settings
from expunge.tasks.preflight import prefect_staying
from expunge.tasks.tracking.abandoned_runs import mark_of
from tests.flows.conftest import submitted, withdrawal


def shown(line: Settings, name: str, flow: str) -> dict[str, Artifact]:
    """The artifacts of the line's last run of a flow, by kind: verdict, pictures and progress."""
    runs = FlowRunFilter.model_validate({"tags": {"all_": [mark_of(name, line.home), flow]}})
    with get_client(sync_client=True) as client:
        last = max(client.read_flow_runs(flow_run_filter=runs), key=lambda run: str(run.start_time))
        only = ArtifactFilter.model_validate({"flow_run_id": {"any_": [last.id]}})
        return {str(each.key).partition("-")[0]: each for each in client.read_artifacts(artifact_filter=only)}


def test_each_run_shows_verdict_pictures_and_progress(untouched: Settings, name: str) -> None:
    with prefect_staying(untouched.prefect_api_url):
        reverify(name, untouched.home)
    for flow in ("takedown", "reverify"):
        found = shown(untouched, name, flow)
        assert found.keys() == {"verdict", "pictures", "progress"}, flow
        assert str(found["verdict"].data).startswith("# PASS: checked")
        assert "| bicycle | erased |" in str(found["verdict"].data)
        assert found["progress"].data == 100.0
        kind, _, content = str(found["pictures"].data).partition(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            assert picture.width > 100
    submitted(untouched, withdrawal(untouched.home.parent / "checked.yaml", "away", "checked"))
    restored = shown(untouched, name, "takedown")
    assert str(restored["verdict"].data).startswith("# The base, as it was: away")
    assert "pictures" not in restored
    with prefect_staying(untouched.prefect_api_url):
        reverify(name, untouched.home)
    looked_at = shown(untouched, name, "reverify")
    assert str(looked_at["verdict"].data).startswith(f"# The base, as it was: {name}")
    assert looked_at["progress"].data == 100.0
