"""Lets a child process fetch models from the Hub, and ends it when the Hub falls silent."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from subprocess import PIPE
from typing import TYPE_CHECKING, Final

import msgspec

from agent import errors
from agent.errors import AgentError, StoppedError, UnreachableError
from agent.files import disk, scratch
from agent.hub.protocol import Done, Event, Failed, Note, Request, Resolved
from agent.machine import children

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from agent.files.progress import ByteCounter
    from agent.machine.children import Child
    from agent.release.wanted import Wanted

_LOOK_SECONDS: Final = 0.2
_START_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Hub:
    """The Hub, as `HF_ENDPOINT`, `HF_TOKEN` and the proxies of the environment have it.

    Attributes:
        log: Logs renamed models and retries.
        stop: Ends it early.
        seconds: The seconds that the Hub may be silent.
        allow_pickle: Whether a model may come as pickles alone, which run code when loaded.
    """

    log: FilteringBoundLogger
    stop: threading.Event
    seconds: float
    allow_pickle: bool = False

    def resolve(self, wanted: Sequence[Wanted]) -> tuple[Resolved, ...]:
        """Return the revisions and files of models, of which nothing is fetched.

        Raises:
            ReleaseMissingError: The Hub does not have it all.
            PickleError: Nothing safe remains of a model.
            UnreachableError: The Hub does not answer, or was silent for too long.
            StoppedError: `stop` was set.
        """
        request = Request(self.seconds, resolve=tuple(wanted), allow_pickle=self.allow_pickle)
        return self._run(request, lambda: 0)

    def fetch(self, models: Sequence[Resolved], directory: Path, moved: ByteCounter) -> None:
        """Fetch models into `directory`, laid out as a Hub cache without links.

        Files of an earlier run are used: complete ones as they are, others from their end on.

        Args:
            models: As `resolve` gave them.
            directory: The target.
            moved: Counts bytes as they come.

        Raises:
            ReleaseMissingError: A file is gone.
            VerificationError: A file is not what the Hub says.
            UnreachableError: The Hub does not give it, or was silent for too long.
            StoppedError: `stop` was set.
        """
        request = Request(self.seconds, fetch=tuple(models), directory=str(directory))
        there = _bytes_below(directory)

        def arrived() -> int:
            nonlocal there
            before, there = there, _bytes_below(directory)
            moved.add("hub", max(0, there - before))
            return there

        self._run(request, arrived)

    def _run(self, request: Request, arrived: Callable[[], int]) -> tuple[Resolved, ...]:
        with (
            scratch.file() as log,
            children.started("agent.hub.child", stdin=PIPE, stdout=PIPE, stderr=log) as child,
        ):
            try:
                assert child.stdin  # noqa: S101 - asked for above
                child.stdin.write(msgspec.json.encode(request))
                child.stdin.close()
                return self._hear(_events(child), arrived)
            except _EndedError:
                log.seek(0)
                last = log.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise AgentError(
                    f"The process that talks to the Hub ended: {last or 'it was killed'}.",
                    remedy="Raise the memory limit if it was killed, else report it.",
                ) from None

    def _hear(
        self, events: queue.SimpleQueue[Event | None], arrived: Callable[[], int]
    ) -> tuple[Resolved, ...]:
        """Take the child's events until it is done, as long as something comes."""
        resolved: list[Resolved] = []
        # Loading the libraries is not the Hub's silence.
        there, since = arrived(), time.monotonic() + _START_SECONDS
        trouble: str | None = None
        while True:
            if self.stop.is_set():
                raise StoppedError
            with suppress(queue.Empty):
                event = events.get(timeout=_LOOK_SECONDS)
                if isinstance(event, Note):
                    trouble = event.fields.get("error", trouble)
                else:
                    since = time.monotonic()
                if isinstance(event, Done):
                    arrived()
                    return tuple(resolved)
                self._take(event, resolved)
            before, there = there, arrived()
            since = time.monotonic() if there != before else since
            if time.monotonic() - since > self.seconds:
                raise UnreachableError(
                    trouble or f"The Hub sent nothing for {self.seconds:g} s.",
                    remedy="Check the network and HF_ENDPOINT, or raise --hub-timeout; what came "
                    "is used next time.",
                )

    def _take(self, event: Event | None, resolved: list[Resolved]) -> None:
        match event:
            case Resolved():
                resolved.append(event)
            case Note():
                self.log.warning(event.event, **event.fields)
            case Failed():
                raise _as_error(event)
            case None:
                raise _EndedError


class _EndedError(Exception):
    """The child ended without a word."""


def _events(child: Child) -> queue.SimpleQueue[Event | None]:
    """Return a queue that fills with the child's events; its last entry is None."""
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()

    def read() -> None:
        assert child.stdout  # noqa: S101 - asked for
        # A killed child may have been half way through a line.
        with suppress(ValueError, msgspec.DecodeError):
            for line in child.stdout:
                events.put(msgspec.json.decode(line, type=Event))
        events.put(None)

    threading.Thread(target=read, name="hub-events", daemon=True).start()
    return events


def _as_error(failed: Failed) -> AgentError:
    """Return the error that the child met, as one of ours."""
    kind = getattr(errors, failed.kind, UnreachableError)
    error: AgentError = kind(failed.what, remedy=failed.remedy)
    return error


def _bytes_below(directory: Path) -> int:
    return sum(disk.blocks([directory]).values()) if directory.is_dir() else 0
