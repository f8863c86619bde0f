"""A sidecar on a simulated world: it looks, has the agent's own code decide, and does that."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, assert_never

from agent.errors import AgentError, StoppedError
from agent.release import marker
from agent.release.target import Target
from agent.sidecar import reconcile
from agent.sidecar.reconcile import (
    REPAIR,
    Activate,
    Check,
    GiveUp,
    Observed,
    Reload,
    Repair,
    Stage,
    Wait,
)
from tests.support.simulated.steps import Memory, Steps
from tests.support.simulated.witness import key_of

if TYPE_CHECKING:
    from agent.release.marker import Marker
    from agent.settings import Method
    from agent.sidecar.reconcile import Action
    from tests.support.simulated.steps import Luck
    from tests.support.simulated.witness import Step, Witness
    from tests.support.simulated.world import Share, Store, Worker


class Sidecar:
    """One run of a sidecar; what it knows beyond its `state.json` is lost when it dies.

    Args:
        share: Where releases come from.
        store: Where they go.
        worker: Who is told.
        method: How.
        witness: Told of every action before it is carried out, and of how it ended.
        disk: What is in `state.json`.
    """

    def __init__(
        self,
        share: Share,
        store: Store,
        worker: Worker,
        *,
        method: Method,
        witness: Witness,
        disk: bytes,
    ) -> None:
        self._share, self._store, self._worker = share, store, worker
        self._method: Method = method
        self._witness = witness
        self.record = Memory(disk)
        self._steps = Steps(share, store, worker, method=method, record=self.record)
        self.marker: Marker | None = None
        self._news: tuple[str, str | None] = "", None
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._steps.recover()

    def look_now(self) -> None:
        """Put nothing off any longer."""
        self._not_before.clear()

    def step(self, now: float, luck: Luck) -> Action:
        """Look, decide and do.

        Raises:
            DiedError: It was killed.
        """
        if self._store.current is None:
            self._steps.recover()
        seen = self._observe(now)
        action = reconcile.decide(seen)
        self._witness.decided(action, seen)
        if isinstance(action, Wait):
            self._steps.look_for_rot()
            return action
        key = key_of(action)
        try:
            self._carry_out(action, luck)
            self._failures.pop(key, None)
        except StoppedError as error:
            self._witness.ended(action, error)
        except AgentError as error:
            self._witness.ended(action, error)
            self._failed(key, error, now)
        else:
            self._witness.ended(action)
        return action

    def _observe(self, now: float) -> Observed:
        self._look_at_marker()
        state, current = self.record.state, self._store.current
        version = state.active if current and current == state.pointed else current
        held = {v: release.digest for v, release in self._store.held.items()}
        active = Target(version, held[version]) if version in held else None
        desired = self.marker.version if self.marker else None
        moving = desired is not None and (active is None or active.version != desired)
        offered = self._share.digest(desired) if moving and desired else None
        self._look_for_news(offered)
        self.record.desired_is(self.marker, held=self._store.held)
        state = self.record.update(active=active.version if active else None)
        return Observed(
            now=now,
            marker=self.marker,
            offered=offered,
            active=active,
            held=held,
            checked=state.checked,
            quarantined=state.quarantined,
            attempts=state.attempts,
            not_before=dict(self._not_before),
            rotten=bool(active and state.rot and state.rot.version == active.version),
            outdated=bool(active and state.outdated == active.version),
            another_space=self._another_space(active, desired) if moving else None,
            method=self._method,
            worker=None if self._method == "none" else self._worker.view(),
        )

    def _look_at_marker(self) -> None:
        with suppress(AgentError, marker.UnknownMarkerError):
            data = self._share.read_marker()
            self.marker = marker.parse(data) if data is not None else self.marker

    def _look_for_news(self, offered: str | None) -> None:
        """Where the marker or what it names is new, nothing is put off any longer."""
        sha256, known = self.marker.sha256 if self.marker else "", self._news
        if offered or self._share.up:
            self._news = sha256, offered
        if sha256 != known[0] or offered not in {None, known[1]}:
            self._failures.clear()
            self._not_before.clear()

    def _another_space(self, active: Target | None, desired: str | None) -> str | None:
        allowed = self.marker is None or self.marker.allow_new_space
        if allowed or active is None or desired not in self._store.held:
            return None
        old, new = self._store.held[active.version], self._store.held[desired]
        return "another space" if new.is_apart(old) else None

    def _carry_out(self, action: Step, luck: Luck) -> None:
        match action:
            case Stage(version):
                self._steps.stage(version, luck)
            case Check(version):
                self._steps.check(version, luck)
            case Reload(target, back):
                self._steps.reload(target, luck)
                if back and self.record.state.outdated == target.version:
                    self.record.update(outdated=None)
            case Activate(version):
                self._steps.activate(version, luck)
            case GiveUp(version, reason):
                self._quarantine(version, reason)
            case Repair(version):
                self._steps.repair(version, luck)
            case _:
                assert_never(action)

    def _failed(self, key: str, error: AgentError, now: float) -> None:
        if error.blames_release and key not in {REPAIR, self._store.current}:
            self._quarantine(key, str(error))
            return
        self._failures[key] = self._failures.get(key, 0) + 1
        self._not_before[key] = now + reconcile.delay(self._failures[key])

    def _quarantine(self, version: str, reason: str) -> None:
        held = self._store.digest(version)
        digest = self._share.digest(version) or (held or "" if self._share.up else held)
        self.record.quarantine(version, reason, marker=self.marker, digest=digest)
        self._witness.quarantined(version, self.marker, digest)
