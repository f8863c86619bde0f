"""The state on disk. An attempt is recorded before it starts, and again when it ends.

An out-of-memory kill ends the whole container. If attempts were remembered only in memory, a
release that gets its checker killed would be tried for ever.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec.structs import replace

from agent.files import durable
from agent.machine.clock import utc_now
from agent.release import retention
from agent.sync.state import MAX_UNFINISHED, SCHEMA, Quarantine, State
from agent.warmup import passes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from agent.errors import AgentError
    from agent.release.marker import Marker
    from agent.store.store import Store


T = TypeVar("T")


class Record:
    """The state on disk, and the changes that an attempt makes to it.

    If the volume is full or not writable, the state is kept in memory and saved once that is
    possible: work that needs no space must go on.

    Args:
        directory: The directory of `state.json`.
        log: Receives a warning if the state cannot be written.
    """

    def __init__(self, directory: Path, log: FilteringBoundLogger) -> None:
        self._directory = directory
        self._log = log
        # The loop of a sidecar changes the state, and so does a step, in a thread of its own.
        self._lock = threading.Lock()
        found = _read(directory)
        if isinstance(found, str):
            log.warning("state.dropped", reason=found)
        self.state = found if isinstance(found, State) else State()
        self._unsaved: str | None = None

    def update(self, **changes: object) -> State:
        """Change fields, save the state if that changed it, and return it."""
        with self._lock:
            changed = replace(self.state, **changes)
            if changed != self.state or self._unsaved:
                self.state = changed
                self._save()
            return changed

    def _save(self) -> None:
        try:
            saved = save(self._directory, self.state)
            reason = None if saved else "the store is full"
        except OSError as error:
            reason = f"the store cannot be written: {error.strerror}"
        if reason and reason != self._unsaved:
            self._log.warning("state.unsaved", reason=reason)
        self._unsaved = reason

    def ensure(self) -> None:
        """Save the state if its file is missing."""
        if not (self._directory / FILE_NAME).exists():
            self._save()

    def does(self, what: str) -> None:
        """Record the current step of the sidecar, or why it takes none."""
        if what != self.state.doing:
            self.update(doing=what, doing_since=utc_now())

    def rests(self) -> None:
        """Record that no sidecar runs, so that none does anything or waits."""
        self.update(doing=None, doing_since=None, waiting=None)

    def desired_is(self, marker: Marker | None, *, held: Collection[str]) -> None:
        """Record the desired version, and drop what only an earlier marker makes matter.

        That is attempts made for its bytes, and the quarantine of a release that is neither in the
        chain of this one nor in the store.

        Args:
            marker: The marker; None if it is unknown, which drops nothing.
            held: The releases in the store.
        """
        if marker:
            same = marker.sha256 == self.state.tried_for
            known = self.state.forget(but={*marker.chain, *held})
            self.update(
                desired=marker.version,
                tried_for=marker.sha256,
                attempts=known.attempts if same else {},
                quarantined=known.quarantined,
                last_error=known.last_error,
            )

    def begin(self, version: str) -> None:
        """Record that an attempt at `version` starts now."""
        count = self.state.attempts.get(version, 0) + 1
        self.update(attempts=self.state.attempts | {version: count})

    def end(self, version: str) -> None:
        """Record that the attempt at `version` ended, with success or not."""
        self.update(attempts=_without(self.state.attempts, version))

    def worn_out(self, version: str) -> bool:
        """Return true if `MAX_UNFINISHED` attempts at `version` never ended: that is a failure."""
        return self.state.attempts.get(version, 0) >= MAX_UNFINISHED

    def quarantine(
        self, version: str, reason: str, *, marker: Marker | None, digest: str | None
    ) -> None:
        """Record that `version` failed; `still_quarantined` tells how long it is not tried."""
        entry = Quarantine(reason, marker.sha256 if marker else "", digest, utc_now())
        self.update(
            quarantined=self.state.quarantined | {version: entry},
            attempts=_without(self.state.attempts, version),
            checked=_without(self.state.checked, version),
            last_error=reason,
        )

    def checked(self) -> Mapping[str, str]:
        """Return the digests, by version, of releases that passed their check in this environment.

        A store may outlive its pod: after a reboot of the node or a change of the image, an earlier
        pass proves nothing. If the environment is unknown, earlier passes count.
        """
        return self.state.checked if self.state.ground == passes.sha256() else {}

    def passed(self, version: str, digest: str) -> None:
        """Record that `version` passed its check."""
        self.update(checked={**self.checked(), version: digest}, ground=passes.sha256())

    def failed(self, error: AgentError) -> None:
        """Record an error that is not the release's fault."""
        self.update(last_error=str(error))

    def activated(self, version: str) -> None:
        """Record that `current` leads to `version` now."""
        old = self.state.active
        self.update(
            active=version,
            previous=old if old != version else self.state.previous,
            pointed=None,
            rot=None,
            outdated=None,
            quarantined=_without(self.state.quarantined, version),
            attempts=_without(self.state.attempts, version),
            last_success=utc_now(),
            last_error=None,
        )

    def repaired(self, version: str) -> None:
        """Record that files of `version` were repaired; the worker may still use the old bytes."""
        self.update(rot=None, outdated=version)

    def removed(self, version: str) -> None:
        """Record that `version` is no longer in the store."""
        self.update(checked=_without(self.state.checked, version))


def _without(mapping: dict[str, T], key: str) -> dict[str, T]:
    return {name: value for name, value in mapping.items() if name != key}


FILE_NAME: Final = "state.json"


def load(directory: Path) -> State:
    """Return the state in `directory`; a new one if there is none, or none that can be read.

    To lose it does no harm: it holds what was tried, and the link `current` holds what is active.
    """
    found = _read(directory)
    return found if isinstance(found, State) else State()


def _read(directory: Path) -> State | str | None:
    """Return the state, or why it cannot be taken; None if there is none."""
    try:
        state = msgspec.json.decode((directory / FILE_NAME).read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{FILE_NAME} cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        return f"{FILE_NAME} is damaged: {error}"
    if state.schema != SCHEMA:
        return f"{FILE_NAME} is of schema {state.schema}, and this agent reads {SCHEMA}"
    return f"{FILE_NAME} is damaged: it holds {state.strange}" if state.strange else state


def save(directory: Path, state: State) -> bool:
    """Save `state` in one step; return false if the volume is full, and then nothing changed."""
    encoded = msgspec.json.format(msgspec.json.encode(state, order="sorted"), indent=2)
    return durable.try_write(directory / FILE_NAME, encoded + b"\n")


def may_go(store: Store, known: State, *, keep: int, desired: str | None) -> tuple[str, ...]:
    """Return the releases of a store that may be deleted, in the order of deletion.

    Args:
        store: The store.
        known: Its state.
        keep: The number of releases to keep.
        desired: The marker's release, which is kept.
    """
    return retention.spare(
        store.versions(),
        keep=keep,
        active=store.active(),
        previous=known.previous,
        desired=desired,
        quarantined=known.quarantined,
    )
