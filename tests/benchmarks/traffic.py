"""Requests that come at even times while something else is measured."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Final, Self

import httpx

from tests.benchmarks import table
from tests.support.workers import client

PARTS: Final = ("before", "during", "after")
_CELLS: Final = [f"{part} {percent}" for part in PARTS for percent in ("p50", "p99")]
TITLES: Final = ("requests, ms", *_CELLS, "failed")  # of `Traffic.line`
_EVERY: Final = 0.2  # seconds between two requests of one text
_MILLI: Final = 1000


@dataclass
class Traffic:
    """Requests at even times, however long the answers take, to whatever worker is in turn.

    Attributes:
        url: The serving address of that worker.
        latencies: Seconds by part of the round.
        failed: How many were not answered with 200.
    """

    url: str
    part: str = PARTS[0]
    latencies: dict[str, list[float]] = field(default_factory=lambda: {p: [] for p in PARTS})
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
        for part in PARTS:
            cuts = [_MILLI * cut for cut in quantiles(self.latencies[part], n=100)]
            cells += [f"{cuts[49]:.0f}", f"{cuts[98]:.0f}"]
        asked = sum(len(each) for each in self.latencies.values())
        return table.line([*cells, f"{self.failed} of {asked}"])
