"""The steps of a sidecar on a simulated world: with luck they do what `agent.sync.steps` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec.structs import replace

from agent import errors, logs
from agent.errors import AgentError, StoppedError
from agent.release import retention
from agent.sync.record import Record
from agent.sync.state import Rot, State

if TYPE_CHECKING:
    from agent.release.target import Target
    from agent.settings import Method
    from tests.support.simulated.world import Share, Store, Worker

# How a step goes. Who dies late dies when all is done, and before that is on record.
Luck = Literal[
    "fine",
    "fails",
    "is overtaken",
    "finds the store full",
    "kills a child",
    "the agent dies",
    "the agent dies late",
    "the worker dies",
    "the worker restarts",
]
KEEP: Final = 2


class DiedError(Exception):
    """The sidecar was killed."""


class Memory(Record):
    """The agent's own state, which is on a simulated disk as soon as it changes.

    Args:
        disk: What is in `state.json`.
    """

    def __init__(self, disk: bytes) -> None:
        super().__init__(Path("nowhere"), logs.get())
        self.state = msgspec.json.decode(disk, type=State)
        self.disk = disk

    def update(self, **changes: object) -> State:
        """Change fields and put them on disk."""
        self.state = replace(self.state, **changes)
        self.disk = msgspec.json.encode(self.state)
        return self.state


class Steps:
    """What a sidecar can do.

    Args:
        share: Where releases come from.
        store: Where they go.
        worker: Who is told.
        method: How.
        record: The agent's state.
    """

    def __init__(
        self, share: Share, store: Store, worker: Worker, *, method: Method, record: Memory
    ) -> None:
        self._share, self._store, self._worker = share, store, worker
        self._method: Method = method
        self._record = record

    def stage(self, version: str, luck: Luck) -> None:
        """Bring a release into the store, verified."""
        release = self._share.manifest(version)
        _meet(luck, errors.UnreachableError)
        if release.fault == "incomplete":
            raise _error(errors.ReleaseMissingError)
        if release.fault == "corrupt":
            raise _error(errors.VerificationError)
        if luck == "finds the store full":
            self._prune(keep=1)
        self._store.put(release)
        _die_late(luck)

    def check(self, version: str, luck: Luck) -> None:
        """See that a release loads."""
        release = self._store.held[version]
        self._record.begin(version)
        try:
            _meet(luck, errors.WarmupError)
            if release.fault == "kills its checker" or luck == "kills a child":
                raise _error(errors.KilledError)
            if release.fault == "unloadable":
                raise _error(errors.ModelError)
        except AgentError as error:
            self._ended(version, error)
            raise
        self._store.passed.add(release.digest)
        _die_late(luck)
        self._record.end(version)
        self._record.passed(version, release.digest)

    def reload(self, target: Target, luck: Luck) -> None:
        """Have the worker serve a release."""
        before = self._store.current
        if target.version != before:
            self._record.begin(target.version)
        try:
            self._point(target.version)
            self._tell(target, luck)
        except AgentError as error:
            self._point(before)
            self._ended(target.version, error)
            raise
        _die_late(luck)
        self._record.end(target.version)

    def repair(self, version: str, luck: Luck) -> None:
        """Bring the right bytes of the active release, if the share has them."""
        _meet(luck, errors.UnreachableError)
        if version in self._store.rotten:
            if self._share.manifest(version) != self._store.held[version]:
                raise _error(errors.VerificationError)
            self._store.rotten.discard(version)
        _die_late(luck)
        self._record.repaired(version)

    def look_for_rot(self) -> None:
        """Read the active release again, while there is nothing else to do."""
        current, rot = self._store.current, self._record.state.rot
        if current in self._store.rotten and not (rot and rot.version == current):
            self._record.update(rot=Rot(current, ("model",), "2026-11-23T15:00:00Z"))

    def activate(self, version: str, luck: Luck) -> None:
        """Flip `current`, and delete what is no longer kept."""
        rot = self._record.state.rot
        if rot and rot.version != version:
            self._store.drop(rot.version)
        self._store.current = version
        _die_late(luck)
        self._record.activated(version)
        self._prune(keep=KEEP)

    def recover(self) -> None:
        """Put `current` back if it is lost, and take back what no worker had confirmed."""
        known = self._record.state
        if self._store.current is None and known.active in self._store.held:
            self._store.current = known.active
        if known.pointed and known.pointed == self._store.current and known.active:
            self._point(known.active)

    def _tell(self, target: Target, luck: Luck) -> None:
        worker = self._worker
        worker.ask(target)
        _meet(luck, errors.ReloadError)
        if luck in {"the worker dies", "the worker restarts"}:
            worker.die()
        else:
            worker.finish()
        is_lost = not worker.alive
        if is_lost and luck != "the worker dies":
            worker.start()  # it answers before it has loaded anything, whatever comes of that
        if is_lost and not worker.is_at_rest_on(target):
            raise _error(errors.WorkerRestartedError)
        if worker.state == "failed":
            raise _error(errors.ReloadFailedError)

    def _point(self, version: str | None) -> None:
        """Have `current` lead to what a worker is signalled for, or back."""
        if self._method != "signal":
            return
        if version != self._record.state.active:
            self._record.update(pointed=version)
        self._store.current = version
        if version == self._record.state.active:
            self._record.update(pointed=None)

    def _ended(self, version: str, error: AgentError) -> None:
        if error.ends_attempt:
            self._record.end(version)

    def _prune(self, keep: int) -> None:
        known = self._record.state
        for version in retention.spare(
            tuple(self._store.held)[::-1],
            keep=keep,
            active=self._store.current,
            previous=known.previous,
            desired=known.desired,
            quarantined=known.quarantined,
        ):
            self._store.drop(version)
            self._record.removed(version)


def _meet(luck: Luck, kind: type[AgentError]) -> None:
    """What may happen to any step before it comes to anything."""
    if luck == "the agent dies":
        raise DiedError
    if luck == "is overtaken":
        raise StoppedError
    if luck == "fails":
        raise _error(kind)


def _die_late(luck: Luck) -> None:
    if luck == "the agent dies late":
        raise DiedError


def _error(kind: type[AgentError]) -> AgentError:
    return kind("It is so.", remedy="Look.")
