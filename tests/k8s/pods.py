"""Finds one's way around manifests: pods, containers, what they are given."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.k8s.rendering import Manifest

WORKER: Final = "embeddings-worker"
_REFERENCE: Final = re.compile(r"\$\(([A-Za-z0-9_]+)\)")


def of_kind(docs: list[Manifest], *kinds: str) -> list[Manifest]:
    """The manifests of these kinds."""
    return [doc for doc in docs if doc["kind"] in kinds]


def named(docs: list[Manifest], kind: str, name: str) -> Manifest | None:
    """The manifest of this kind and name, if it is there."""
    return next((d for d in of_kind(docs, kind) if d["metadata"]["name"] == name), None)


def workloads(docs: list[Manifest]) -> list[Manifest]:
    """All that makes pods."""
    return of_kind(docs, "Deployment", "Job")


def label(doc: Manifest) -> str:
    """What a fault calls a manifest."""
    return f"{doc['kind']}/{doc['metadata']['name']}"


def pod(doc: Manifest) -> dict[str, Any]:
    """The pod spec of a workload."""
    spec: dict[str, Any] = doc["spec"]["template"]["spec"]
    return spec


def pod_labels(doc: Manifest) -> dict[str, str]:
    """The labels of a workload's pods."""
    labels: dict[str, str] = doc["spec"]["template"]["metadata"]["labels"]
    return labels


def containers(doc: Manifest) -> list[dict[str, Any]]:
    """All containers of a workload's pod, in the order that they start."""
    spec = pod(doc)
    return [*spec.get("initContainers", []), *spec["containers"]]


def container(doc: Manifest, name: str) -> dict[str, Any]:
    """The container of this name."""
    return next(each for each in containers(doc) if each["name"] == name)


def deployment(docs: list[Manifest]) -> Manifest:
    """The Deployment, of which every rendering has one at most."""
    return of_kind(docs, "Deployment")[0]


def is_native_sidecar(doc: Manifest, each: Mapping[str, Any]) -> bool:
    """Whether it is an initContainer that stays."""
    return each in pod(doc).get("initContainers", []) and each.get("restartPolicy") == "Always"


def environment(docs: list[Manifest], each: Mapping[str, Any]) -> dict[str, str]:
    """A container's variables, as the kubelet would set them; values of Secrets are "secret"."""
    found: dict[str, str] = {}
    for source in each.get("envFrom", []):
        config = named(docs, "ConfigMap", source["configMapRef"]["name"])
        found |= config["data"] if config else {}
    for variable in each.get("env", []):
        found[variable["name"]] = variable.get("value", "secret")
    return found


def arguments(docs: list[Manifest], each: Mapping[str, Any]) -> list[str]:
    """A container's command and arguments, with `$(VAR)` as the kubelet replaces it."""
    variables = environment(docs, each)
    texts = [*each.get("command", []), *each.get("args", [])]
    return [expanded(text, variables) for text in texts]


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """A word of a command, with `$(VAR)` as the kubelet replaces it."""
    return _REFERENCE.sub(lambda m: variables.get(m[1], m[0]), text)


def mounts(each: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A container's mounts, by path."""
    return {mount["mountPath"]: mount for mount in each.get("volumeMounts", [])}


def volume(doc: Manifest, name: str) -> dict[str, Any]:
    """The volume of this name."""
    found: dict[str, Any] = next(v for v in pod(doc)["volumes"] if v["name"] == name)
    return found


def walk(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a manifest, with the names that lead to it (list positions left out)."""
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner, path)
