"""The chart, rendered as Helm renders it: strict to the schemas of Kubernetes, and to who would break in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python import Chart, HelmError, lint

from expunge.flows.remote.deploy import DEPLOYMENTS
from expunge.flows.remote.queues import POOL, QUEUES
from expunge.tasks.core.settings import PASSWORDS
from tests.deployments.variables import unknown

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deployments" / "chart"
KUBERNETES = ("1.29.0", "1.33.0", "1.37.0")
VALUES: dict[str, Any] = {
    "image": {"name": "registry/expunge:0.20.0"},
    "actor": "ops@example.org",
    "servers": {"prefect": "http://prefect:4200/api", "mlflow": "http://mlflow:5000", "s3": "https://s3.example.org"},
}


def merged(**changes: Any) -> dict[str, Any]:
    return {**VALUES, **changes}


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    with Chart.load(CHART) as chart:
        chart.validate_schema(values)
        manifests = chart.render(values, name="r", namespace="expunge")
    texts = (text for path, text in manifests.items() if not path.endswith((".txt", ".tpl")))
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    return rendered(VALUES)


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in objects:
        if one["kind"] in ("Deployment", "Job"):
            yield one["metadata"]["name"], one["spec"]["template"]


def worker(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return dict(pods(objects))[f"r-{name}"]["spec"]


def test_helm_finds_nothing_to_say() -> None:
    report = lint(CHART, VALUES, strict=True)
    assert report["total_charts_linted"] == 1
    assert report["errors"] == []
    assert [one for one in report["messages"] if one["severity"] > 1] == []


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_every_object(objects: list[dict[str, Any]], version: str) -> None:
    kinds = {one["kind"] for one in objects}
    assert kinds >= {"Deployment", "Job", "NetworkPolicy", "PersistentVolumeClaim", "ServiceAccount"}
    for one in objects:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_check_of_objects_is_strict(objects: list[dict[str, Any]]) -> None:
    (job,) = (one for one in objects if one["kind"] == "Job")
    wrong = {**job, "spec": {**job["spec"], "backofLimit": 5}}
    with pytest.raises(kubernetes_validate.ValidationError, match="backofLimit"):
        kubernetes_validate.validate(wrong, KUBERNETES[-1], strict=True)


def test_every_pod_is_without_rights(objects: list[dict[str, Any]]) -> None:
    found = dict(pods(objects))
    assert set(found) == {"r-gpu", "r-cpu", "r-setup"}
    for template in found.values():
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert not any("hostPath" in volume for volume in spec["volumes"])
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}


def test_the_gpu_queue_has_gpus_and_the_other_none(objects: list[dict[str, Any]]) -> None:
    gpu, cpu = worker(objects, "gpu"), worker(objects, "cpu")
    assert gpu["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "--work-queue=gpu" in gpu["containers"][0]["args"]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in gpu["tolerations"]
    assert "nvidia.com/gpu" not in cpu["containers"][0]["resources"]["limits"]
    devices = [
        {e["name"]: e.get("value") for e in spec["containers"][0]["env"]}["EXPUNGE_DEVICE"] for spec in (gpu, cpu)
    ]
    assert devices == ["cuda", "cpu"]
    chosen = rendered(merged(queues={"gpu": {"nodeSelector": {"gpu": "h100"}}}))
    assert worker(chosen, "gpu")["nodeSelector"] == {"gpu": "h100"}


def test_each_queue_that_a_deployment_waits_in_is_taken_by_a_worker(objects: list[dict[str, Any]]) -> None:
    used = {(POOL, queue) for queue in QUEUES}
    taken = set()
    for name in ("gpu", "cpu"):
        args = [word.partition("=")[::2] for word in worker(objects, name)["containers"][0]["args"]]
        taken |= {(dict(args)["--pool"], value) for option, value in args if option == "--work-queue"}
    assert {one.queue for one in DEPLOYMENTS} <= set(QUEUES)
    assert used <= taken


def test_the_setup_brings_tables_and_schedule_up_to_date_before_newer_workers_start(
    objects: list[dict[str, Any]],
) -> None:
    (job,) = (one for one in objects if one["kind"] == "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["containers"][0]["command"][2] == "expunge.deployments.containers.setup"
    assert [one.name for one in DEPLOYMENTS if one.nightly] == ["daily"]


def test_nobody_reaches_a_worker_and_it_reaches_what_is_named_alone(objects: list[dict[str, Any]]) -> None:
    (policy,) = (one for one in objects if one["kind"] == "NetworkPolicy")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["ingress"] == []
    labels = policy["spec"]["podSelector"]["matchLabels"].items()
    assert all(labels <= template["metadata"]["labels"].items() for _, template in pods(objects))
    peer = {"ipBlock": {"cidr": "203.0.113.7/32"}}
    narrow = rendered(merged(networkPolicy={"egress": [{"ports": [443], "to": [peer]}]}))
    (policy,) = (one for one in narrow if one["kind"] == "NetworkPolicy")
    dns, rule = policy["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert rule == {"ports": [{"port": 443, "protocol": "TCP"}], "to": [peer]}


def test_secrets_come_by_reference(objects: list[dict[str, Any]]) -> None:
    assert not any(one["kind"] in ("Secret", "ConfigMap") for one in objects)
    for _, template in pods(objects):
        (container,) = template["spec"]["containers"]
        referred = {one["name"] for one in container["env"] if "valueFrom" in one}
        assert referred >= {"EXPUNGE_DATABASE", "PREFECT_API_AUTH_STRING", "AWS_SECRET_ACCESS_KEY"}
        assert all("secretKeyRef" in one["valueFrom"] for one in container["env"] if "valueFrom" in one)


def test_every_variable_is_one_that_is_read(objects: list[dict[str, Any]]) -> None:
    names = {one["name"] for _, template in pods(objects) for one in template["spec"]["containers"][0]["env"]}
    allowed = set(
        json.loads((CHART / "values.schema.json").read_text())["properties"]["secrets"]["propertyNames"]["enum"]
    )
    assert unknown(names | allowed) == set()
    assert set(PASSWORDS) <= allowed


def test_a_disruption_takes_one_of_several_workers_and_never_blocks_the_only_one(objects: list[dict[str, Any]]) -> None:
    assert not any(one["kind"] == "PodDisruptionBudget" for one in objects)
    many = rendered(merged(queues={"gpu": {"replicas": 3}}))
    (budget,) = (one for one in many if one["kind"] == "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    (pod,) = (t for name, t in pods(many) if name == "r-gpu")
    assert budget["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    for version in KUBERNETES:
        kubernetes_validate.validate(budget, version, strict=True)


WRONG = {
    "no image": merged(image={"name": ""}),
    "an image whose content may change": merged(image={"name": "registry/expunge:latest"}),
    "nobody who answers": merged(actor=""),
    "a password in an address": merged(servers={**VALUES["servers"], "mlflow": "http://me:secret@mlflow:5000"}),
    "an address of Prefect's page": merged(servers={**VALUES["servers"], "prefect": "http://prefect:4200"}),
    "a password as a value": merged(secrets={"PREFECT_API_AUTH_STRING": "expunge:secret"}),
    "a variable that changes what runs": merged(secrets={"LD_PRELOAD": {"name": "a", "key": "b"}}),
    "no database": merged(secrets={"EXPUNGE_DATABASE": None}),
    "a misspelt value": merged(queus={}),
    "a misspelt value of a queue": merged(queues={"gpu": {"replica": 2}}),
    "a negative number": merged(queues={"gpu": {"replicas": -1}}),
    "two workers on a home for one": merged(home={"accessMode": "ReadWriteOnce"}),
    "a network policy that lets everything out": merged(networkPolicy={"egress": []}),
}


@pytest.mark.parametrize("values", WRONG.values(), ids=WRONG)
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(HelmError):
        rendered(values)


def test_versions_are_those_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = next(
        line.split('"')[1] for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("version")
    )
    assert (chart["version"], chart["appVersion"]) == (version, version)
