"""A steady stream of embedding requests, and what became of them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from statistics import quantiles
from typing import TYPE_CHECKING, Final, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[str, list[list[float]]], str | None]

TEXTS: Final = ("A man is eating food.", "The sky is blue.")
_PAUSE_SECONDS: Final = 0.02


class Traffic:
    """Sends requests from two threads until it is stopped, or while it is entered.

    Args:
        url: The worker's serving port.
        check: Called with the release and the vectors of each answer; says what is wrong, or None.
        pause: Seconds that a thread rests after an answer.
    """

    def __init__(
        self, url: str, *, check: Check | None = None, pause: float = _PAUSE_SECONDS
    ) -> None:
        self._check = check
        self._pause = pause
        self._url = url + "/v1/embeddings"
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(2)]
        self._seconds: list[float] = []
        self.failures: list[str] = []
        self.by_release: Counter[str] = Counter()

    def __enter__(self) -> Self:
        """Begin."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, however the block did."""
        self.stop()

    @property
    def sent(self) -> int:
        """How many requests were sent and ended."""
        return len(self._seconds)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, with the requests in flight answered."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, release: str, *, more: int = 1, seconds: float = 300) -> float:
        """Wait until `release` gave so many more answers; give the seconds that took."""
        began = time.monotonic()
        with self._changed:
            target = self.by_release[release] + more
            if not self._changed.wait_for(lambda: self.by_release[release] >= target, seconds):
                raise TimeoutError(f"no answer from {release} within {seconds} s")
        return time.monotonic() - began

    def latencies(self) -> tuple[float, float]:
        """The median and the 99th percentile, in milliseconds."""
        cuts = quantiles(self._seconds, n=100)
        return cuts[49] * 1000, cuts[98] * 1000

    def _send(self) -> None:
        with httpx.Client(timeout=120, trust_env=False) as client:
            while not self._stop.wait(self._pause):
                began = time.monotonic()
                failure = None
                release = "-"
                try:
                    answer = client.post(self._url, json={"input": list(TEXTS)})
                    release = answer.headers.get("X-Model-Version", "-")
                    failure = self._judge(answer, release)
                except httpx.HTTPError as error:
                    failure = repr(error)
                self._note(time.monotonic() - began, release, failure)

    def _judge(self, answer: httpx.Response, release: str) -> str | None:
        if answer.status_code != httpx.codes.OK:
            return f"{answer.status_code}: {answer.text[:100]}"
        vectors = [row["embedding"] for row in answer.json()["data"]]
        return self._check(release, vectors) if self._check else None

    def _note(self, seconds: float, release: str, failure: str | None) -> None:
        with self._changed:
            self._seconds.append(seconds)
            self.by_release[release] += failure is None
            if failure:
                self.failures.append(failure)
            self._changed.notify_all()
