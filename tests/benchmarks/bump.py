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
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from agent.files import durable
from tests.benchmarks import memory, pod, table
from tests.benchmarks.ceilings import CORES
from tests.benchmarks.measuring import ROUNDS, Sample, cpu_of
from tests.benchmarks.table import Row
from tests.benchmarks.traffic import TITLES, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.benchmarks.release import Subject
    from tests.support.workers import Worker

_BEFORE: Final = 10.0
_AFTER: Final = 5.0
_DRAIN: Final = 2.0  # seconds from the switch to the end of the pod before
_PHASES: Final = ("stage", "check", "activate", "reload")

Markers = dict[str, bytes]
Event = dict[str, Any]  # a line of the sidecar's log


def found(subject: Subject) -> Iterator[Row | str]:
    """A row of the times, tables of the requests' percentiles and of a reload's phases."""
    site = pod.publish(subject.room / "pod")
    markers = _markers(site)
    reloads = _reloads(site, markers)
    restart, noisy = _restarts(site, markers)
    shutil.rmtree(site.root)
    yield Row("bump to confirmed, by reload", reloads.took, "rolling restart, same checks", restart)
    yield from table.head(TITLES)
    yield reloads.traffic.line("by reload")
    yield noisy.line("by restart")
    yield ""
    yield from table.head(("a reload, s", *_PHASES))
    yield _phases(
        f"beside requests, which take {reloads.busy:.1f} of {CORES} cores", reloads.busily
    )
    yield _phases("beside none, memory at hand", reloads.alone)
    yield ""


def _phases(name: str, events: Sequence[Event]) -> str:
    """The medians of what the sidecar logged, in Markdown."""
    found = [median(event[f"{phase}_seconds"] for event in events) for phase in _PHASES]
    return table.line([name, *(f"{seconds:.1f}" for seconds in found)])


@dataclass(frozen=True)
class _Reloads:
    """What is told of the reloads.

    Attributes:
        took: A bump beside requests.
        traffic: These requests.
        busy: Cores that the worker is busy with them while nothing else is done.
        busily: What the sidecar logged of each bump beside requests.
        alone: What it logged of each with none.
    """

    took: Sample
    traffic: Traffic
    busy: float
    busily: Sequence[Event]
    alone: Sequence[Event]


def _reloads(site: pod.LargePod, markers: Markers) -> _Reloads:
    """A worker that is told of each release; its store keeps one, so all of it is staged anew."""
    _mark(site, markers, pod.VERSIONS[0])
    _init(site)
    with ExitStack() as stack:
        running = stack.enter_context(site.worker())
        running.wait("ready", seconds=120)
        sidecar = stack.enter_context(site.sidecar(running.admin, "--keep", "1", poll="1h"))

        def reload(version: str) -> Event:
            sidecar.events.clear()
            sidecar.look_now()
            return sidecar.wait_for("sync.done", version=version, seconds=300)

        busily: list[Event] = []
        with Traffic(running.serving) as traffic:
            busy = _cores(running.process.pid)
            took = _bump(site, markers, traffic, lambda version: busily.append(reload(version)))
        return _Reloads(took, traffic, busy, busily, _alone(site, markers, reload))


def _cores(pid: int) -> float:
    before = cpu_of(pid)
    time.sleep(_BEFORE)
    return (cpu_of(pid) - before) / _BEFORE


def _alone(site: pod.LargePod, markers: Markers, reload: Callable[[str], Event]) -> Sequence[Event]:
    """What the sidecar logs of bumps that go on from where those beside requests ended."""
    events = []
    for number in range(ROUNDS, 2 * ROUNDS):
        version = _version(number)
        _mark(site, markers, version)
        with memory.free():
            events.append(reload(version))
    return events


def _restarts(site: pod.LargePod, markers: Markers) -> tuple[Sample, Traffic]:
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
def _serving(site: pod.LargePod, number: int) -> Iterator[Worker]:
    """A pod whose worker has answered once."""
    here = site.another(f"pod-{number}")
    _init(here)
    with here.worker() as running:
        running.wait("ready", seconds=120)
        running.embed("hello world").raise_for_status()
        yield running


def _bump(
    site: pod.LargePod, markers: Markers, traffic: Traffic, bring: Callable[[str], object]
) -> Sample:
    """Bump to and fro; the median seconds of a bump, counted from the agent's look."""
    seconds = []
    for number in range(ROUNDS):
        version = _version(number)
        traffic.part = "before"
        time.sleep(_BEFORE)
        _mark(site, markers, version)
        traffic.part, began = "during", time.monotonic()
        bring(version)
        seconds.append(time.monotonic() - began)
        traffic.part = "after"
        time.sleep(_AFTER)
    return Sample(median(seconds), None)


def _version(number: int) -> str:
    """What the bump of this number brings, counted from 0; before it was the other one."""
    return pod.VERSIONS[(number + 1) % 2]


def _init(here: pod.LargePod) -> None:
    """Bring the release that the marker names into a store that is empty."""
    started = here.run("init").ok()
    assert started.named("init.done"), started.sentence


def _mark(site: pod.LargePod, markers: Markers, version: str) -> None:
    durable.write(site.share.root / "VERSION", markers[version])


def _markers(site: pod.LargePod) -> Markers:
    """What `promote` writes for each version, so that no process runs when it is bumped."""
    found = {}
    for version in pod.VERSIONS:
        site.promote(version)
        found[version] = (site.share.root / "VERSION").read_bytes()
    return found
