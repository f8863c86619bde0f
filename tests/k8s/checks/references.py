"""Does everything that a manifest names exist?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tests.k8s.checks import network, storage
from tests.k8s.checks.storage import SECRETS
from tests.k8s.pods import containers, label, named, pod, workloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.k8s.rendering import Manifest

_FROM: Final = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
_KEY_OF: Final = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
_VOLUME: Final = {
    "configMap": "ConfigMap",
    "secret": "Secret",
    "persistentVolumeClaim": "PersistentVolumeClaim",
}
# Kubernetes puts these into every namespace.
_EVERYWHERE: Final = {"kube-root-ca.crt"}


def broken(docs: list[Manifest], cluster: list[Manifest] | None = None) -> list[str]:
    """Every name that leads nowhere.

    Args:
        docs: What is applied.
        cluster: What else is in the cluster then.
    """
    there = docs + (cluster or [])
    return [
        *(fault for doc in workloads(docs) for fault in _volumes(doc)),
        *(fault for doc in workloads(docs) for fault in _sources(doc, there)),
        *network.unreachable(docs, there),
        *storage.misfits(docs, there),
    ]


def _volumes(doc: Manifest) -> Iterator[str]:
    there = [volume["name"] for volume in pod(doc).get("volumes", [])]
    mounted = set()
    for each in containers(doc):
        paths = Counter(mount["mountPath"] for mount in each.get("volumeMounts", []))
        yield from (f"{label(doc)}: {p} is mounted twice" for p, n in paths.items() if n > 1)
        names = {mount["name"] for mount in each.get("volumeMounts", [])}
        yield from (f"{label(doc)}: there is no volume {name}" for name in names - set(there))
        mounted |= names
    yield from (f"{label(doc)}: nobody mounts {name}" for name in set(there) - mounted)
    yield from (f"{label(doc)}: two volumes {n}" for n, c in Counter(there).items() if c > 1)


def _sources(doc: Manifest, there: list[Manifest]) -> Iterator[str]:
    """ConfigMaps, Secrets, claims and the ServiceAccount that pods are given."""
    for kind, reference, key in _references(doc):
        name = reference.get("name") or reference.get("secretName") or reference["claimName"]
        if reference.get("optional") or (kind == "Secret" and name in SECRETS):
            continue
        if name in _EVERYWHERE:
            continue
        found = named(there, kind, name)
        if found is None:
            yield f"{label(doc)}: there is no {kind} {name}"
        elif key and key not in found.get("data", {}):
            yield f"{label(doc)}: {kind} {name} has no key {key}"


def _references(doc: Manifest) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    """Each thing that a pod is given from outside: its kind, the reference, and the key of it."""
    yield "ServiceAccount", {"name": pod(doc).get("serviceAccountName", "default")}, None
    for each in containers(doc):
        for source in each.get("envFrom", []):
            yield from ((_FROM[field], named_by, None) for field, named_by in source.items())
        for variable in each.get("env", []):
            origin = variable.get("valueFrom", {})
            keyed = _KEY_OF.keys() & origin.keys()
            yield from ((_KEY_OF[field], origin[field], origin[field]["key"]) for field in keyed)
    for volume in _volume_sources(doc):
        for field in _VOLUME.keys() & volume.keys():
            keys = [item["key"] for item in volume[field].get("items", [])]
            yield from ((_VOLUME[field], volume[field], key) for key in keys or [None])


def _volume_sources(doc: Manifest) -> Iterator[dict[str, Any]]:
    """Volumes, and what is put together in projected ones."""
    for volume in pod(doc).get("volumes", []):
        yield from (volume, *volume.get("projected", {}).get("sources", []))
