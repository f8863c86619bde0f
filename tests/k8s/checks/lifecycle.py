"""Do pods start, roll and end in the order that they must?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.k8s import pods
from tests.k8s.checks.agents import PROGRAM, is_ours
from tests.k8s.pods import WORKER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.k8s.rendering import Manifest

INIT: Final = "model-agent-init"
# What the containers take to end, in seconds: see embeddings_worker/serving.py (20, then what
# lingers, the last bytes and the admin listener) and docs/operations.md. What a worker that is not
# ours takes is its own affair: only that it drains at all is reckoned with.
_DRAIN: Final = 27
_FOREIGN_DRAIN: Final = 20
_SIDECAR: Final = 5


def disorder(docs: list[Manifest], *, native: bool = True, surge: bool = True) -> list[str]:
    """What comes at the wrong time.

    Args:
        docs: The manifests.
        native: Whether the sidecar is a native one.
        surge: Whether a roll-out adds a pod before it takes one away.
    """
    return [
        fault
        for doc in pods.of_kind(docs, "Deployment")
        for fault in (
            *_start(doc, native=native),
            *_probes(doc),
            *_roll(doc, surge=surge),
            *_end(doc, native=native),
        )
    ]


def _start(doc: Manifest, *, native: bool) -> Iterator[str]:
    names = [each["name"] for each in pods.pod(doc)["initContainers"]]
    expected = [INIT, PROGRAM] if native else [INIT]
    if names != expected:
        yield f"the initContainers are {names}"
    sidecar = pods.container(doc, PROGRAM)
    if pods.is_native_sidecar(doc, sidecar) != native:
        yield "the sidecar is of the other kind"
    if "restartPolicy" in pods.container(doc, INIT):
        yield "the first initContainer stays"


def _probes(doc: Manifest) -> Iterator[str]:
    sidecar, worker = pods.container(doc, PROGRAM), pods.container(doc, WORKER)
    own = {port["name"] for port in sidecar["ports"]}
    for name in ("startupProbe", "livenessProbe"):
        get = sidecar[name]["httpGet"]
        if get["path"] != "/healthz" or get["port"] not in own:
            yield f"the sidecar's {name} waits for more than its own loop"
    if "readinessProbe" in sidecar:
        yield "the sidecar can take the worker out of its Service"
    if not is_ours(worker):
        return
    paths = {
        name: worker[name]["httpGet"]["path"]
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    if paths["readinessProbe"] != "/readyz":
        yield "requests reach a worker that serves nothing"
    if {paths["startupProbe"], paths["livenessProbe"]} != {"/healthz"}:
        yield "a worker that waits for a good release is killed"


def _roll(doc: Manifest, *, surge: bool) -> Iterator[str]:
    rolling = doc["spec"]["strategy"]["rollingUpdate"]
    expected = (
        {"maxUnavailable": 0, "maxSurge": 1} if surge else {"maxUnavailable": 1, "maxSurge": 0}
    )
    if rolling != expected:
        yield f"it rolls by {rolling}"


def _end(doc: Manifest, *, native: bool) -> Iterator[str]:
    worker = pods.container(doc, WORKER)
    pause = _pause(worker) if is_ours(worker) else 0
    drain = _DRAIN if is_ours(worker) else _FOREIGN_DRAIN
    if is_ours(worker) and not pause:
        yield "the worker ends while Services still lead to it"
    needed = pause + drain + (_SIDECAR if native else 0)
    if pods.pod(doc)["terminationGracePeriodSeconds"] <= needed:
        yield f"the end takes up to {needed} s, and Kubernetes kills before that"


def _pause(worker: Mapping[str, Any]) -> int:
    """Seconds that the worker's preStop takes."""
    command = worker.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [""])
    digits = "".join(letter for letter in command[-1] if letter.isdigit())
    return int(digits or 0)
