"""Files that run code when they are loaded, promoted under a sidecar whose worker serves."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.faults.test_security_trees import tree
from tests.support.workers import until

if TYPE_CHECKING:
    from tests.support.pods import Pod

_PICKLE: Final = b"cos\nsystem\n(S'touch /tmp/run-by-a-pickle'\ntR."


def add_a_pickle(pod: Pod) -> None:
    """Have v2 hold a pickle beside its model, with all that a manifest says of it."""
    model = next(pod.share.release("v2").rglob("model.onnx"))
    path = model.with_name("pytorch_model.bin")
    path.write_bytes(_PICKLE)
    digest = hashlib.sha256(_PICKLE).hexdigest()
    name = str(path.relative_to(pod.share.release("v2")))
    entry = {"path": name, "size": len(_PICKLE), "sha256": digest, "chunks": [digest]}
    pod.share.sign("v2", lambda raw: raw["files"].append(entry))


@case("security", "pickle in a published release")
def test_a_pickle_is_refused(pod: Pod) -> None:
    """It is refused in one sentence and not staged, and the release without it is taken."""
    manifest = pod.share.release("v2") / "manifest.json"
    good = manifest.read_bytes()
    add_a_pickle(pod)
    with serving(pod) as running:
        running.mark("v2\n")
        until(lambda: "a pickle, which runs" in (running.sidecar.status()["last_error"] or ""))
        until(lambda: running.sidecar.metric('model_agent_syncs_total{status="error"}') >= 1)
        running.assert_active("v1")
        assert not list(pod.store.rglob("*.bin"))
        manifest.write_bytes(good)
        running.sidecar.look_now()
        running.settle("v2")


@case("security", "pickle in a published release, and --allow-pickle")
def test_a_pickle_is_allowed(pod: Pod) -> None:
    """The release is staged whole and served: that was the operator's word."""
    add_a_pickle(pod)
    with serving(pod, "--allow-pickle") as running:
        running.mark("v2\n")
        running.settle("v2")
        assert {each.read_bytes() for each in pod.store.rglob("*.bin")} == {_PICKLE}


@case("security", "pickle in a tree made by hand, beside a model that is none")
def test_a_pickle_in_a_tree(pod: Pod) -> None:
    """It is left out, and the model is adopted and served."""
    (tree(pod) / "pytorch_model.bin").write_bytes(_PICKLE)
    with serving(pod) as running:
        running.allowed.add("v9")
        running.mark("v9\n")
        running.settle("v9")
        assert not list(pod.store.rglob("*.bin"))
