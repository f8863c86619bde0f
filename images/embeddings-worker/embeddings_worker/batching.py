"""Runs what requests ask for in batches, each on one model and so from one release."""

from __future__ import annotations

import logging
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from agent.worker import Holder

    Vector = NDArray[np.float32]

_log: Final = logging.getLogger("embeddings")


class Model(Protocol):
    """What a batch runs on."""

    def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """The vectors of `texts`, in their order."""

    def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the model reads of `texts`."""


class BusyError(Exception):
    """Too much is waiting already."""


@dataclass(frozen=True)
class Answer:
    """The vectors of one request, the tokens that it had, the release that they come from."""

    vectors: Sequence[Vector]
    tokens: int
    version: str


@dataclass(frozen=True)
class _Job:
    texts: Sequence[str]
    future: Future[Answer]


class Batcher:
    """One thread that answers requests, as many at a time as fit.

    Args:
        holder: Whose model, a `Model`, answers.
        max_batch: Texts that are gathered for one run. A request with more is run alone, and
            still on one model.
        wait: Seconds to wait for further requests before a run that is not full.
        max_waiting: Texts that may wait; a request beyond that is turned away.
    """

    def __init__(
        self, holder: Holder[Any], *, max_batch: int, wait: float, max_waiting: int = 8192
    ) -> None:
        self._holder = holder
        self._max_batch = max_batch
        self._wait = wait
        self._max_waiting = max_waiting
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._next: _Job | None = None
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, *, timeout: float) -> None:
        """Answer what waits, then end; give up after `timeout` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def submit(self, texts: Sequence[str]) -> Future[Answer]:
        """Have `texts` answered.

        The future raises `NotServingError` if no model is loaded, or what the model raises.

        Raises:
            BusyError: Too much is waiting already.
        """
        with self._lock:
            if self._waiting and self._waiting + len(texts) > self._max_waiting:
                raise BusyError(f"{self._waiting} texts are waiting already.")
            self._waiting += len(texts)
        future: Future[Answer] = Future()
        self._jobs.put(_Job(texts, future))
        return future

    def _run(self) -> None:
        while jobs := self._gather():
            with self._lock:
                self._waiting -= sum(len(job.texts) for job in jobs)
            # A request whose client has gone is not run.
            if wanted := [job for job in jobs if job.future.set_running_or_notify_cancel()]:
                self._answer(wanted)

    def _gather(self) -> list[_Job]:
        """The jobs of the next run; none when it is time to end."""
        job = self._next or self._jobs.get()
        self._next = None
        deadline = time.monotonic() + self._wait
        jobs: list[_Job] = []
        size = 0
        while job and (not jobs or size + len(job.texts) <= self._max_batch):
            jobs.append(job)
            size += len(job.texts)
            if size >= self._max_batch:
                return jobs
            try:
                job = self._jobs.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return jobs
        if job:
            self._next = job  # it does not fit any more
        elif jobs:
            self._jobs.put(None)  # the end comes after what was gathered
        return jobs

    def _answer(self, jobs: list[_Job]) -> None:
        try:
            answers = self._embed(jobs)
        except Exception as error:  # noqa: BLE001 - handed to those who asked
            self._reject(jobs, error)
        else:
            for job, answer in zip(jobs, answers, strict=True):
                job.future.set_result(answer)

    def _embed(self, jobs: list[_Job]) -> list[Answer]:
        # In a function of its own: no name may hold the model once the lease is over.
        with self._holder.lease() as (model, release):
            vectors = iter(model.embed([text for job in jobs for text in job.texts]))
            return [
                Answer(
                    vectors=[next(vectors) for _ in job.texts],
                    tokens=model.count_tokens(job.texts),
                    version=release.version,
                )
                for job in jobs
            ]

    def _reject(self, jobs: list[_Job], error: Exception) -> None:
        if len(jobs) == 1:
            jobs[0].future.set_exception(error)
            return
        # One request's text must not fail its neighbours.
        for job in jobs:
            self._answer([job])
