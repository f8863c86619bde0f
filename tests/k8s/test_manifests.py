"""What the manifests promise, held against every overlay as Kustomize renders it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.k8s import pods
from tests.k8s.checks import (
    agents,
    api,
    lifecycle,
    monitoring,
    references,
    schema,
    security,
    sizes,
)
from tests.k8s.rendering import BASE, COMPONENTS, K8S, OVERLAYS, combine, render

if TYPE_CHECKING:
    from pathlib import Path

ALL = (BASE, *OVERLAYS)
SIGNING = ("signing", "signing-populate")
every_overlay = pytest.mark.parametrize("overlay", ALL)


@every_overlay
@pytest.mark.parametrize("version", schema.NATIVE_SIDECARS)
def test_kubernetes_knows_every_field(overlay: str, version: str) -> None:
    """No field is misspelt, misplaced or of another type, from 1.29 to the newest there is."""
    assert schema.invalid(render(overlay), version) == []


def test_an_older_cluster_knows_the_plain_sidecar() -> None:
    """The overlay for clusters without native sidecars is valid on one."""
    assert schema.invalid(render("plain-sidecar"), "1.28") == []


@every_overlay
def test_kubernetes_knows_every_word(overlay: str) -> None:
    """Policies, protocols and the like have values that exist, which the schemas do not check."""
    assert schema.wrong_words(render(overlay)) == []


@every_overlay
def test_every_name_leads_somewhere(overlay: str) -> None:
    """Volumes, ConfigMaps, claims, accounts, ports and selectors resolve; claims fit volumes."""
    docs = render(overlay)
    # Only the Job alone counts on something that is there: the share's claim.
    alone = overlay in {"populate", "populate-signing", "rollback"}
    cluster = pods.of_kind(render(BASE), "PersistentVolumeClaim") if alone else []
    assert references.broken(docs, cluster) == []


@every_overlay
def test_the_agent_takes_every_command_flag_and_setting(overlay: str) -> None:
    """Each container of the agent would start: its own parser reads what it is given."""
    assert agents.unfit(render(overlay)) == []


@every_overlay
def test_the_worker_takes_its_flags_and_meets_the_agent(overlay: str) -> None:
    """Store, admin port, device and model are the same on both sides; the store is read-only."""
    assert agents.unfit_workers(render(overlay)) == []


@every_overlay
def test_pod_security_restricted_admits_every_pod(overlay: str) -> None:
    """Only the store at a path of the node asks for an exemption, and for nothing but that."""
    faults = security.refused(render(overlay))
    exempt = overlay == "store-node"
    assert [fault for fault in faults if not (exempt and fault.endswith(security.HOST_PATH))] == []
    assert bool(faults) == exempt


@every_overlay
def test_our_own_rules_are_kept(overlay: str) -> None:
    """One user and group, no token, read-only root, memory limits, last words: in every pod."""
    assert security.lax(render(overlay)) == []


@every_overlay
def test_only_who_tells_kubernetes_may_talk_to_it(overlay: str) -> None:
    """The sidecar of `events` has a token, its pod's name and just the rights; nobody else any."""
    docs = render(overlay)
    assert api.faults(docs) == []
    assert bool(pods.of_kind(docs, "Role")) == (overlay == "events")


@every_overlay
def test_the_store_has_room_for_a_bump(overlay: str) -> None:
    """It holds keep + 1 releases and 20 %, and the agent stops before the kubelet evicts."""
    assert sizes.too_small(render(overlay)) == []


@every_overlay
def test_pods_start_roll_and_end_in_order(overlay: str) -> None:
    """Init, sidecar, worker; all stay ready in a roll-out; the worker drains before the end."""
    docs = render(overlay)
    native, surge = overlay != "plain-sidecar", overlay != "store-node"
    assert lifecycle.disorder(docs, native=native, surge=surge) == []


@every_overlay
def test_images_are_those_of_make_images(overlay: str) -> None:
    """No manifest names a registry; all images are of one variant, under the tags made here."""
    ours = [
        each["image"]
        for doc in pods.workloads(render(overlay))
        for each in pods.containers(doc)
        if agents.is_agent(each) or agents.is_ours(each)
    ]
    assert {image.partition(":")[2] for image in ours} in ({"gpu"}, {"cpu"})


def test_a_gpu_is_never_asked_for_on_cpu_nodes() -> None:
    """The overlay for CPU nodes neither asks for a GPU nor tolerates their taint."""
    docs = render("cpu")
    assert "nvidia" not in str(docs)
    assert "cuda" not in str(docs)


def test_the_mount_options_are_those_that_were_measured() -> None:
    """SMB is mounted as docs/kubernetes.md says why; files are the pods' user's."""
    volume = pods.named(render("azure-smb"), "PersistentVolume", "ml-models")
    assert volume
    assert {"actimeo=30", "mfsymlinks", "nobrl", "cache=strict", "nosharesock"} < set(
        volume["spec"]["mountOptions"]
    )
    assert {f"uid={security.UID}", f"gid={security.UID}"} < set(volume["spec"]["mountOptions"])


@pytest.mark.parametrize("overlay", ["azure-rest", "azure-key"])
def test_nothing_is_mounted_over_rest(overlay: str) -> None:
    """No volume, no claim, and no driver is needed."""
    docs = render(overlay)
    assert pods.of_kind(docs, "PersistentVolume", "PersistentVolumeClaim") == []
    assert (
        pods.mounts(pods.container(pods.deployment(docs), "model-agent"))
        .keys()
        .isdisjoint({"/mnt/share"})
    )


@pytest.mark.parametrize("overlay", ["azure-rest", "populate-rest"])
def test_a_workload_identity_reaches_its_pods_only(overlay: str) -> None:
    """Pods with the webhook's label have an account with the annotation; the worker gets none."""
    docs = render(overlay)
    for doc in pods.workloads(docs):
        assert pods.pod_labels(doc)["azure.workload.identity/use"] == "true"
        account = pods.named(docs, "ServiceAccount", pods.pod(doc)["serviceAccountName"])
        assert account
        assert "azure.workload.identity/client-id" in account["metadata"]["annotations"]
    if pods.of_kind(docs, "Deployment"):
        annotations = pods.deployment(docs)["spec"]["template"]["metadata"]["annotations"]
        assert annotations["azure.workload.identity/skip-containers"] == pods.WORKER


@pytest.mark.parametrize("overlay", [name for name in ALL if name != "azure-rest"])
def test_no_other_pod_gets_a_token(overlay: str) -> None:
    """Only where the share is read as an identity does the webhook act."""
    if overlay != "populate-rest":
        assert "azure.workload.identity/use" not in str(pods.workloads(render(overlay)))


@pytest.mark.parametrize("overlay", ["cpu", "populate", "populate-rest", "populate-signing"])
def test_the_job_promotes_what_it_publishes(overlay: str) -> None:
    """Its two containers mean the catalog's version, and only this Job may write to the share."""
    docs = render(overlay)
    job = pods.of_kind(docs, "Job")[0]
    publish, promote = pods.containers(job)
    version = agents.catalog_of(docs, job, publish).version
    assert pods.arguments(docs, publish) == ["model-agent", "publish"]
    assert pods.arguments(docs, promote) == ["model-agent", "promote", version]


def test_the_job_alone_has_the_settings_of_the_pods() -> None:
    """`populate` and the base have the very same ConfigMaps, so applying one changes no other."""
    configs = pods.of_kind(render("populate"), "ConfigMap")
    assert configs
    assert all(config in render(BASE) for config in configs)


@every_overlay
def test_a_setting_rolls_the_pods_and_a_release_does_not(overlay: str) -> None:
    """The settings' name changes with them; the catalog's stays, so that a bump is a hot reload."""
    names = {doc["metadata"]["name"] for doc in pods.of_kind(render(overlay), "ConfigMap")}
    assert "model-agent-catalog" in names
    assert "model-agent-settings" not in names


def test_the_signal_overlay_shares_processes_and_the_user() -> None:
    """The sidecar sees the worker's process and may signal it; it asks it at its own listener."""
    docs = render("reload-signal")
    own = agents.settings_of(docs, pods.container(pods.deployment(docs), "model-agent"))
    assert own.reload_method == "signal"
    assert own.reload_process == "app.py"
    assert pods.pod(pods.deployment(docs))["shareProcessNamespace"] is True


def test_every_container_of_the_agent_goes_by_the_key() -> None:
    """Only the container that publishes has the private one; a new public one rolls the pods."""
    for overlay in ("signing", "populate-signing"):
        docs = render(overlay)
        for doc in pods.workloads(docs):
            for each in filter(agents.is_agent, pods.containers(doc)):
                own = agents.settings_of(docs, each)
                assert own.verify_key
                assert own.require_signature
                signs = each["name"] == "publish"
                assert bool(own.sign_key) == ("/secrets/sign" in pods.mounts(each)) == signs
        assert not pods.named(docs, "ConfigMap", "model-agent-keys")
    assert "model-agent-sign-key" not in str(render("signing"))


def test_the_signing_job_has_the_settings_of_the_pods() -> None:
    """Its ConfigMaps are the pods' own, as with `populate` and the base."""
    configs = pods.of_kind(render("populate-signing"), "ConfigMap")
    assert all(config in render("signing") for config in configs)


def test_a_foreign_worker_is_left_as_it_is() -> None:
    """No command, flags, hooks or endpoints of ours, and the documented variables unchanged."""
    worker = pods.container(pods.deployment(render("reload-none")), pods.WORKER)
    ours = pods.container(pods.deployment(render(BASE)), pods.WORKER)
    assert {"args", "command", "lifecycle"}.isdisjoint(worker)
    assert "httpGet" not in str(worker)
    assert worker["env"] == ours["env"]
    assert worker["volumeMounts"] == ours["volumeMounts"]


@pytest.mark.parametrize(
    "components",
    [
        pytest.param(["azure-rest", "monitoring", "plain-sidecar"], id="older-cluster-over-rest"),
        pytest.param(["populate", "azure-rest", "azure-key"], id="job-with-a-key"),
        pytest.param(["azure-nfs", "cpu", "monitoring", "store-volume"], id="cpu-over-nfs"),
        pytest.param(["cpu", "reload-signal", "store-node"], id="signal-and-node"),
        pytest.param(["small-model", "cpu", "azure-rest", "reload-none"], id="foreign-small"),
        pytest.param(["reload-signal", "plain-sidecar", "monitoring"], id="signal-plain"),
        pytest.param(["azure-rest", "events", "plain-sidecar"], id="events-over-rest-plain"),
        pytest.param(["populate", "local-share", "cpu", "small-model", "events"], id="cpu-events"),
        pytest.param(["signing", "plain-sidecar", "monitoring"], id="signing-plain"),
        pytest.param(["azure-rest", "azure-key", "events", "signing"], id="signing-with-a-key"),
        pytest.param(["populate", "azure-rest", "signing"], id="job-that-verifies"),
        pytest.param(
            ["populate", "local-share", "cpu", "events", *SIGNING, "plain-sidecar"],
            id="signing-cpu",
        ),
    ],
)
def test_components_can_be_put_together(components: list[str], tmp_path: Path) -> None:
    """What holds for each overlay holds for combinations that users are told to make."""
    keys = [{"name": "model-agent-keys", "literals": ["verify.pub=a key"]}]
    docs = combine(tmp_path, components, configMapGenerator=keys if "signing" in components else [])
    native, surge = "plain-sidecar" not in components, "store-node" not in components
    assert schema.invalid(docs, schema.NATIVE_SIDECARS[-1]) == []
    assert schema.wrong_words(docs) == []
    assert references.broken(docs) == []
    assert api.faults(docs) == []
    assert agents.unfit(docs) == []
    assert agents.unfit_workers(docs) == []
    assert security.lax(docs) == []
    assert sizes.too_small(docs) == []
    assert lifecycle.disorder(docs, native=native, surge=surge) == []


def test_alerts_and_dashboard_ask_for_what_there_is() -> None:
    """Every metric and label in an expression is one that the sidecar exposes."""
    docs = render("monitoring")
    assert len(monitoring.expressions(docs)) > 10
    assert monitoring.unknown(docs) == []


def test_what_must_be_alerted_on_is() -> None:
    """A release behind, a failing reload, a quarantine, a lost share, a bad or a full store."""
    rules = pods.of_kind(render("monitoring"), "PrometheusRule")[0]["spec"]["groups"][0]["rules"]
    assert {rule["alert"]: rule.get("for") for rule in rules} == {
        "ModelAgentBehindMarker": "10m",
        "ModelAgentReloadFailing": "5m",
        "ModelAgentQuarantine": None,
        "ModelAgentShareUnreachable": "5m",
        "ModelAgentStoreRotten": "5m",
        "ModelAgentStoreNearlyFull": "15m",
    }


def test_the_dashboard_is_whole() -> None:
    """It shows releases by pod, reload phases and the canary's cosine; no two panels overlap."""
    (dashboard,) = monitoring.dashboards(render("monitoring"))
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert {"Releases by pod", "Reload phases", "Canary cosine"} < set(titles)
    taken = [
        (x, y)
        for panel in dashboard["panels"]
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(titles)


def test_every_component_is_used_by_an_overlay() -> None:
    """Nothing lies in k8s/components that no test renders."""
    texts = [(K8S / "overlays" / name / "kustomization.yaml").read_text() for name in OVERLAYS]
    assert all(any(f"components/{name}\n" in text for text in texts) for name in COMPONENTS)
