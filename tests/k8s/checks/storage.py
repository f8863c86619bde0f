"""Do claims and volumes fit each other?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tests.k8s.pods import label, named, of_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.k8s.rendering import Manifest

# Secrets are made by hand: docs/kubernetes.md and docs/signing.md say how.
SECRETS: Final = {"azure-files", "model-agent-sign-key"}
_UNITS: Final = {"Mi": 2**20, "Gi": 2**30}


def misfits(docs: list[Manifest], there: list[Manifest]) -> Iterator[str]:
    """Claims without their volume and volumes without their claim; `there` is the cluster."""
    for claim in of_kind(docs, "PersistentVolumeClaim"):
        spec = claim["spec"]
        if "volumeName" in spec:
            volume = named(there, "PersistentVolume", spec["volumeName"])
            faults = _differences(spec, volume["spec"]) if volume else ["has no volume"]
            yield from (f"{label(claim)} {fault}" for fault in faults)
        elif spec.get("storageClassName") == "":
            yield f"{label(claim)} names neither a volume nor a class"
    claimed = {c["spec"].get("volumeName") for c in of_kind(there, "PersistentVolumeClaim")}
    volumes = of_kind(docs, "PersistentVolume")
    for volume in volumes:
        if volume["metadata"]["name"] not in claimed:
            yield f"{label(volume)} is claimed by nothing"
        secret = volume["spec"]["csi"].get("nodeStageSecretRef", {}).get("name")
        if secret and secret not in SECRETS:
            yield f"{label(volume)}: there is no Secret {secret}"
    handles = Counter(volume["spec"]["csi"]["volumeHandle"] for volume in volumes)
    yield from (f"two volumes have the handle {h}" for h, n in handles.items() if n > 1)


def _differences(claim: dict[str, Any], volume: dict[str, Any]) -> Iterator[str]:
    if claim.get("storageClassName") != volume.get("storageClassName"):
        yield "and its volume differ in storageClassName"
    if not set(claim["accessModes"]) <= set(volume["accessModes"]):
        yield "wants an access mode that its volume has not"
    if size(claim["resources"]["requests"]["storage"]) > size(volume["capacity"]["storage"]):
        yield "wants more than its volume has"


def size(text: str) -> int:
    """Bytes of a quantity as these manifests write it."""
    return int(text[:-2]) * _UNITS[text[-2:]]
