"""How time grows with a release's bytes, with its files, and with the agents on one share."""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import ExitStack
from itertools import pairwise
from statistics import mean
from typing import TYPE_CHECKING, Final

from agent.shares.directory import DirectoryShare
from agent.store import stage as staging
from agent.store.store import Store
from tests.benchmarks.local import forget
from tests.benchmarks.measuring import medians, timed
from tests.benchmarks.release import describe
from tests.support.pods import NO_WORKER, Pod
from tests.support.rest import rest_share
from tests.support.shares import EXTERNAL, INLINE, tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from agent.release.manifest import Manifest
    from tests.benchmarks.release import Subject
    from tests.support.azure_double import Double
    from tests.support.rest import RestShare
    from tests.support.sidecars import Sidecar

_SIZES: Final = (100_000_000, 1_000_000_000, 10_000_000_000)
_COUNTS: Final = (10, 100, 1_000, 20_000)
_SMALL: Final = 4096
_AGENTS: Final = (1, 8, 64)
_POLL: Final = 5
_WATCHED: Final = 60
_MIB: Final = 1024**2


def found(subject: Subject) -> Iterator[str]:
    """Three tables in Markdown."""
    room = subject.room / "growth"
    room.mkdir()
    yield "| staged, page cache cold | seconds | read, GB | GB/s | ms a file |"
    yield "| --- | --- | --- | --- | --- |"
    for size in _SIZES:
        yield _staged(room, f"{size / 1e9:g} GB in one file", [size])
    for count in _COUNTS:
        yield _staged(room, f"{count} files of 4 KiB", [_SMALL] * count)
    yield ""
    yield (
        f"| agents, polls {_POLL}s | requests an hour, each | marker reads a poll "
        "| busiest second by the mean | bump to the last staged, s | requests for it, each |"
    )
    yield "| --- | --- | --- | --- | --- | --- |"
    for count in _AGENTS:
        yield _many(room, count)
    yield ""


def _staged(room: Path, what: str, sizes: list[int]) -> str:
    directory = room / "share" / "releases" / "v1"
    release = _write(directory, sizes)
    share, store = DirectoryShare(room / "share"), Store(room / "store")
    store.root.mkdir()
    store.prepare()
    stop, read = threading.Event(), 0

    def stage() -> None:
        nonlocal read
        read = staging.stage(share, release, store, stop=stop).moved["share"]

    def clear() -> None:
        store.remove("v1")
        forget(directory)

    (took,) = medians([timed(stage)], between=clear)
    shutil.rmtree(room / "share")
    shutil.rmtree(store.root)
    rate, each = read / 1e9 / took.seconds, 1000 * took.seconds / len(sizes)
    return f"| {what} | {took.seconds:.2f} | {read / 1e9:.2f} | {rate:.2f} | {each:.2f} |"


def _write(directory: Path, sizes: list[int]) -> Manifest:
    """A release of files of random bytes."""
    block = os.urandom(64 * _MIB)
    for number, size in enumerate(sizes):
        path = directory / "fastembed" / f"{number:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(f"{number:016}".encode())
            while left := size - file.tell():
                file.write(block[:left])
    return describe(directory)


def _many(room: Path, count: int) -> str:
    """What so many sidecars ask of a share while nothing changes, and at a bump."""
    home = room / f"agents-{count}"
    home.mkdir()
    with ExitStack() as stack:
        share = stack.enter_context(rest_share(home / "account"))
        for version, kind in (("v1", INLINE), ("v2", EXTERNAL)):
            share.run("publish", "--from", tree(home / version, kind), "--version", version).ok()
        share.put("VERSION", b"v1\n")
        sidecars = [stack.enter_context(_sidecar(home / f"{n}", share)) for n in range(count)]
        _wait(sidecars, "sync.done", "v1")
        share.double.reset_counters()
        seconds = _watch(share.double)
        markers = sum(r["path"].endswith("/VERSION") for r in share.double.requests())
        share.double.reset_counters()
        began = time.monotonic()
        share.put("VERSION", b"v2\n")
        _wait(sidecars, "release.staged", "v2")
        took, bump = time.monotonic() - began, _total(share.double)
    shutil.rmtree(home)
    polls = count * _WATCHED / _POLL
    an_hour = 3600 / _WATCHED * sum(seconds) / count
    spread = max(seconds) / mean(seconds)
    return (
        f"| {count} | {an_hour:.0f} | {markers / polls:.2f} | {spread:.1f} | {took:.0f} "
        f"| {bump / count:.0f} |"
    )


def _sidecar(home: Path, share: RestShare) -> AbstractContextManager[Sidecar]:
    """One without a worker: what it does to the share is the same."""
    pod = Pod(home, share.disk, env=share.env())
    return pod.sidecar(NO_WORKER, "--reload-method", "none", poll=f"{_POLL}s")


def _wait(sidecars: list[Sidecar], event: str, version: str) -> None:
    for sidecar in sidecars:
        sidecar.wait_for(event, version=version, seconds=300)


def _watch(double: Double) -> list[int]:
    """How many requests came in each of `_WATCHED` seconds."""
    seen, due = [_total(double)], time.monotonic()
    for _ in range(_WATCHED):
        due += 1
        time.sleep(max(0.0, due - time.monotonic()))
        seen.append(_total(double))
    return [after - before for before, after in pairwise(seen)]


def _total(double: Double) -> int:
    requests: int = double.counters()["total"]["requests"]
    return requests
