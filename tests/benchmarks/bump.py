"""From a bump of the marker to the new release served, under requests: by a reload, by a restart.

Both stage all of bge-large, hold it to its canary and end with the first answer of the new release.
The restart is what a rolling update does: `init` on a store of its own, a second worker, the switch
once it is ready, the end of the first. Both begin when the agent looks.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final, Self

import httpx

from agent import durable
from tests.benchmarks import pod
from tests.benchmarks.measuring import ROUNDS, Sample
from tests.benchmarks.table import Row
from tests.support import agents
from tests.support.cluster import running_sidecar
from tests.support.workers import client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.benchmarks.release import Subject
    from tests.support.workers import Worker

_EVERY: Final = 0.2  # seconds between two requests of one text
_BEFORE: Final = 10.0
_AFTER: Final = 5.0
_DRAIN: Final = 2.0  # seconds from the switch to the end of the pod before
_MILLI: Final = 1000
_PARTS: Final = ("before", "during", "after")

Markers = dict[str, bytes]


@dataclass
class Traffic:
    """Requests at even times, however long the answers take, to whatever worker is in turn.

    Attributes:
        url: The serving address of that worker.
        latencies: Seconds by part of the round.
        failed: How many were not answered with 200.
    """

    url: str
    part: str = _PARTS[0]
    latencies: dict[str, list[float]] = field(default_factory=lambda: {p: [] for p in _PARTS})
    failed: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        asking: list[threading.Thread] = []
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += _EVERY
            asking.append(threading.Thread(target=self._ask, args=(self.url, self.part)))
            asking[-1].start()
        for each in asking:
            each.join()

    def _ask(self, url: str, part: str) -> None:
        began = time.monotonic()
        try:
            with client(url) as http:
                body = {"input": ["where does the bus to the campus stop"]}
                http.post("/v1/embeddings", json=body).raise_for_status()
        except httpx.HTTPError:
            self.failed += 1
        self.latencies[part].append(time.monotonic() - began)

    def line(self, name: str) -> str:
        """The 50th and 99th percentile of each part, in ms, and what failed, in Markdown."""
        cells = [name]
        for part in _PARTS:
            cuts = [_MILLI * cut for cut in quantiles(self.latencies[part], n=100)]
            cells += [f"{cuts[49]:.0f}", f"{cuts[98]:.0f}"]
        asked = sum(len(each) for each in self.latencies.values())
        return f"| {' | '.join([*cells, f'{self.failed} of {asked}'])} |"


def found(subject: Subject) -> Iterator[Row | str]:
    """A row of the times, and a table of the requests' percentiles."""
    site = pod.publish(subject.room / "pod")
    markers = _markers(site)
    reload, quiet = _reloads(site, markers)
    restart, noisy = _restarts(site, markers)
    shutil.rmtree(site.room)
    yield Row("bump to confirmed, by reload", reload, "rolling restart, same checks", restart)
    titles = [f"{part} {percent}" for part in _PARTS for percent in ("p50", "p99")]
    yield f"| requests, ms | {' | '.join(titles)} | failed |"
    yield f"| --- |{' --- |' * (len(titles) + 1)}"
    yield quiet.line("by reload")
    yield noisy.line("by restart")
    yield ""


def _reloads(site: pod.Site, markers: Markers) -> tuple[Sample, Traffic]:
    """A worker that is told of each release; its store keeps one, so all of it is staged anew."""
    _mark(site, markers, pod.VERSIONS[0])
    store = _pod(site, "store")
    env = agents.environment(site.env(store))
    with ExitStack() as stack:
        running = stack.enter_context(site.worker(store))
        running.wait("ready", seconds=120)
        sidecar = stack.enter_context(running_sidecar(env, running.admin, "--keep", "1", poll="1h"))
        traffic = stack.enter_context(Traffic(running.serving))

        def reload(version: str) -> None:
            sidecar.events.clear()
            sidecar.look_now()
            sidecar.wait_for("sync.done", version=version, seconds=300)

        return _bump(site, markers, traffic, reload), traffic


def _restarts(site: pod.Site, markers: Markers) -> tuple[Sample, Traffic]:
    """A pod for each release, each with a store of its own."""
    _mark(site, markers, pod.VERSIONS[0])
    with ExitStack() as stack:
        pods = [stack.enter_context(_serving(site, 0))]
        with Traffic(pods[0].serving) as traffic:

            def restart(version: str) -> None:
                old = pods[-1]
                pods.append(stack.enter_context(_serving(site, len(pods))))
                assert pods[-1].model()["version"] == version
                traffic.url = pods[-1].serving
                stack.callback(old.process.wait)
                threading.Timer(_DRAIN, old.process.send_signal, [signal.SIGTERM]).start()

            return _bump(site, markers, traffic, restart), traffic


@contextmanager
def _serving(site: pod.Site, number: int) -> Iterator[Worker]:
    """A pod whose worker has answered once."""
    store = _pod(site, f"pod-{number}")
    with site.worker(store) as running:
        running.wait("ready", seconds=120)
        running.embed("hello world").raise_for_status()
        yield running


def _bump(
    site: pod.Site, markers: Markers, traffic: Traffic, bring: Callable[[str], None]
) -> Sample:
    """Bump to and fro; the median seconds of a bump, counted from the agent's look."""
    seconds = []
    for number in range(ROUNDS):
        version = pod.VERSIONS[(number + 1) % 2]
        traffic.part = "before"
        time.sleep(_BEFORE)
        _mark(site, markers, version)
        traffic.part, began = "during", time.monotonic()
        bring(version)
        seconds.append(time.monotonic() - began)
        traffic.part = "after"
        time.sleep(_AFTER)
    return Sample(median(seconds), None)


def _pod(site: pod.Site, name: str) -> Path:
    """A new store with the release that the marker names, by `init`."""
    store = site.room / name
    store.mkdir()
    started = site.agent(store, "init")
    assert started.named("init.done"), started.sentence
    return store


def _mark(site: pod.Site, markers: Markers, version: str) -> None:
    durable.write(site.share / "VERSION", markers[version])


def _markers(site: pod.Site) -> Markers:
    """What `promote` writes for each version, so that no process runs when it is bumped."""
    found = {}
    for version in pod.VERSIONS:
        site.promote(version)
        found[version] = (site.share / "VERSION").read_bytes()
    return found
