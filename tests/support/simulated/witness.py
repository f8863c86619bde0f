"""Who watches a simulated sidecar: what must hold before each action, by what is really so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.sidecar.reconcile import REPAIR, Activate, Check, GiveUp, Reload, Repair, Stage, Wait

if TYPE_CHECKING:
    from agent.errors import AgentError
    from agent.release.marker import Marker
    from agent.release.target import Target
    from agent.sidecar.reconcile import Action, Observed
    from tests.support.simulated.world import Share, Store, Worker

# A release of which somebody died twice in a row is not tried a third time.
MOST_UNENDED: Final = 2

Step = Repair | Stage | Check | Reload | Activate | GiveUp


@dataclass(frozen=True)
class Refusal:
    """What was so when a version was quarantined."""

    marker_sha256: str
    digest: str | None


class Witness:
    """Remembers what happened to each version, and holds the next action against it.

    Args:
        share: Where releases come from.
        store: Where they go.
        worker: Who serves them.
    """

    def __init__(self, share: Share, store: Store, worker: Worker) -> None:
        self._share, self._store, self._worker = share, store, worker
        self._refusals: dict[str, Refusal] = {}
        self._unended: Counter[str] = Counter()
        self._marker_sha256: str | None = None
        self._repaired: set[str] = set()

    def decided(self, action: Action, seen: Observed) -> None:
        """Hold an action, before it is carried out, to what is so."""
        if seen.marker and seen.marker.sha256 != self._marker_sha256:
            self._marker_sha256 = seen.marker.sha256
            self._unended.clear()
        if seen.marker:
            named = {*seen.marker.chain, *self._store.held}
            self._refusals = {v: each for v, each in self._refusals.items() if v in named}
        if isinstance(action, Wait):
            return
        if not isinstance(action, GiveUp):
            assert seen.now >= seen.not_before.get(key_of(action), 0.0), "it was put off"
        match action:
            case Repair(version):
                assert seen.active
                assert version == seen.active.version
            case Reload(target, back=True):
                assert target == seen.active
                self._check_reload(target, seen)
            case _:
                self._check_forward(action, seen)

    def _check_forward(self, action: Step, seen: Observed) -> None:
        """Hold an action towards the marker's release to what is so."""
        self._check_wish(version_of(action), seen)
        if not isinstance(action, GiveUp):
            assert self._unended[version_of(action)] < MOST_UNENDED
        match action:
            case Stage(version):
                self._check_stage(version)
            case Reload(target):
                self._check_sound(target.version, seen)
                self._check_reload(target, seen)
            case Activate(version):
                self._check_sound(version, seen)
                self._check_activate(version, seen)
            case GiveUp(version):
                self._check_give_up(version, seen)
        if _is_attempt(action):
            self._unended[version_of(action)] += 1

    def ended(self, action: Step, error: AgentError | None = None) -> None:
        """An action came to its end; some errors mean that it never will."""
        if _is_attempt(action) and (error is None or error.ends_attempt):
            del self._unended[version_of(action)]
        if isinstance(action, Repair) and not error:
            self._repaired.add(action.version)
        if isinstance(action, Reload) and not error:
            self._repaired.discard(action.target.version)

    def quarantined(self, version: str, marker: Marker | None, digest: str | None) -> None:
        """A version is not to be tried again until something changes."""
        assert marker, "only what the marker names is ever given up"
        self._refusals[version] = Refusal(marker.sha256, digest)
        del self._unended[version]

    def activated(self, version: str) -> None:
        """A version is active: what was said against it is forgotten."""
        self._refusals.pop(version, None)
        self._repaired.clear()
        del self._unended[version]

    def refuses(self, version: str, marker: Marker) -> bool:
        """Whether nothing changed since the version was quarantined."""
        refusal = self._refusals.get(version)
        if refusal is None or refusal.marker_sha256 != marker.sha256:
            return False
        offered = self._share.digest(version)
        return offered in {None, refusal.digest}

    def _check_wish(self, version: str, seen: Observed) -> None:
        """Only the marker's release is worked on, unless it is active, or quarantined."""
        assert seen.marker
        assert version == seen.marker.version
        assert seen.active is None or version != seen.active.version
        assert not self.refuses(version, seen.marker)

    def _check_stage(self, version: str) -> None:
        """What is staged is not held, or not as it is on the share, and nobody is using it."""
        held = self._store.digest(version)
        assert held is None or self._share.digest(version) not in {None, held}
        assert version != self._store.current

    def _check_sound(self, version: str, seen: Observed) -> None:
        """What is served passed its check, is what the share has, and is of the same space."""
        held = self._store.held[version]
        assert held.digest in self._store.passed
        assert self._share.digest(version) in {None, held.digest}
        assert seen.marker
        assert seen.marker.allow_new_space or not self._is_apart(version, seen)

    def _check_reload(self, target: Target, seen: Observed) -> None:
        """Somebody is there to be told, is told what the store holds, and needs to be told."""
        assert seen.method != "none"
        assert seen.active, "the first release is found by a worker at its start"
        assert self._worker.view(), "nobody is there"
        there = self._worker.is_at_rest_on(target)
        assert not there or target.version in self._repaired, "it needs not be told"
        assert self._store.held[target.version].target == target

    def _check_activate(self, version: str, seen: Observed) -> None:
        """Where there is something to protect, the worker serves it before it is active."""
        if seen.active and seen.method != "none":
            target = self._store.held[version].target
            assert self._worker.serving == target
            assert self._worker.target != target or self._worker.state == "ready"

    def _check_give_up(self, version: str, seen: Observed) -> None:
        """There is a reason."""
        assert self._is_apart(version, seen) or self._unended[version] >= MOST_UNENDED

    def _is_apart(self, version: str, seen: Observed) -> bool:
        """Whether a release embeds into another space than the active one."""
        held = self._store.held
        return version in held and held[version].is_apart(
            held[seen.active.version] if seen.active else None
        )


def version_of(action: Step) -> str:
    """What an action is about."""
    return action.target.version if isinstance(action, Reload) else action.version


def key_of(action: Step) -> str:
    """What an action is put off under."""
    return REPAIR if isinstance(action, Repair) else version_of(action)


def _is_attempt(action: Step) -> bool:
    return isinstance(action, Check) or (isinstance(action, Reload) and not action.back)
