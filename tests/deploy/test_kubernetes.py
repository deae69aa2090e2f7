"""deploy/kubernetes as kustomize puts it together, against Kubernetes' schemas and against this release."""

import copy
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate.utils import ValidationError, validate

from changeover import exits
from changeover.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
RELEASES = ("1.29", "1.31", "1.33", "1.35", "1.37")
"""What managed clusters run now, the oldest and the newest among them."""

SECRETS, SETTINGS = "/run/secrets/changeover", "/etc/changeover/changeover.toml"
A_YEAR_S = 365 * 86_400

Object = dict[str, Any]


@pytest.fixture(scope="module", params=["base", "overlays/production"])
def objects(request: pytest.FixtureRequest) -> list[Object]:
    kustomize = subprocess.run(
        [ROOT / "scripts/need", "kustomize"], check=True, capture_output=True, text=True
    ).stdout.strip()
    built = subprocess.run([kustomize, "build", FOLDER / request.param], check=True, capture_output=True)
    return list(yaml.safe_load_all(built.stdout))


@pytest.fixture(scope="module")
def settings(objects: list[Object], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    (found,) = (one["data"] for one in objects if one["kind"] == "ConfigMap")
    file = tmp_path_factory.mktemp("settings") / "changeover.toml"
    file.write_text(found[file.name])
    return Settings.load(file)


# -- Kubernetes' own schemas -----------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
def test_every_object_is_one_of_this_release_of_kubernetes(objects: list[Object], release: str) -> None:
    assert {one["kind"] for one in objects} >= {"Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget"}
    for one in objects:
        validate(one, release, strict=True)  # raises what is wrong


FAULTS: dict[str, Callable[[Object], object]] = {
    "a number in words": lambda one: one["spec"].update(replicas="two"),
    "a name that there is not": lambda one: pod(one)["containers"][0].update(readinesProbe={}),
    "a field in the wrong place": lambda one: pod(one).update(capabilities={"drop": ["ALL"]}),
    "a field that is missing": lambda one: one["spec"].pop("selector"),
}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_an_object_is_found(objects: list[Object], release: str, fault: str) -> None:
    faulty = copy.deepcopy(named(objects, "changeover-apply", "Deployment"))
    FAULTS[fault](faulty)
    assert not is_valid(faulty, release)


# -- what a restricted namespace asks for, and we --------------------------------------------------------


def test_no_container_has_rights_or_a_root_that_it_can_write(objects: list[Object]) -> None:
    assert len(workloads_of(objects)) == 5
    for one in workloads_of(objects):
        spec = pod(one)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*spec["containers"], *spec.get("initContainers", ())]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} == set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            assert SECRETS in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_a_part_has_as_long_for_its_end_as_under_systemd(objects: list[Object]) -> None:
    unit = (ROOT / "deploy/systemd/changeover-apply@.service").read_text()
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert {pod(one)["terminationGracePeriodSeconds"] for one in workloads_of(objects)} == {int(stop_s)}


def test_the_user_is_the_one_of_the_image(objects: list[Object]) -> None:
    image = (ROOT / "deploy/Dockerfile").read_text()
    for one in workloads_of(objects):
        context = pod(one)["securityContext"]
        assert f"\nUSER {context['runAsUser']}:{context['runAsGroup']}\n" in image


def test_no_secret_is_in_the_files_and_each_comes_as_a_file(
    objects: list[Object], settings: Settings
) -> None:
    assert not [one for one in objects if one["kind"] == "Secret"]
    named_files = [
        settings.source.password_file,
        settings.source.ca_file,
        settings.log.password_file,
        settings.target.password_file,
        settings.target.ca_file,
        settings.page.token_file,
    ]
    assert all(file and str(file.parent) == SECRETS for file in named_files)
    shown = (ROOT / "docs/kubernetes.md").read_text()
    assert all(file and f"--from-file={file.name}" in shown for file in named_files)


def test_every_link_of_it_has_tls(settings: Settings) -> None:
    assert settings.source.needs_tls
    assert not settings.log.allow_plain_text
    assert not settings.target.allow_plain_text


def test_pods_are_reached_at_their_pages_by_prometheus_alone_and_reach_no_more_than_they_need(
    objects: list[Object], settings: Settings
) -> None:
    policy = named(objects, "changeover", "NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "changeover"}}
    ((inward,),) = (rule["ports"] for rule in policy["ingress"])
    assert all(rule["from"] for rule in policy["ingress"])
    for port in ports_of(objects).values():
        assert inward["port"] <= port <= inward["endPort"]
    outward = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    kafka = {int(server.rpartition(":")[2]) for server in (settings.log.servers or "").split(",")}
    assert outward == {53, settings.source.port, *kafka, *(port or 8087 for _, port in settings.target.nodes)}


# -- this release ----------------------------------------------------------------------------------------


def test_every_part_runs_a_command_that_there_is_with_these_settings(objects: list[Object]) -> None:
    for one in workloads_of(objects):
        container = pod(one)["containers"][0]
        if "command" in container:  # of the image itself, in a shell
            commands = [line.split() for line in container["args"][0].splitlines()]
        else:
            commands = [container["args"]]
        for module, *asked in commands:
            assert asked[asked.index("--config") + 1] == SETTINGS
            help_of = [*asked[: asked.index("--config")], "--help"]
            said = subprocess.run(
                [sys.executable, "-P", "-m", module, *help_of], capture_output=True, text=True, check=False
            )
            assert said.returncode == 0
            options = [word for word in asked if word.startswith("--")]
            assert all(option in said.stdout for option in options)


def test_the_probes_ask_where_the_part_answers(objects: list[Object], settings: Settings) -> None:
    members = {"capture": "capture", "apply": "apply", "snapshot": "snapshot", "page": "serve"}
    assert ports_of(objects) == {name: settings.metrics.port(part) for name, part in members.items()}
    for one in workloads_of(objects):
        container = pod(one)["containers"][0]
        if container["name"] == "prepare":
            continue
        asked = {
            name: (container[name]["httpGet"]["path"], container[name]["httpGet"]["port"])
            for name in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        assert asked == {
            "startupProbe": ("/healthz", "metrics"),
            "livenessProbe": ("/healthz", "metrics"),
            "readinessProbe": ("/readyz", "metrics"),
        }
        scraped = one["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"]
        assert scraped == str(ports_of(objects)[container["name"]])


def test_a_part_that_has_stopped_loudly_is_not_started_again_in_a_loop(
    objects: list[Object], settings: Settings
) -> None:
    """It stays, and says why; only a Job may end."""
    assert settings.metrics.hold_stop_s >= A_YEAR_S
    jobs = [one for one in objects if one["kind"] == "Job"]
    assert len(jobs) == 2
    for job in jobs:
        rules = job["spec"]["podFailurePolicy"]["rules"]
        ((statuses,),) = ([rule["onExitCodes"]["values"]] for rule in rules if rule["action"] == "FailJob")
        assert {exits.USAGE, exits.STOPPED} <= set(statuses)
        assert exits.UNAVAILABLE not in statuses
        assert pod(job)["restartPolicy"] == "Never"


def test_one_capture_at_a_time_and_consumers_no_more_than_partitions(
    objects: list[Object], settings: Settings
) -> None:
    capture = named(objects, "changeover-capture", "Deployment")["spec"]
    assert (capture["replicas"], capture["strategy"]) == (1, {"type": "Recreate"})
    consumers = named(objects, "changeover-apply", "Deployment")["spec"]["replicas"]
    assert 1 < consumers <= settings.log.partitions
    budget = named(objects, "changeover-apply", "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] < consumers


def test_the_versions_of_image_and_package_are_one(objects: list[Object]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {pod(one)["containers"][0]["image"] for one in workloads_of(objects)}
    assert len(images) == 1
    assert re.fullmatch(rf"(.+/)?changeover:{re.escape(version)}", images.pop())


# -- what serves the tests -------------------------------------------------------------------------------


def is_valid(one: Object, release: str) -> bool:
    """Whether the release's schema, strict about names, has nothing against the object."""
    try:
        validate(one, release, strict=True)
    except ValidationError:
        return False
    return True


def pod(one: Object) -> Object:
    """The specification of the object's pods."""
    found: Object = one["spec"]["template"]["spec"]
    return found


def workloads_of(objects: list[Object]) -> list[Object]:
    return [one for one in objects if one["kind"] in {"Deployment", "Job"}]


def named(objects: list[Object], name: str, kind: str) -> Object:
    (found,) = (one for one in objects if (one["metadata"]["name"], one["kind"]) == (name, kind))
    return found


def ports_of(objects: list[Object]) -> dict[str, int]:
    """The port of each part's pages."""
    return {
        container["name"]: port["containerPort"]
        for one in workloads_of(objects)
        for container in pod(one)["containers"]
        for port in container.get("ports", ())
        if port["name"] == "metrics"
    }
