"""From nothing, or from a full store, to the first embedding: init and worker, one after the other.

Beside them what a user would run without us: the files by `cp -r` or by kserve-storage, which
verify nothing, and stock FastEmbed in a bare process, which serves nothing. Theirs is the model as
the Hub has it, since nothing that they run rewrites it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final

from tests.benchmarks import plot, pod, programs, table
from tests.benchmarks.measuring import Sample, medians
from tests.benchmarks.table import Row
from tests.support.certificates import make_certificate
from tests.support.rest import rest_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.benchmarks.release import Subject
    from tests.support.agents import Result
    from tests.support.rest import RestShare

_PHASES: Final = {"observe": "marker", "stage": "stage", "verify": "verify", "check": "warm"}
# Of bge-large for the 609 tokens of a canary: 24 layers with 12.6 million weights each, and the
# attention of the 512 tokens of its long text.
_CANARY_OPERATIONS: Final = 24 * (2 * 609 * 12.6e6 + 4 * 512**2 * 1024)
_COLD: Final = "empty store to first embedding"
_HAND: Final = "by hand: `cp -r`, stock"
_KSERVE: Final = f"{programs.KSERVE}, stock"

Phases = dict[str, float]
Ways = dict[str, "Callable[[], Phases]"]


@dataclass
class _Starts:
    """The ways to start a pod on one share, and the phases of each start that was made."""

    site: pod.LargePod
    rest: RestShare
    seen: dict[str, list[Phases]] = field(default_factory=partial(defaultdict, list))

    def compare(self, ways: Ways, *, empty: bool) -> dict[str, Sample]:
        """The medians of some ways, from an empty store or from what the last start left."""

        def run(name: str) -> Sample:
            self.seen[name].append(ways[name]())
            return Sample(sum(self.seen[name][-1].values()), None)

        runs = [partial(run, name) for name in ways]
        found = medians(runs, between=self.empty if empty else lambda: None)
        return dict(zip(ways, found, strict=True))

    def empty(self) -> None:
        for directory in (self.site.store, self.site.root / "fetched"):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        os.sync()

    def ours(self, *flags: str, **env: str) -> Phases:
        """`model-agent init`, then the embeddings worker until it has answered once."""
        began = time.perf_counter()
        own = {"MODEL_AGENT_CATALOG": str(self.site.share.catalog)}
        done = self.site.run("init", *flags, env=env | own).ok()
        phases = _init_phases(done, time.perf_counter() - began)
        with ExitStack() as stack:
            with _timed(phases, "start worker"):
                running = stack.enter_context(self.site.worker())
            with _timed(phases, "load"):
                running.wait("ready", seconds=120)
            with _timed(phases, "first embedding"):
                running.embed("hello world").raise_for_status()
        return phases

    def by_hand(self) -> Phases:
        """Copy the tree, then load it."""
        phases: Phases = {}
        target = self.site.root / "fetched" / "fastembed"
        with _timed(phases, "stage"):
            subprocess.run(["cp", "-r", self.site.share.root / "fastembed", target], check=True)
        return phases | _stock(target)

    def by_kserve(self) -> Phases:
        """Fetch the tree with kserve-storage, then load it."""
        phases: Phases = {}
        target = self.site.root / "fetched"
        with _timed(phases, "stage"):
            programs.kserve(self.rest, "fastembed", target)
        return phases | _stock(next(target.rglob(pod.FOLDER)).parent)

    def stock_alone(self) -> Phases:
        """Load what the store has: the optimised release."""
        return _stock(next(self.site.store.glob("releases/*/fastembed")))


def found(subject: Subject) -> Iterator[Row | str]:
    """The rows of both starts, then the phases of each way in one table."""
    site = pod.publish(subject.room / "pod")
    certificate = make_certificate(subject.room, programs.HOST)
    with rest_share(site.share.root.parent, certificate=certificate) as rest:
        starts = _Starts(site, rest)
        yield from _cold(starts, subject)
        yield from _warm(starts, subject)
    shutil.rmtree(site.root)
    phases = {name: _median(each) for name, each in starts.seen.items()}
    yield from _table(phases)
    yield plot.cold_start({name: phases[name] for name in phases if "in store" not in name})


def _cold(starts: _Starts, subject: Subject) -> Iterator[Row]:
    ways: Ways = {
        "ours, directory": starts.ours,
        "ours, not warmed": partial(starts.ours, "--no-warm"),
        _HAND: starts.by_hand,
        "ours, REST over TLS": partial(starts.ours, **starts.rest.env()),
    }
    if programs.has_kserve():
        ways[_KSERVE] = starts.by_kserve
    took = starts.compare(ways, empty=True)
    top, size, hand = subject.ceilings, subject.release.size, took[_HAND]
    limit = top.stage(size) + top.run(_CANARY_OPERATIONS) + top.load(size)
    yield Row(f"{_COLD}, directory share", took["ours, directory"], _HAND, hand, limit)
    yield Row(f"{_COLD}, directory share, not warmed", took["ours, not warmed"], _HAND, hand, limit)
    if _KSERVE in took:
        yield Row(f"{_COLD}, REST over TLS", took["ours, REST over TLS"], _KSERVE, took[_KSERVE])


def _warm(starts: _Starts, subject: Subject) -> Iterator[Row]:
    starts.empty()
    starts.ours()
    ways: Ways = {
        "ours, in store": starts.ours,
        "stock alone, in store": starts.stock_alone,
    }
    ours, stock = starts.compare(ways, empty=False).values()
    top, size = subject.ceilings, subject.release.size
    limit, beside = top.verify(size) + top.load(size), "stock FastEmbed alone"
    yield Row("release in the store to first embedding", ours, beside, stock, limit)


@contextmanager
def _timed(phases: Phases, phase: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    phases[phase] = time.perf_counter() - began


def _init_phases(done: Result, seconds: float) -> Phases:
    """The phases of `init` by their names in its last line; what is left is its start and end."""
    event = done.named("init.done")[0]
    taken = {_PHASES[name]: float(event.get(f"{name}_seconds", 0)) for name in _PHASES}
    start = seconds - sum(taken.values())
    taken["canary"] = sum(float(each["canary_seconds"]) for each in done.named("model.warmed"))
    taken["warm"] -= taken["canary"]
    return {"start init": start} | {phase: each for phase, each in taken.items() if each}


def _stock(cache: Path) -> Phases:
    """A process with stock FastEmbed: its start and imports, and its load with one text."""
    began = time.perf_counter()
    taken = programs.run(sys.executable, "load", "stock", cache)
    return {"start worker": taken["began"] - began, "load": taken["seconds"]}


def _median(starts: list[Phases]) -> Phases:
    phases = dict.fromkeys(phase for each in starts for phase in each)
    return {phase: median(each.get(phase, 0.0) for each in starts) for phase in phases}


def _table(phases: Mapping[str, Phases]) -> Iterator[str]:
    names = list(dict.fromkeys(phase for each in phases.values() for phase in each))
    yield from table.head(["seconds", *names])
    for way, each in phases.items():
        cells = (f"{each[phase]:.2f}" if phase in each else "" for phase in names)
        yield table.line([way, *cells])
    yield ""
