"""Manifests that claim too much, each promoted under a sidecar whose worker serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.faults.test_security_manifest import assert_quarantined, edited, manifest_of
from tests.support import proc

if TYPE_CHECKING:
    from tests.faults.serving import Serving
    from tests.faults.test_security_manifest import Spoil
    from tests.support.pods import Pod

_HEX: Final = "0" * 64
_MIB: Final = 1024 * 1024
_BIG: Final = 10**12


def entries(count: int) -> Spoil:
    """Add so many files."""

    def spoil(data: bytes) -> bytes:
        head, found, tail = data.partition(b'"files":[')
        made = (
            f'{{"chunks":[],"path":"f{n}","sha256":"{_HEX}","size":0}},'.encode()
            for n in range(count)
        )
        return head + found + b"".join(made) + tail

    return spoil


def peak_bytes(running: Serving) -> int:
    """The most memory that the sidecar has had."""
    return proc.memory("VmHWM", running.sidecar.process.pid)


@pytest.mark.parametrize(
    ("spoil", "said", "most"),
    [
        pytest.param(
            entries(10**6),
            "it has over 8388608 bytes",
            96 * _MIB,
            marks=case("security", "manifest: 10^6 entries"),
            id="10^6",
        ),
        pytest.param(
            entries(70_000),
            "field files has 700",
            200 * _MIB,
            marks=case("security", "manifest: as many entries as its limit of 8 MiB lets in"),
            id="8 MiB",
        ),
    ],
)
def test_a_manifest_without_end(spoil: Spoil, said: str, most: int, pod: Pod) -> None:
    """It is refused in one sentence, and the sidecar takes at most 200 MiB more for it."""
    manifest = manifest_of(pod)
    good = manifest.read_bytes()
    manifest.write_bytes(spoil(good))
    with serving(pod) as running:
        running.settle("v1")
        before = peak_bytes(running)
        running.mark("v2\n")
        assert_quarantined(running, said)
        assert peak_bytes(running) - before < most
        manifest.write_bytes(good)
        running.sidecar.look_now()
        running.settle("v2")


def claims_a_terabyte(raw: dict[str, Any]) -> None:
    """Say that the first file has 10^12 bytes."""
    chunk = 64 * _MIB
    raw["chunk_size"] = chunk
    for file in raw["files"]:
        file["chunks"] = file["chunks"][:1]
    raw["files"][0] |= {"size": _BIG, "chunks": [_HEX] * -(-_BIG // chunk)}


@case("security", "manifest: 10^12 bytes")
def test_a_manifest_of_a_terabyte(pod: Pod) -> None:
    """There is no room for it: nothing is allocated, `/status` says so, the next one is taken."""
    manifest = manifest_of(pod)
    manifest.write_bytes(edited(claims_a_terabyte)(manifest.read_bytes()))
    with serving(pod, "--store-limit", "1Gi") as running:
        running.settle("v1")
        before = peak_bytes(running)
        running.mark("v2\n")
        failed = running.sidecar.wait_for("sync.failed", version="v2")
        assert failed["kind"] == "no_space"
        assert running.sidecar.status()["last_error"] == failed["reason"]
        assert running.sidecar.status()["quarantined"] == {}
        running.assert_active("v1")
        assert not list((pod.store / ".agent" / "staging").rglob("*.*"))
        assert peak_bytes(running) - before < 32 * _MIB
        running.allowed.add("v3")
        running.mark("v3\n")
        running.settle("v3")
