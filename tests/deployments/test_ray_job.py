"""The RayJob of the chart: its pods are as strictly held as all others, and only they reach each other."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
from helm_python import HelmError

from tests.deployments.test_chart import KUBERNETES, VALUES, merged, rendered
from tests.deployments.variables import unknown

POLICY = {"name": "demo", "key": "demo.yaml"}
SPEC = {
    "entrypoint", "submissionMode", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit",
    "rayClusterSpec",
}  # fmt: skip
GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def with_job(**changes: Any) -> list[dict[str, Any]]:
    return rendered(merged(rayJob={"enabled": True, "policy": POLICY, **changes}))


def job(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = (one for one in objects if one["kind"] == "RayJob")
    return found


def templates(one: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    (workers,) = one["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    return one["spec"]["rayClusterSpec"]["headGroupSpec"]["template"], workers["template"]


def environment(template: dict[str, Any]) -> dict[str, Any]:
    (container,) = template["spec"]["containers"]
    return {one["name"]: one.get("value") for one in container["env"]}


def test_there_is_none_unless_it_is_asked_for() -> None:
    assert not any(one["kind"] == "RayJob" for one in rendered(VALUES))


def test_it_has_the_fields_that_kuberay_knows_and_no_other() -> None:
    found = job(with_job())
    assert (found["apiVersion"], set(found["spec"])) == ("ray.io/v1", SPEC)
    cluster = found["spec"]["rayClusterSpec"]
    assert set(cluster) == {"authOptions", "headGroupSpec", "workerGroupSpecs"}
    assert set(cluster["headGroupSpec"]) == {"rayStartParams", "template"}
    assert set(cluster["workerGroupSpecs"][0]) == GROUP
    values = [value for group in cluster["workerGroupSpecs"] for value in group["rayStartParams"].values()]
    assert all(isinstance(value, str) for value in [*cluster["headGroupSpec"]["rayStartParams"].values(), *values])


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_its_pods_and_its_network_policy(version: str) -> None:
    objects = with_job()
    for template in templates(job(objects)):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **template["metadata"]}}
        kubernetes_validate.validate({**pod, "spec": template["spec"]}, version, strict=True)
    for one in objects:
        if one["kind"] != "RayJob":
            kubernetes_validate.validate(one, version, strict=True)


def test_its_pods_are_without_rights_and_those_that_draw_have_no_key_that_signs() -> None:
    head, worker = templates(job(with_job()))
    for template in (head, worker):
        spec, (container,) = template["spec"], template["spec"]["containers"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
        assert unknown(set(environment(template)) - {"RAY_USAGE_STATS_ENABLED"}) == set()
    assert "EXPUNGE_SIGNING_KEY" in environment(head)
    assert "EXPUNGE_SIGNING_KEY" not in environment(worker)
    assert not any("secret" in volume for volume in worker["spec"]["volumes"])


def test_there_is_an_actor_for_each_gpu() -> None:
    head, worker = templates(job(with_job(machines=3, gpus=8)))
    assert (environment(head)["EXPUNGE_WORKERS"], environment(head)["EXPUNGE_CREW_DEVICE"]) == ("24", "cuda")
    assert worker["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "8"
    head, worker = templates(job(with_job(machines=3, gpus=0)))
    assert (environment(head)["EXPUNGE_WORKERS"], environment(head)["EXPUNGE_CREW_DEVICE"]) == ("3", "cpu")
    assert "nvidia.com/gpu" not in worker["spec"]["containers"][0]["resources"]["limits"]


def test_who_reaches_its_pods_can_run_anything_so_only_they_and_the_operator_do() -> None:
    objects = with_job(operatorNamespace="rays")
    (policy,) = (one for one in objects if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "r-ray")
    labels = policy["spec"]["podSelector"]["matchLabels"]
    assert all(labels.items() <= template["metadata"]["labels"].items() for template in templates(job(objects)))
    own, operator = policy["spec"]["ingress"]
    assert own == {"from": [{"podSelector": {"matchLabels": labels}}]}
    assert [port["port"] for port in operator["ports"]] == [8265]
    assert operator["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "rays"}}}]
    assert job(objects)["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


WRONG = {
    "no policy": {"policy": {"name": "", "key": "demo.yaml"}},
    "a policy that is a command": {"policy": {"name": "demo", "key": "demo.yaml; reboot"}},
    "no machine": {"machines": 0},
    "a misspelt value": {"gpu": 1},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_wrong_values_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(HelmError):
        with_job(**changes)
