"""A pod on a share that is mounted, and a release on it that takes a while to stage."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from agent.release import manifest
from tests.containers.mounting import Mount, remote
from tests.containers.remote import Fault
from tests.containers.required import required
from tests.faults.serving import serving
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.serving import Serving
    from tests.support.pods import Pod

_CHUNK: Final = 4096
_SLOW: Final = Fault(seconds=0.1, paths="releases/v2/*.onnx.data")


@contextmanager
def mounted_share(pod: Pod) -> Iterator[Mount]:
    """Mount the share of a pod while the block runs, or skip the test with the reason."""
    room = pod.root / "mounted"
    room.mkdir()
    with required(), remote(pod.share.root, room) as mount:
        yield mount


@contextmanager
def pod_on(mount: Mount, pod: Pod) -> Iterator[Serving]:
    """A pod whose sidecar reads the share through the mount."""
    with serving(pod, "--share", str(mount.path)) as running:
        yield running


def in_small_chunks(pod: Pod, version: str) -> None:
    """Give a release on the share many chunks; of its weights, that is of `*.onnx.data`, 45."""
    home = pod.share.release(version)
    old = manifest.parse((home / manifest.FILE_NAME).read_bytes())
    files = [replace(file, chunks=_digests(home / file.path)) for file in old.files]
    made = manifest.build(
        version=version,
        created=old.created,
        generator=old.generator,
        chunk_size=_CHUNK,
        files=files,
        models=list(old.models),
    )
    (home / manifest.FILE_NAME).write_bytes(made.encoded)


@contextmanager
def half_staged(running: Serving, mount: Mount) -> Iterator[None]:
    """Bump to v2, and be in the middle of its weights; reads are slow while the block begins."""
    with mount.fault(_SLOW):
        running.mark("v2\n")
        until(lambda: 0 < staged_part(running.pod.store) < 0.5)
        yield


def staged_part(store: Path) -> float:
    """How much of the weights of v2 has been staged: what is not there yet is zeros."""
    found = list((store / ".agent" / "staging" / "v2").rglob("*.onnx.data"))
    pieces = _pieces(found[0]) if found else []
    return sum(map(any, pieces)) / max(1, len(pieces))


def _digests(path: Path) -> tuple[str, ...]:
    return tuple(hashlib.sha256(piece).hexdigest() for piece in _pieces(path))


def _pieces(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
