"""Does the store have room for what it must hold, and does it say so before the kubelet evicts?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.k8s import pods
from tests.k8s.checks.agents import PROGRAM, catalog_of, settings_of
from tests.k8s.checks.storage import size

if TYPE_CHECKING:
    from tests.k8s.rendering import Manifest

# bge-large as the Hub has it, and MiniLM's safetensors or ONNX; tokenizers take the rest.
MODEL_BYTES: Final = {
    "BAAI/bge-large-en-v1.5": 1_336_435_864 + 2_000_000,
    "sentence-transformers/all-MiniLM-L6-v2": 90_900_000 + 2_000_000,
}
# Percent on top, since an emptyDir's size is looked at now and then only.
_SPARE: Final = 20


def too_small(docs: list[Manifest]) -> list[str]:
    """Stores that a bump would not fit into, or that are evicted before they are full."""
    return [fault for doc in pods.of_kind(docs, "Deployment") for fault in _too_small(docs, doc)]


def _too_small(docs: list[Manifest], doc: Manifest) -> list[str]:
    each = pods.container(doc, PROGRAM)
    own = settings_of(docs, each)
    release = sum(MODEL_BYTES[model.name] for model in catalog_of(docs, doc, each).model)
    needed = (own.keep + 1) * release
    faults = []
    if own.store_limit is None:
        return ["the agent does not know how much it may store"]
    if own.store_limit < needed:
        faults.append(f"{own.keep + 1} releases take {needed}, and the limit is {own.store_limit}")
    volume = pods.volume(doc, "store")
    given = _given(volume)
    if given is not None and given < needed * (100 + _SPARE) / 100:
        faults.append(f"the volume has {given}, which is less than {needed} and {_SPARE} %")
    if given is not None and own.store_limit >= given:
        faults.append(f"the agent may store {own.store_limit}, and the volume has {given}")
    if "emptyDir" in volume:
        asked = each["resources"]["requests"].get("ephemeral-storage", "0Gi")
        if given is None or size(asked) < given:
            faults.append("no room on the node's disk is asked for")
    return faults


def _given(volume: dict[str, Any]) -> int | None:
    """Bytes of the store's volume; None where nothing says so."""
    if "emptyDir" in volume:
        limit = volume["emptyDir"].get("sizeLimit")
        return size(limit) if limit else 0
    if "ephemeral" in volume:
        claim = volume["ephemeral"]["volumeClaimTemplate"]["spec"]
        return size(claim["resources"]["requests"]["storage"])
    return None
