"""Runs requests in batches; each batch is answered by one model, and so by one release."""

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
    """A model that a batch runs on."""

    def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return the vectors of `texts`, in their order."""

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Return the number of tokens that the model reads of `texts`."""


class BusyError(Exception):
    """Too many texts are waiting already."""


@dataclass(frozen=True)
class Answer:
    """The vectors of one request, its number of tokens, and the version that answered."""

    vectors: Sequence[Vector]
    tokens: int
    version: str


@dataclass(frozen=True)
class _Job:
    texts: Sequence[str]
    future: Future[Answer]


class Batcher:
    """Answers requests in one thread, several requests in one run of the model.

    Args:
        holder: The holder of the model, which is a `Model`.
        max_batch: The most texts that are collected for one run. A request with more runs alone,
            and still on one model.
        wait: The seconds to wait for further requests before a run that is not full.
        max_waiting: The most texts that may wait; a request beyond that is refused.
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
        """Start the thread."""
        self._thread.start()

    def stop(self, *, timeout: float) -> None:
        """Answer the waiting requests, then end the thread; give up after `timeout` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def submit(self, texts: Sequence[str]) -> Future[Answer]:
        """Queue `texts` and return the future of their answer.

        The future raises `NotServingError` if no model is loaded, or the model's own error.

        Raises:
            BusyError: Too many texts are waiting already.
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
        """Return the jobs of the next run; none if the thread is to end."""
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
            self._next = job  # It does not fit into this run.
        elif jobs:
            self._jobs.put(None)  # The thread ends after these jobs.
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
        # In its own function, so that no variable refers to the model once the lease has ended.
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
        # A text that makes the run fail must not fail the other requests of the batch.
        for job in jobs:
            self._answer([job])
