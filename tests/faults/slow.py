"""A share over REST with a large file, which stops in the middle of it when it is told to."""

from __future__ import annotations

import hashlib
import random
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.release import manifest
from tests.faults.whole import sha256
from tests.support.pods import Pod
from tests.support.rest import rest_share
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.rest import RestShare
    from tests.support.shares import TestShare

BIG: Final = "big.dat"
CHUNK: Final = 2**20
CHUNKS: Final = 16
PASSED: Final = 8


def enlarge(release: Path, version: str, chunks: tuple[str, ...], big: Path) -> None:
    """Make a release another one that has a large file, too.

    Args:
        release: Its directory; its own files are smaller than a chunk.
        version: What it is from now on.
        chunks: The digests of the large file's chunks.
        big: The large file, which is moved.
    """
    old = manifest.parse((release / manifest.FILE_NAME).read_bytes())
    size = big.stat().st_size
    file = manifest.File(path=BIG, size=size, sha256=sha256(big), chunks=chunks)
    made = manifest.build(
        version=version,
        created=old.created,
        generator=old.generator,
        chunk_size=CHUNK,
        files=[*old.files, file],
        models=list(old.models),
    )
    big.rename(release / BIG)
    (release / manifest.FILE_NAME).write_bytes(made.encoded)


@dataclass(frozen=True)
class SlowShare:
    """A share that stops after some chunks of the large file of v4 and v5, until it is healed."""

    rest: RestShare

    def stop(self) -> None:
        """Let `PASSED` chunks of a large file through, and have the others hang."""
        self.rest.double.fault("stall", path=BIG, nth=PASSED + 1, count=None, after=0)

    def wait_until_stopped(self, staging: Path) -> None:
        """Wait until all that passes is in a release's staging directory, and the rest hangs."""
        until(lambda: whole_chunks(staging / BIG) == PASSED)
        until(lambda: self.rest.double.faults()[0]["hits"])

    def heal(self) -> None:
        """Be as fast as any."""
        self.rest.double.heal()


@contextmanager
def slow_pod(releases: Path, root: Path) -> Iterator[tuple[Pod, SlowShare]]:
    """A pod with v1 active, and v4 and v5 on the share: v1 and v2 with one large file more."""
    with rest_share(root / "double", fill=lambda disk: _fill(disk, releases)) as rest:
        made = Pod(root / "pod", rest.disk, env=rest.env())
        made.agent("promote", "v1")
        made.agent("init")
        yield made, SlowShare(rest)


def _fill(disk: TestShare, releases: Path) -> None:
    disk.fill_from(releases)
    data = random.Random(1).randbytes(CHUNKS * CHUNK)
    chunks = tuple(
        hashlib.sha256(data[at : at + CHUNK]).hexdigest() for at in range(0, len(data), CHUNK)
    )
    for version, source in (("v4", "v1"), ("v5", "v2")):
        shutil.copytree(disk.release(source), disk.release(version))
        big = disk.root.parent.with_suffix(f".{version}")
        big.write_bytes(data)
        enlarge(disk.release(version), version, chunks, big)


def whole_chunks(path: Path) -> int:
    """How many chunks of a file have arrived: the others are zeros."""
    data = path.read_bytes() if path.exists() else b""
    return sum(any(data[at : at + CHUNK]) for at in range(0, len(data), CHUNK))
