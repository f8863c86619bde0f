"""Would Pod Security *restricted* admit the pods, and do we keep to our own rules beyond it?

The rules: Kubernetes' Pod Security Standards, profile restricted (which includes baseline).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.k8s import pods
from tests.k8s.pods import containers, label, of_kind, pod, workloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.k8s.rendering import Manifest

UID: Final = 65532
HOST_PATH: Final = "a volume of the kind hostPath"
# What restricted admits: no hostPath, and no kind of volume that a driver of old brings.
_VOLUMES: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_HOST: Final = ("hostNetwork", "hostPID", "hostIPC")
_PROFILES: Final = ("RuntimeDefault", "Localhost")


def refused(docs: list[Manifest]) -> list[str]:
    """What Pod Security restricted would refuse."""
    return [
        f"{label(doc)}: {fault}"
        for doc in workloads(docs)
        for fault in (*_pod(pod(doc)), *(f for c in containers(doc) for f in _container(doc, c)))
    ]


def lax(docs: list[Manifest]) -> list[str]:
    """What it would admit, and we would not."""
    return [
        *(f"{label(doc)}: {fault}" for doc in workloads(docs) for fault in _own(doc)),
        *(
            f"{label(doc)} mounts a token"
            for doc in of_kind(docs, "ServiceAccount")
            if doc.get("automountServiceAccountToken") is not False
        ),
    ]


def _pod(spec: dict[str, Any]) -> Iterator[str]:
    context = spec.get("securityContext", {})
    yield from (field for field in _HOST if spec.get(field))
    if context.get("sysctls"):
        yield "sysctls"
    if context.get("seccompProfile", {}).get("type") not in _PROFILES:
        yield "no seccompProfile"
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        yield from (f"a volume of the kind {kind}" for kind in sorted(kinds - _VOLUMES))


def _container(doc: Manifest, each: dict[str, Any]) -> Iterator[str]:
    name = each["name"]
    own, shared = each.get("securityContext", {}), pod(doc).get("securityContext", {})
    if own.get("privileged"):
        yield f"{name} is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name} may escalate"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield f"{name} keeps capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name} adds capabilities"
    if own.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield f"{name} may run as root"
    if own.get("runAsUser", shared.get("runAsUser")) == 0:
        yield f"{name} runs as root"
    if own.get("seccompProfile", shared.get("seccompProfile", {})).get("type") not in _PROFILES:
        yield f"{name} has no seccompProfile"
    if own.get("procMount", "Default") != "Default":
        yield f"{name} has another procMount"
    yield from (f"{name} has a hostPort" for port in each.get("ports", []) if "hostPort" in port)
    handlers = [value for path, value in pods.walk(each) if path and path[-1] == "httpGet"]
    yield from (f"{name} has a probe of another host" for h in handlers if h.get("host"))


def _own(doc: Manifest) -> Iterator[str]:
    spec = pod(doc)
    context = spec.get("securityContext", {})
    users = {context.get("runAsUser"), context.get("runAsGroup"), context.get("fsGroup")}
    if users != {UID}:
        yield "one user and one group are for all containers and volumes"
    if spec.get("automountServiceAccountToken") is not False:
        yield "it mounts a token"
    if spec.get("enableServiceLinks") is not False:
        yield "Services put variables into it"
    for each in containers(doc):
        yield from (f"{each['name']} {fault}" for fault in _own_container(each))


def _own_container(each: dict[str, Any]) -> Iterator[str]:
    context = each.get("securityContext", {})
    if context.get("readOnlyRootFilesystem") is not True:
        yield "can write to its root file system"
    if {"runAsUser", "runAsGroup"} & set(context):
        yield "runs as another user"
    if each.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        yield "keeps its last words to itself"
    if "memory" not in each["resources"].get("limits", {}):
        yield "has no memory limit"
    if not {"cpu", "memory"} <= set(each["resources"].get("requests", {})):
        yield "asks for no cpu and memory"
    if each.get("imagePullPolicy") != "IfNotPresent":
        yield "says no imagePullPolicy"
