"""What Prefect can start: forms that check what they are given, queues in their order, and templates of pools."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import kubernetes_validate
import pytest
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import parameter_schema
from prefect.utilities.templating import apply_values

from expunge.flows.remote.deploy import DEPLOYMENTS, TAKEDOWN
from expunge.flows.remote.forms import publish_request, submit_policy
from expunge.flows.remote.queues import CHECKS, GPU, LIGHT, QUEUES, URGENT, Place, before
from expunge.flows.reverify import reverify_due
from expunge.tasks.core.errors import UsageError


def test_the_form_asks_for_the_text_of_a_policy_and_for_who_asks() -> None:
    shown = parameter_schema(submit_policy).model_dump_for_openapi()
    assert shown["required"] == ["policy", "who"]
    assert [shown["properties"][name]["type"] for name in ("policy", "who")] == ["string", "string"]
    assert "The text of a policy file" in shown["properties"]["policy"]["description"]
    for one in DEPLOYMENTS:
        form = parameter_schema(one.flow).model_dump_for_openapi()["properties"]
        assert all(field["description"] for field in form.values()), "each field says what it wants"


@pytest.mark.parametrize("who", [{}, {"who": ""}, {"who": "x" * 201}, {"who": None}])
def test_attack_a_form_without_a_name_would_let_whoever_asks_approve(who: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError):
        submit_policy.validate_parameters({"policy": "text", **who})


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 65, "a;b"])
def test_attack_a_request_of_the_form_is_no_path_and_no_command(name: str) -> None:
    with pytest.raises(ParameterTypeError):
        publish_request.validate_parameters({"request_id": name, "who": "me"})
    with pytest.raises(ParameterTypeError):
        reverify_due.validate_parameters({"line": name or "/"})


def test_urgent_takedowns_go_before_takedowns_and_these_before_checks() -> None:
    assert list(QUEUES) == [URGENT, GPU, CHECKS, LIGHT]
    assert (before(CHECKS), before(GPU), before(URGENT)) == ([URGENT, GPU], [URGENT], [])
    assert before(LIGHT) == before("another") == [], "they take other machines, or nobody knows"
    assert {one.queue for one in DEPLOYMENTS} <= set(QUEUES)
    assert TAKEDOWN.queue == GPU


def filled(place: Place, **chosen: Any) -> dict[str, Any]:
    """The job of a pool as a worker makes it: defaults, then what a deployment chooses."""
    template = place.template()
    defaults = {name: one["default"] for name, one in template["variables"]["properties"].items() if "default" in one}
    known = {**defaults, "command": ["prefect", "flow-run", "execute"], "name": "a-run", "labels": {"a": "b"}, **chosen}
    known["env"] = [{"name": name, "value": value} for name, value in known["env"].items()]
    return apply_values(template["job_configuration"], known)


@pytest.mark.parametrize("gpus", ["1", "0"])
def test_the_job_of_a_kubernetes_pool_is_valid_and_has_no_secret_in_it(gpus: str) -> None:
    place = Place("kubernetes", image="registry.example.org/expunge:1", secret="keys", volume="home")
    job = filled(place, gpus=gpus)["job_manifest"]
    for wrong in ("parallelism", "completions"):  # where Prefect's own template has them
        job["spec"]["template"]["spec"].pop(wrong, None)
    kubernetes_validate.validate(job, "1.33", strict=True)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.org/expunge:1"
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus
    assert {entry["name"] for entry in container["env"]} == {"EXPUNGE_HOME"}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert job["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "home"}


@pytest.mark.parametrize(("package", "kind"), [("prefect-docker", "docker"), ("prefect-kubernetes", "kubernetes")])
def test_a_template_says_nothing_that_the_worker_of_its_pool_does_not_know(package: str, kind: Any) -> None:
    """Held against the templates that Prefect ships for those workers."""
    known = files("prefect.server.api") / "collections_data/views/aggregate-worker-metadata.json"
    theirs = json.loads(known.read_text())[package][kind]["default_base_job_configuration"]["job_configuration"]
    ours = Place(kind, image="expunge:1").template()["job_configuration"]
    assert ours.keys() <= theirs.keys()
    assert {"command", "env", "labels", "name"} <= ours.keys()


def test_a_docker_pool_gets_what_opens_the_servers_from_secret_blocks_alone() -> None:
    variables = Place("docker", image="expunge:1", volume="mine").template()["variables"]["properties"]
    values = {name: value for name, value in variables["env"]["default"].items() if name != "EXPUNGE_HOME"}
    assert values
    assert all(value.startswith("{{ prefect.blocks.secret.") for value in values.values())
    assert (variables["image"]["default"], variables["volume"]["default"]) == ("expunge:1", "mine")


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_a_pool_of_containers_needs_an_image(kind: Any) -> None:
    with pytest.raises(UsageError, match="--image"):
        Place(kind).template()
