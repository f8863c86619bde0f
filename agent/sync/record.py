"""Attempts on record: what is tried is written down before it starts, and again when it ends.

An out-of-memory kill takes the whole container with it, so a release that kills its checker would
be tried for ever, were the attempt remembered only in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec.structs import replace

from agent.files import durable
from agent.machine.clock import utc_now
from agent.release import retention
from agent.sync.state import MAX_UNFINISHED, SCHEMA, Quarantine, State
from agent.warmup import passes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from agent.errors import AgentError
    from agent.release.marker import Marker
    from agent.store.store import Store


T = TypeVar("T")


class Record:
    """The state on disk, and the changes that an attempt makes to it.

    On a volume that is full or not writable it goes on in memory, and saves once that is possible:
    what needs no room must work there all the same.

    Args:
        directory: Where `state.json` is.
        log: Told of a state that could not be written.
    """

    def __init__(self, directory: Path, log: FilteringBoundLogger) -> None:
        self._directory = directory
        self._log = log
        self.state = load(directory)
        self._unsaved: str | None = None

    def update(self, **changes: object) -> State:
        """Change fields and put them on disk, if anything is new."""
        changed = replace(self.state, **changes)
        if changed != self.state or self._unsaved:
            self.state = changed
            self._save()
        return self.state

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
        """Put the state on disk if it is not there."""
        if not (self._directory / FILE_NAME).exists():
            self._save()

    def wish(self, marker: Marker | None) -> None:
        """The marker says this, if it is known; attempts for other bytes of it count no more."""
        if marker:
            same = marker.sha256 == self.state.tried_for
            attempts = self.state.attempts if same else {}
            self.update(desired=marker.version, tried_for=marker.sha256, attempts=attempts)

    def begin(self, version: str) -> None:
        """An attempt at `version` starts now."""
        count = self.state.attempts.get(version, 0) + 1
        self.update(attempts=self.state.attempts | {version: count})

    def end(self, version: str) -> None:
        """The attempt at `version` ended, whichever way."""
        self.update(attempts=_without(self.state.attempts, version))

    def worn_out(self, version: str) -> bool:
        """Whether so many attempts at `version` never ended that they count as a failed one."""
        return self.state.attempts.get(version, 0) >= MAX_UNFINISHED

    def quarantine(
        self, version: str, reason: str, *, marker: Marker | None, digest: str | None
    ) -> None:
        """Try `version` no more until the marker's bytes or the release's digest change."""
        entry = Quarantine(reason, marker.sha256 if marker else "", digest, utc_now())
        self.update(
            quarantined=self.state.quarantined | {version: entry},
            attempts=_without(self.state.attempts, version),
            checked=_without(self.state.checked, version),
            last_error=reason,
        )

    def checked(self) -> Mapping[str, str]:
        """The digest, by version, of what passed its check on this machine in these libraries.

        A store may outlive its pod: on a node that was rebooted, in an image that was changed, what
        passed before proves nothing. (Where nobody can tell, a pass counts for as long.)
        """
        return self.state.checked if self.state.ground == passes.sha256() else {}

    def passed(self, version: str, digest: str) -> None:
        """`version` passed its check."""
        self.update(checked={**self.checked(), version: digest}, ground=passes.sha256())

    def failed(self, error: AgentError) -> None:
        """Something failed that the release is not to blame for."""
        self.update(last_error=str(error))

    def activated(self, version: str) -> None:
        """`current` leads to `version` now."""
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
        """The files of `version` are right again; what the worker made of them may not be."""
        self.update(rot=None, outdated=version)

    def removed(self, version: str) -> None:
        """`version` is no longer in the store."""
        self.update(checked=_without(self.state.checked, version))


def _without(mapping: dict[str, T], key: str) -> dict[str, T]:
    return {name: value for name, value in mapping.items() if name != key}


FILE_NAME: Final = "state.json"


def load(directory: Path) -> State:
    """The state in `directory`; a new one where there is none or it is unreadable.

    Losing it is harmless: it says what was tried, while what is active is a link of its own.
    """
    try:
        state = msgspec.json.decode((directory / FILE_NAME).read_bytes(), type=State)
    except (OSError, ValueError):
        return State()
    return state if state.schema == SCHEMA else State()


def save(directory: Path, state: State) -> bool:
    """Put `state` on disk, whole; False where the volume is full."""
    encoded = msgspec.json.format(msgspec.json.encode(state, order="sorted"), indent=2)
    return durable.try_write(directory / FILE_NAME, encoded + b"\n")


def may_go(store: Store, known: State, *, keep: int, desired: str | None) -> tuple[str, ...]:
    """Return the releases of a store that may be deleted, the first one first.

    Args:
        store: The store.
        known: Its state.
        keep: Releases to keep.
        desired: The marker's release, which stays.
    """
    return retention.spare(
        store.versions(),
        keep=keep,
        active=store.active(),
        previous=known.previous,
        desired=desired,
        quarantined=known.quarantined,
    )
