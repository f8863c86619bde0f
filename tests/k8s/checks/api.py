"""Who may talk to the API server, with what right, and has what that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.k8s import pods
from tests.k8s.checks.agents import PROGRAM, settings_of
from tests.k8s.pods import containers, label, of_kind, pod, workloads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.k8s.rendering import Manifest

# Where every client looks, and what it finds there.
ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
FILES: Final = {"token", "ca.crt", "namespace"}
FIELDS: Final = {
    "POD_NAME": "metadata.name",
    "POD_NAMESPACE": "metadata.namespace",
    "POD_UID": "metadata.uid",
}
# All that the agent asks for. Patching "pods" would be the right to change their images.
RIGHTS: Final = {
    ("events.k8s.io", "events", "create"),
    ("events.k8s.io", "events", "patch"),
    ("", "pods/status", "patch"),
}


def faults(docs: list[Manifest]) -> list[str]:
    """Rights and tokens that are too many, or missing."""
    return [
        *_bindings(docs),
        *(fault for doc in workloads(docs) for fault in _tokens(docs, doc)),
        *(fault for doc in of_kind(docs, "Deployment") for fault in _sidecar(docs, doc)),
    ]


def _bindings(docs: list[Manifest]) -> Iterator[str]:
    yield from (f"{label(doc)} is for all namespaces" for doc in docs if "Cluster" in doc["kind"])
    bound = set()
    for doc in of_kind(docs, "RoleBinding"):
        bound.add(doc["roleRef"]["name"])
        if not pods.named(docs, doc["roleRef"]["kind"], doc["roleRef"]["name"]):
            yield f"{label(doc)}: there is no Role {doc['roleRef']['name']}"
        for subject in doc["subjects"]:
            if not pods.named(docs, subject["kind"], subject["name"]):
                yield f"{label(doc)}: there is no {subject['kind']} {subject['name']}"
    for doc in of_kind(docs, "Role"):
        if doc["metadata"]["name"] not in bound:
            yield f"{label(doc)} is bound to nobody"
        if (found := _rights(doc)) != RIGHTS:
            yield f"{label(doc)} differs in {sorted(found ^ RIGHTS)}"


def _rights(role: Manifest) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _tokens(docs: list[Manifest], doc: Manifest) -> Iterator[str]:
    """Only a sidecar that tells Kubernetes has a token for it, and no other sees its files."""
    with_token = {
        volume["name"]
        for volume in pod(doc).get("volumes", [])
        if any(_is_for_the_api(source) for source in _sources(volume))
    }
    for each in containers(doc):
        mounted = {mount["name"] for mount in each.get("volumeMounts", [])}
        if not mounted & with_token:
            continue
        if not (each["name"] == PROGRAM and _tells(docs, doc)):
            yield f"{label(doc)}: {each['name']} has a token of the API server"
        # By /proc/PID/root, since all of a pod are one user.
        if pod(doc).get("shareProcessNamespace"):
            yield f"{label(doc)}: {pods.WORKER} sees the token of {each['name']}"


def _tells(docs: list[Manifest], doc: Manifest) -> bool:
    return settings_of(docs, pods.container(doc, PROGRAM)).kubernetes_events


def _sidecar(docs: list[Manifest], doc: Manifest) -> Iterator[str]:
    if not _tells(docs, doc):
        yield from (f"{label(role)} is of no use" for role in of_kind(docs, "Role"))
        return
    each = pods.container(doc, PROGRAM)
    variables = {v["name"]: v.get("valueFrom", {}).get("fieldRef", {}) for v in each.get("env", [])}
    for name, field in FIELDS.items():
        if variables.get(name, {}).get("fieldPath") != field:
            yield f"{label(doc)}: {name} of {PROGRAM} is not {field}"
    mount = pods.mounts(each).get(ACCOUNT)
    found = _files(pods.volume(doc, mount["name"])) if mount else set()
    if found != FILES:
        yield f"{label(doc)}: {ACCOUNT} of {PROGRAM} has {sorted(found)}"
    if mount and not mount.get("readOnly"):
        yield f"{label(doc)}: {ACCOUNT} is not read-only"
    account = pod(doc).get("serviceAccountName", "default")
    subjects = [s["name"] for b in of_kind(docs, "RoleBinding") for s in b["subjects"]]
    if account not in subjects:
        yield f"{label(doc)}: {account} may tell nothing"


def _sources(volume: Mapping[str, Any]) -> list[dict[str, Any]]:
    sources: list[dict[str, Any]] = volume.get("projected", {}).get("sources", [])
    return sources


def _is_for_the_api(source: Mapping[str, Any]) -> bool:
    """A token for another audience, as an identity's, opens nothing there."""
    token = source.get("serviceAccountToken")
    return token is not None and "audience" not in token


def _files(volume: Mapping[str, Any]) -> set[str]:
    """The files of a projected volume."""
    found = set()
    for source in _sources(volume):
        for kind, given in source.items():
            items = [given] if kind == "serviceAccountToken" else given["items"]
            found |= {item["path"] for item in items}
    return found
