"""Manifests that mean harm, each promoted under a sidecar whose worker serves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.serving import Serving
    from tests.support.pods import Pod

    Spoil = Callable[[bytes], bytes]


def named(path: str) -> Spoil:
    """Have the first file called otherwise."""
    return edited(lambda raw: raw["files"][0].update(path=path))


def edited(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Change what the manifest says."""

    def spoil(data: bytes) -> bytes:
        raw = json.loads(data)
        change(raw)
        return json.dumps(raw).encode()

    return spoil


def twice(data: bytes) -> bytes:
    """Say two versions."""
    return data.replace(b'"version":"v2"', b'"version":"v9","version":"v2"')


def nested(data: bytes) -> bytes:
    """Put 100 000 lists into each other."""
    return data.replace(
        b'"schema":1', b'"more":' + b"[" * 100_000 + b"]" * 100_000 + b',"schema":1'
    )


def hostile(name: str, spoil: Spoil, said: str) -> object:
    """A manifest, and what is said of it."""
    return pytest.param(spoil, said, id=name, marks=case("security", f"manifest: {name}"))


def manifest_of(pod: Pod) -> Path:
    """The manifest of v2 on the share."""
    return pod.share.release("v2") / "manifest.json"


def assert_quarantined(running: Serving, said: str) -> None:
    """V2 is refused in one sentence, v1 serves on, and nothing of v2 is anywhere."""
    entry = until(lambda: running.sidecar.status()["quarantined"].get("v2"))
    assert said in entry["reason"]
    assert "\n" not in entry["reason"]
    assert len(entry["reason"]) < 1000
    until(lambda: running.sidecar.metric("model_agent_quarantined_releases") == 1)
    running.assert_active("v1")
    assert running.pod.held() == {"v1"}
    assert not list((running.pod.store / ".agent" / "staging").iterdir())
    assert not list(running.pod.root.rglob("outside"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        hostile("traversal", named("../../../outside"), "has the component '..'"),
        hostile("absolute path", named("/tmp/outside"), "is absolute"),
        hostile("device name", named("fastembed/NUL.onnx"), "the reserved device name"),
        hostile(
            "control character", named("fastembed/a\nb"), "a character that Azure Files refuses"
        ),
        hostile("duplicate keys", twice, "field 'version' stands twice"),
        hostile("deep nesting", nested, "nested too deeply"),
    ],
)
def test_a_manifest_that_means_harm(spoil: Spoil, said: str, pod: Pod) -> None:
    """It is refused in one sentence, nothing is written, and a right one is taken by itself."""
    manifest = manifest_of(pod)
    good = manifest.read_bytes()
    manifest.write_bytes(spoil(good))
    with serving(pod) as running:
        running.mark("v2\n")
        assert_quarantined(running, said)
        manifest.write_bytes(good)
        running.sidecar.look_now()
        running.settle("v2")
