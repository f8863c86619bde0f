"""Every check finds what it is for: a sound manifest is broken in one place, and it says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from tests.k8s.rendering import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.k8s.rendering import Manifest

    Break = Callable[[list[Manifest]], object]


def worker(docs: list[Manifest]) -> dict[str, Any]:
    """The worker's container."""
    return pods.container(pods.deployment(docs), pods.WORKER)


def sidecar(docs: list[Manifest]) -> dict[str, Any]:
    """The sidecar's container."""
    return pods.container(pods.deployment(docs), "model-agent")


def init(docs: list[Manifest]) -> dict[str, Any]:
    """The first initContainer."""
    return pods.container(pods.deployment(docs), "model-agent-init")


def spec(docs: list[Manifest]) -> dict[str, Any]:
    """The pod of the Deployment."""
    return pods.pod(pods.deployment(docs))


def one(docs: list[Manifest], kind: str) -> dict[str, Any]:
    """The spec of the only manifest of a kind."""
    (found,) = pods.of_kind(docs, kind)
    inner: dict[str, Any] = found["spec"]
    return inner


def role(docs: list[Manifest]) -> dict[str, Any]:
    """The only Role."""
    (found,) = pods.of_kind(docs, "Role")
    return found


def binding(docs: list[Manifest]) -> dict[str, Any]:
    """The only RoleBinding."""
    (found,) = pods.of_kind(docs, "RoleBinding")
    return found


def settings(docs: list[Manifest]) -> dict[str, str]:
    """The agent's settings."""
    found = next(d for d in pods.of_kind(docs, "ConfigMap") if "MODEL_AGENT_SHARE" in d["data"])
    data: dict[str, str] = found["data"]
    return data


def without(docs: list[Manifest], kind: str) -> None:
    """Take all manifests of a kind away."""
    docs[:] = [doc for doc in docs if doc["kind"] != kind]


def volume(docs: list[Manifest], name: str) -> dict[str, Any]:
    """A volume of the Deployment's pod."""
    return pods.volume(pods.deployment(docs), name)


def mount(docs: list[Manifest], path: str) -> dict[str, Any]:
    """A mount of the sidecar."""
    return pods.mounts(sidecar(docs))[path]


def broken(overlay: str, break_it: Break) -> list[Manifest]:
    """The manifests of an overlay, broken."""
    docs = render(overlay)
    break_it(docs)
    return docs


def case(expected: str, break_it: Break) -> Any:
    """One way to break manifests, and a part of the fault that must be found."""
    return pytest.param(break_it, expected, id=expected.replace(" ", "-"))


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        case(
            "'conatinerPort' was unexpected",
            lambda d: sidecar(d)["ports"][0].update(conatinerPort=1),
        ),
        case(
            "is not of type 'integer'", lambda d: pods.deployment(d)["spec"].update(replicas="two")
        ),
        case(
            "'selector' is a required property",
            lambda d: pods.deployment(d)["spec"].pop("selector"),
        ),
        case("Couldn't find schema", lambda d: d[0].update(kind="Deploiment")),
    ],
)
def test_schemas(break_it: Break, expected: str) -> None:
    """A misspelt field, a wrong type, a missing field and an unknown kind are invalid."""
    faults = schema.invalid(broken("base", break_it), "1.32")
    assert expected in "\n".join(faults)


def test_native_sidecars_are_newer_than_1_27() -> None:
    """The oldest schema there is, 1.28, knows the field; nothing older is promised."""
    assert schema.invalid(render("base"), "1.28") == []


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        case("restartPolicy is 'always'", lambda d: sidecar(d).update(restartPolicy="always")),
        case("a container of the pod", lambda d: worker(d).update(restartPolicy="Always")),
        case("restartPolicy Never is refused", lambda d: spec(d).update(restartPolicy="Never")),
        case(
            "imagePullPolicy is 'Sometimes'",
            lambda d: worker(d).update(imagePullPolicy="Sometimes"),
        ),
        case("is 'Logs'", lambda d: worker(d).update(terminationMessagePolicy="Logs")),
        case("operator is 'exists'", lambda d: spec(d)["tolerations"][0].update(operator="exists")),
        case(
            "type is 'Runtime'",
            lambda d: spec(d)["securityContext"].update(seccompProfile={"type": "Runtime"}),
        ),
        case(
            "accessModes is ['RWX']",
            lambda d: one(d, "PersistentVolume").update(accessModes=["RWX"]),
        ),
        case(
            "protocol is 'tcp'",
            lambda d: one(d, "NetworkPolicy")["egress"][0]["ports"][0].update(protocol="tcp"),
        ),
        case(
            "policyTypes is ['Out']", lambda d: one(d, "NetworkPolicy").update(policyTypes=["Out"])
        ),
    ],
)
def test_words(break_it: Break, expected: str) -> None:
    """A word that Kubernetes does not know is found, where the schemas take any string."""
    docs = broken("base", break_it)
    assert expected in "\n".join(schema.wrong_words(docs))


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        case("there is no volume stor", lambda d: mount(d, "/mnt/models").update(name="stor")),
        case(
            "nobody mounts extra",
            lambda d: spec(d)["volumes"].append({"name": "extra", "emptyDir": {}}),
        ),
        case("/tmp is mounted twice", lambda d: mount(d, "/mnt/models").update(mountPath="/tmp")),
        case(
            "two volumes store",
            lambda d: spec(d)["volumes"].append({"name": "store", "emptyDir": {}}),
        ),
        case(
            "there is no ConfigMap gone",
            lambda d: init(d)["envFrom"][0]["configMapRef"].update(name="gone"),
        ),
        case(
            "there is no ConfigMap old",
            lambda d: volume(d, "catalog")["configMap"].update(name="old"),
        ),
        case(
            "has no key other.toml",
            lambda d: volume(d, "catalog")["configMap"].update(
                items=[{"key": "other.toml", "path": "c"}]
            ),
        ),
        case(
            "has no key LEVEL",
            lambda d: worker(d)["env"].append(
                {
                    "name": "LEVEL",
                    "valueFrom": {
                        "configMapKeyRef": init(d)["envFrom"][0]["configMapRef"] | {"key": "LEVEL"}
                    },
                }
            ),
        ),
        case(
            "there is no Secret gone",
            lambda d: init(d)["envFrom"].append({"secretRef": {"name": "gone"}}),
        ),
        case("there is no PersistentVolumeClaim", lambda d: without(d, "PersistentVolumeClaim")),
        case("there is no ServiceAccount", lambda d: without(d, "ServiceAccount")),
        case(
            "startupProbe of model-agent asks port metric",
            lambda d: sidecar(d)["ports"][0].update(name="m"),
        ),
        case("leads to port web", lambda d: one(d, "Service")["ports"][0].update(targetPort="web")),
        case(
            "Service/embeddings-worker-msgs selects no pod",
            lambda d: one(d, "Service").update(selector={"app": "x"}),
        ),
        case(
            "a selector does not select its own pods",
            lambda d: pods.deployment(d)["spec"].update(selector={"matchLabels": {"app": "x"}}),
        ),
        case(
            "a selector does not select",
            lambda d: spec(d)["topologySpreadConstraints"][0].update(
                labelSelector={"matchLabels": {"app": "x"}}
            ),
        ),
        case("no NetworkPolicy is for its pods", lambda d: without(d, "NetworkPolicy")),
        case("no PodDisruptionBudget is for", lambda d: without(d, "PodDisruptionBudget")),
        case(
            "lets in [8080, 9090, 9999]",
            lambda d: one(d, "NetworkPolicy")["ingress"][0]["ports"].append({"port": 9999}),
        ),
        case(
            "lets out [53, 80, 443]",
            lambda d: one(d, "NetworkPolicy")["egress"][0]["ports"].append({"port": 80}),
        ),
        case(
            "has no volume",
            lambda d: one(d, "PersistentVolumeClaim").update(volumeName="other"),
        ),
        case("is claimed by nothing", lambda d: one(d, "PersistentVolumeClaim").pop("volumeName")),
        case(
            "names neither a volume nor a class",
            lambda d: one(d, "PersistentVolumeClaim").pop("volumeName"),
        ),
        case(
            "differ in storageClassName",
            lambda d: one(d, "PersistentVolume").update(storageClassName="fast"),
        ),
        case(
            "an access mode that its volume has not",
            lambda d: one(d, "PersistentVolume").update(accessModes=["ReadOnlyMany"]),
        ),
        case(
            "wants more than its volume has",
            lambda d: one(d, "PersistentVolume").update(capacity={"storage": "1Gi"}),
        ),
        case(
            "there is no Secret key",
            lambda d: one(d, "PersistentVolume")["csi"].update(nodeStageSecretRef={"name": "key"}),
        ),
        case(
            "two volumes have the handle",
            lambda d: d.append(
                pods.of_kind(d, "PersistentVolume")[0] | {"metadata": {"name": "ml-models"}}
            ),
        ),
    ],
)
def test_references(break_it: Break, expected: str) -> None:
    """A name that leads nowhere is found, whatever it is the name of."""
    assert expected in "\n".join(references.broken(broken("base", break_it)))


def test_an_optional_secret_may_be_missing() -> None:
    """A Secret that is made by hand, or optional, is no fault; one that is neither is."""
    docs = render("azure-key")
    secret = volume(docs, "azure-files")["secret"]
    secret["secretName"] = "other"
    assert references.broken(docs) == []
    del secret["optional"]
    assert "there is no Secret other" in "\n".join(references.broken(docs))


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        case("hostNetwork", lambda d: spec(d).update(hostNetwork=True)),
        case("hostPID", lambda d: spec(d).update(hostPID=True)),
        case(
            "sysctls",
            lambda d: spec(d)["securityContext"].update(sysctls=[{"name": "a", "value": "1"}]),
        ),
        case("no seccompProfile", lambda d: spec(d)["securityContext"].pop("seccompProfile")),
        case(
            security.HOST_PATH,
            lambda d: spec(d)["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
        ),
        case(
            "worker is privileged", lambda d: worker(d)["securityContext"].update(privileged=True)
        ),
        case(
            "worker may escalate",
            lambda d: worker(d)["securityContext"].pop("allowPrivilegeEscalation"),
        ),
        case(
            "worker keeps capabilities", lambda d: worker(d)["securityContext"].pop("capabilities")
        ),
        case(
            "worker adds capabilities",
            lambda d: worker(d)["securityContext"]["capabilities"].update(add=["SYS_PTRACE"]),
        ),
        case(
            "worker may run as root",
            lambda d: worker(d)["securityContext"].update(runAsNonRoot=False),
        ),
        case("init may run as root", lambda d: spec(d)["securityContext"].pop("runAsNonRoot")),
        case("worker runs as root", lambda d: worker(d)["securityContext"].update(runAsUser=0)),
        case(
            "worker has no seccompProfile",
            lambda d: worker(d)["securityContext"].update(seccompProfile={"type": "Unconfined"}),
        ),
        case(
            "worker has another procMount",
            lambda d: worker(d)["securityContext"].update(procMount="Unmasked"),
        ),
        case("worker has a hostPort", lambda d: worker(d)["ports"][0].update(hostPort=80)),
        case(
            "a probe of another host",
            lambda d: worker(d)["livenessProbe"]["httpGet"].update(host="node"),
        ),
    ],
)
def test_pod_security(break_it: Break, expected: str) -> None:
    """Each rule of Pod Security restricted, broken alone, is found."""
    assert expected in "\n".join(security.refused(broken("base", break_it)))


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        case("one user and one group", lambda d: spec(d)["securityContext"].update(fsGroup=1)),
        case("msgs: it mounts a token", lambda d: spec(d).pop("automountServiceAccountToken")),
        case(
            "worker mounts a token",
            lambda d: pods.of_kind(d, "ServiceAccount")[0].pop("automountServiceAccountToken"),
        ),
        case("Services put variables into it", lambda d: spec(d).pop("enableServiceLinks")),
        case(
            "can write to its root",
            lambda d: worker(d)["securityContext"].pop("readOnlyRootFilesystem"),
        ),
        case(
            "worker runs as another user",
            lambda d: worker(d)["securityContext"].update(runAsUser=7),
        ),
        case("keeps its last words", lambda d: worker(d).pop("terminationMessagePolicy")),
        case("has no memory limit", lambda d: worker(d)["resources"]["limits"].pop("memory")),
        case("asks for no cpu", lambda d: worker(d)["resources"]["requests"].pop("cpu")),
        case("says no imagePullPolicy", lambda d: worker(d).pop("imagePullPolicy")),
    ],
)
def test_our_own_rules(break_it: Break, expected: str) -> None:
    """Each of our own rules, broken alone, is found."""
    assert expected in "\n".join(security.lax(broken("base", break_it)))


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        case(
            "there is no command model-agent initt",
            lambda d: init(d).update(command=["model-agent", "initt"]),
        ),
        case("--kep", lambda d: init(d)["command"].append("--kep=3")),
        case("MODEL_AGENT_KEP is unknown", lambda d: settings(d).update(MODEL_AGENT_KEP="3")),
        case("is not a whole number", lambda d: settings(d).update(MODEL_AGENT_KEEP="none")),
        case(
            "(or MODEL_AGENT_SHARE) is required", lambda d: settings(d).update(MODEL_AGENT_SHARE="")
        ),
        case(
            "nothing is mounted at /mnt/other",
            lambda d: settings(d).update(MODEL_AGENT_SHARE="/mnt/other"),
        ),
        case(
            "only Jobs write to the share", lambda d: mount(d, "/mnt/share").update(readOnly=False)
        ),
        case(
            "the store cannot be written", lambda d: mount(d, "/mnt/models").update(readOnly=True)
        ),
        case("/nowhere", lambda d: settings(d).update(MODEL_AGENT_CATALOG="/nowhere/catalog.toml")),
        case(
            "other.toml",
            lambda d: settings(d).update(MODEL_AGENT_CATALOG="/etc/model-agent/other.toml"),
        ),
        case(
            "nothing is mounted at /secrets",
            lambda d: settings(d).update(MODEL_AGENT_AZURE_SECRET_DIR="/secrets"),
        ),
        case(
            "nothing is mounted at /etc/model-agent-keys",
            lambda d: settings(d).update(MODEL_AGENT_VERIFY_KEY="/etc/model-agent-keys/verify.pub"),
        ),
        case(
            "there is no verify.pub in /etc/model-agent",
            lambda d: settings(d).update(MODEL_AGENT_VERIFY_KEY="/etc/model-agent/verify.pub"),
        ),
        case("a pod would ask the Hub", lambda d: settings(d).update(MODEL_AGENT_POPULATE="store")),
        case(
            "it wants CUDA and asks for no GPU",
            lambda d: init(d)["resources"]["limits"].pop("nvidia.com/gpu"),
        ),
        case(
            "its GPU is added",
            lambda d: sidecar(d)["resources"]["limits"].update({"nvidia.com/gpu": "1"}),
        ),
        case(
            "it listens at port 9091",
            lambda d: settings(d).update(MODEL_AGENT_LISTEN="0.0.0.0:9091"),
        ),
        case("reload_process", lambda d: settings(d).update(MODEL_AGENT_RELOAD_METHOD="signal")),
        case(
            "it cannot see the process",
            lambda d: settings(d).update(
                MODEL_AGENT_RELOAD_METHOD="signal", MODEL_AGENT_RELOAD_PROCESS="app.py"
            ),
        ),
    ],
)
def test_agents(break_it: Break, expected: str) -> None:
    """What the agent would refuse, or would miss at its start, is found."""
    found = "\n".join(agents.unfit(broken("base", break_it)))
    assert expected in found.replace("reload-process", "reload_process")


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        case("the worker refuses its flags", lambda d: worker(d)["args"].append("--modle=x")),
        case("HF_HOME is /root", lambda d: worker(d)["env"][1].update(value="/root")),
        case("the worker can write", lambda d: worker(d)["volumeMounts"][0].update(readOnly=False)),
        case(
            "no business with the share",
            lambda d: worker(d)["volumeMounts"].append(
                {"name": "share", "mountPath": "/mnt/share"}
            ),
        ),
        case("the worker's store is /x", lambda d: worker(d)["args"].append("--store=/x")),
        case("the worker serves at port 9", lambda d: worker(d)["args"].append("--port=9")),
        case("the worker listens at", lambda d: worker(d)["args"].append("--admin=127.0.0.1:9")),
        case("the catalog has no model x", lambda d: worker(d)["args"].append("--model=x")),
        case("does not go with what it asks", lambda d: worker(d)["args"].append("--device=cpu")),
        case("another device than init", lambda d: worker(d)["args"].append("--device=cpu")),
    ],
)
def test_workers(break_it: Break, expected: str) -> None:
    """Where worker and agent would miss each other, it is found."""
    assert expected in "\n".join(agents.unfit_workers(broken("base", break_it)))


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        case("does not know how much", lambda d: settings(d).pop("MODEL_AGENT_STORE_LIMIT")),
        case("and the limit is", lambda d: settings(d).update(MODEL_AGENT_STORE_LIMIT="3Gi")),
        case("5 releases take", lambda d: settings(d).update(MODEL_AGENT_KEEP="4")),
        case(
            "which is less than", lambda d: volume(d, "store")["emptyDir"].update(sizeLimit="4Gi")
        ),
        case("the agent may store", lambda d: settings(d).update(MODEL_AGENT_STORE_LIMIT="6Gi")),
        case("the volume has 0", lambda d: volume(d, "store")["emptyDir"].pop("sizeLimit")),
        case(
            "no room on the node",
            lambda d: sidecar(d)["resources"]["requests"].pop("ephemeral-storage"),
        ),
    ],
)
def test_sizes(break_it: Break, expected: str) -> None:
    """A store that a bump does not fit into, or that is evicted first, is found."""
    assert expected in "\n".join(sizes.too_small(broken("base", break_it)))


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        case("the initContainers are", lambda d: spec(d)["initContainers"].reverse()),
        case("of the other kind", lambda d: sidecar(d).pop("restartPolicy")),
        case("the first initContainer stays", lambda d: init(d).update(restartPolicy="Always")),
        case(
            "waits for more than its own loop",
            lambda d: sidecar(d)["startupProbe"]["httpGet"].update(path="/readyz"),
        ),
        case("waits for more", lambda d: sidecar(d)["startupProbe"]["httpGet"].update(port=8080)),
        case("can take the worker out", lambda d: sidecar(d).update(readinessProbe={})),
        case(
            "serves nothing",
            lambda d: worker(d)["readinessProbe"]["httpGet"].update(path="/healthz"),
        ),
        case("is killed", lambda d: worker(d)["startupProbe"]["httpGet"].update(path="/readyz")),
        case(
            "it rolls by",
            lambda d: pods.deployment(d)["spec"]["strategy"]["rollingUpdate"].update(
                maxUnavailable=1
            ),
        ),
        case("Services still lead to it", lambda d: worker(d).pop("lifecycle")),
        case(
            "the end takes up to 37 s", lambda d: spec(d).update(terminationGracePeriodSeconds=30)
        ),
    ],
)
def test_lifecycle(break_it: Break, expected: str) -> None:
    """A start, roll-out or end in the wrong order is found, the deadlock of sidecars among them."""
    assert expected in "\n".join(lifecycle.disorder(broken("base", break_it)))


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        case("there is no Role events", lambda d: binding(d)["roleRef"].update(name="events")),
        case("is bound to nobody", lambda d: without(d, "RoleBinding")),
        case("embeddings-worker may tell nothing", lambda d: without(d, "RoleBinding")),
        case(
            "there is no ServiceAccount default",
            lambda d: binding(d)["subjects"][0].update(name="default"),
        ),
        case(
            "differs in [('', 'pods', 'patch'), ('', 'pods/status', 'patch')]",
            lambda d: role(d)["rules"][1].update(resources=["pods"]),
        ),
        case(
            "differs in [('events.k8s.io', 'events', 'delete')]",
            lambda d: role(d)["rules"][0]["verbs"].append("delete"),
        ),
        case("is for all namespaces", lambda d: role(d).update(kind="ClusterRole")),
        case(
            "model-agent-init has a token",
            lambda d: init(d)["volumeMounts"].append(mount(d, api.ACCOUNT)),
        ),
        case(
            "embeddings-worker has a token",
            lambda d: worker(d)["volumeMounts"].append(mount(d, api.ACCOUNT)),
        ),
        case(
            "model-agent has a token",
            lambda d: settings(d).update(MODEL_AGENT_KUBERNETES_EVENTS="false"),
        ),
        case(
            "Role/model-agent-events is of no use",
            lambda d: settings(d).update(MODEL_AGENT_KUBERNETES_EVENTS="false"),
        ),
        case(
            "embeddings-worker sees the token of model-agent",
            lambda d: spec(d).update(shareProcessNamespace=True),
        ),
        case("POD_UID of model-agent is not", lambda d: sidecar(d)["env"].pop(2)),
        case(
            "POD_NAME of model-agent is not metadata.name",
            lambda d: sidecar(d)["env"][0]["valueFrom"]["fieldRef"].update(
                fieldPath="metadata.uid"
            ),
        ),
        case(
            "serviceaccount of model-agent has []",
            lambda d: mount(d, api.ACCOUNT).update(name="share"),
        ),
        case(
            "has ['ca.crt', 'namespace']",
            lambda d: volume(d, "kubernetes-api")["projected"]["sources"].pop(0),
        ),
        case("is not read-only", lambda d: mount(d, api.ACCOUNT).pop("readOnly")),
    ],
)
def test_api(break_it: Break, expected: str) -> None:
    """A right or a token too many is found, and what is missing to tell Kubernetes anything."""
    assert expected in "\n".join(api.faults(broken("events", break_it)))


def test_a_token_for_another_audience_is_no_fault() -> None:
    """The identity's own opens nothing at the API server."""
    docs = render("events")
    token = volume(docs, "kubernetes-api")["projected"]["sources"][0]["serviceAccountToken"]
    init(docs)["volumeMounts"].append(mount(docs, api.ACCOUNT))
    token["audience"] = "api://AzureADTokenExchange"
    assert api.faults(docs) == []


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        case(
            "there is no ConfigMap gone",
            lambda d: volume(d, "kubernetes-api")["projected"]["sources"][1]["configMap"].update(
                name="gone"
            ),
        ),
        case(
            "there is no Secret gone",
            lambda d: volume(d, "kubernetes-api")["projected"]["sources"].append(
                {"secret": {"name": "gone"}}
            ),
        ),
    ],
)
def test_references_of_projected_volumes(break_it: Break, expected: str) -> None:
    """What is put together in a volume is looked for as well."""
    assert expected in "\n".join(references.broken(broken("events", break_it)))


def test_a_field_that_the_downward_api_has_not() -> None:
    """Kubernetes refuses a pod that asks for one."""
    docs = render("events")
    sidecar(docs)["env"][0]["valueFrom"]["fieldRef"]["fieldPath"] = "metadata.nam"
    assert "fieldPath is 'metadata.nam'" in "\n".join(schema.wrong_words(docs))


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("model_agent_syncs == 0", "there is no metric model_agent_syncs"),
        ("up == 0", "no metric of ours"),
        ("sum by (reason) (model_agent_syncs_total)", "no label reason"),
        ('model_agent_syncs_total{result="error"}', "no label result"),
    ],
)
def test_monitoring(expr: str, expected: str) -> None:
    """A metric or label that the agent does not have is found in an alert."""
    docs = render("monitoring")
    one(docs, "PrometheusRule")["groups"][0]["rules"][0]["expr"] = expr
    assert expected in "\n".join(monitoring.unknown(docs))


def test_the_text_of_an_alert_names_labels_that_it_has() -> None:
    """A label in a summary that the series does not have would show as nothing."""
    docs = render("monitoring")
    rule = one(docs, "PrometheusRule")["groups"][0]["rules"][2]
    rule["annotations"]["summary"] = "{{ $labels.release }}"
    assert "no label release" in "\n".join(monitoring.unknown(docs))
