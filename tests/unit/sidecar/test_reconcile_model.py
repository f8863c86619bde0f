"""Whatever befalls share, worker and agent, every step is safe and all ends well: a model of it.

The agent's decisions are carried out on a simulated world by one that may die at any step, and then
knows no more than its `state.json`. What is judged is what is so in that world, and not what the
agent believes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from agent.release import marker
from agent.sidecar.reconcile import Activate, Wait
from tests.support.simulated.sidecar import Sidecar
from tests.support.simulated.steps import DiedError, Luck
from tests.support.simulated.witness import Witness
from tests.support.simulated.world import Fault, Release, Share, Store, Worker, new

if TYPE_CHECKING:
    from agent.settings import Method
    from agent.sidecar.reconcile import Action

Event = Literal[
    "the share comes or goes",
    "the worker starts",
    "the worker starts and tells",
    "the worker dies",
    "the worker falls silent or speaks",
    "the active release rots",
    "current is deleted",
    "the agent is killed",
]
VERSIONS: Final = st.sampled_from(["v1", "v2", "v3"])
FAULTS: Final = st.sampled_from(["", "", "", "foreign", *get_args(Fault)])
SOME_FAULTS: Final = st.lists(FAULTS, min_size=1, max_size=2) | st.just(["", ""])
ALL_FINE: Final = st.integers(1, 6).map(lambda count: ["fine"] * count)
LUCKS: Final = ALL_FINE | st.lists(
    st.just("fine") | st.sampled_from(get_args(Luck)), min_size=1, max_size=6
)
# None at all, empty, zeroed, binary, prose, too long.
SPOILT: Final = st.sampled_from([None, b"", b"\0" * 512, b"\xff\xfe", b"v2 v1\n", b"v2\n" * 2000])
# Longer than anything is put off.
LONG: Final = 301.0
# Bring a worker back, repair, have it reload; then stage, check, reload, activate.
MOST_STEPS: Final = 7
# So many waits in a row, each longer than anything is put off, are a rest.
RESTS: Final = 3


class World(RuleBasedStateMachine):
    """What may happen, what must hold after each of it, and what must come of it in the end."""

    method: ClassVar[Method] = "http"

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.share, self.store = Share(), Store()
        self.worker = Worker(self.store, self.method)
        self.witness = Witness(self.share, self.store, self.worker)
        self.sidecar = self._sidecar(b"{}")

    @initialize(running=st.booleans(), version=VERSIONS, faults=SOME_FAULTS, lucks=LUCKS)
    def begin(self, running: bool, version: str, faults: list[Fault], lucks: list[Luck]) -> None:
        """With an empty store, or with a release that is served; and then with a bump."""
        if running:
            self._mend("v1")
        self.bump(version=version, faults=faults, allow=False, lucks=lucks)

    @rule(version=VERSIONS, faults=SOME_FAULTS, allow=st.booleans(), lucks=LUCKS)
    def bump(self, version: str, faults: list[Fault], allow: bool, lucks: list[Luck]) -> None:
        """What operators do most, and what the agent makes of it; also of a correction."""
        for number, fault in enumerate(faults):
            self._publish(version, fault)
            if number == 0:
                self._promote(version, allow=allow)
            self.agent_works(lucks)

    @rule(version=VERSIONS, by_hand=st.booleans(), allow=st.booleans())
    def promote(self, version: str, by_hand: bool, allow: bool) -> None:
        """The marker's bytes are new each time, unless it is `echo v2 > VERSION`."""
        if by_hand:
            self.share.marker = f"{version}\n".encode()
        else:
            self._promote(version, allow=allow)

    @rule(data=SPOILT)
    def spoil_the_marker(self, data: bytes | None) -> None:
        """It is torn, or gone."""
        self.share.marker = data

    @rule(version=VERSIONS)
    def complete_or_withdraw(self, version: str) -> None:
        """What was missing arrives under the same version; or a release goes away."""
        found = self.share.releases.pop(version, None)
        if found and found.fault in {"incomplete", "unreadable"}:
            self.share.releases[version] = Release(version, digest=found.digest)

    @rule(event=st.sampled_from(get_args(Event)))
    def befalls(self, event: Event) -> None:
        """What nobody does on purpose."""
        match event:
            case "the share comes or goes":
                self.share.up = not self.share.up
            case "the worker starts" | "the worker starts and tells":
                self.worker.start(tells=event.endswith("tells"))
            case "the worker dies":
                self.worker.die()
            case "the worker falls silent or speaks":
                self.worker.silent = not self.worker.silent
            case "the active release rots":
                self.store.rotten |= {self.store.current} if self.store.current else set()
            case "current is deleted":
                self.store.current = None
            case "the agent is killed":
                self._restart()

    @rule()
    def worker_is_done(self) -> None:
        """A load that took longer than the agent waited ends after all."""
        if self.worker.state == "loading":
            self.worker.finish()

    @rule(version=VERSIONS, done=st.booleans())
    def somebody_else_asks(self, version: str, done: bool) -> None:
        """Another one than the agent has the worker load a release that was found good."""
        held = self.store.held.get(version)
        if self.worker.alive and held and held.digest in self.store.passed:
            self.worker.ask(held.target)
            if done:
                self.worker.finish()

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0, 600.0]))
    def time_passes(self, seconds: float) -> None:
        """The clock goes forward; or `POST /check` has what is put off tried at once."""
        self.now += seconds
        if not seconds:
            self.sidecar.look_now()

    @rule(lucks=LUCKS)
    def agent_works(self, lucks: list[Luck]) -> None:
        """It takes a few steps, some of which go wrong."""
        for luck in lucks:
            self._step(luck)

    @invariant()
    def only_what_was_found_good_serves(self) -> None:
        """Nothing serves, or is active, that was not verified and did not pass its check."""
        serving, active = self.worker.serving, self.store.active
        assert serving is None or serving.digest in self.store.passed
        assert active is None or active.digest in self.store.passed

    def teardown(self) -> None:
        """With everything healthy the agent gets to where the marker points, and stays there."""
        self.share.up, self.worker.silent = True, False
        self._settle()
        known = self.sidecar.marker
        if known and (self.store.active is None or self.store.active.version != known.version):
            # Either of the two is a change that ends a quarantine.
            self._publish(known.version, "")
            self._settle()
            self._promote(known.version, allow=True)
            self._settle()
        self._mend("v9")
        for data in (None, b"v0\n"):
            self._stray(data)

    def _stray(self, data: bytes | None) -> None:
        """No marker, or one that names what is missing, keeps no worker from being brought back."""
        active = self.store.active
        self.spoil_the_marker(data=data)
        self._restart()
        for version in self.store.held:
            self.somebody_else_asks(version=version, done=True)
        self._settle()
        assert self.store.active == active

    def _publish(self, version: str, fault: Fault) -> None:
        """Put a release on the share, in the place of one of that name.

        Where a worker reads `current`, not of one that is held: it may be what that leads to.
        """
        if self.method != "signal" or version not in self.store.held:
            self.share.releases[version] = Release(version, fault)

    def _promote(self, version: str, *, allow: bool) -> None:
        made = marker.promoted(self.sidecar.marker, version, allow_new_space=allow)
        self.share.marker = marker.render(made, by="ops", at=new("time"))

    def _mend(self, version: str) -> None:
        """Publish and promote what is good: it is served, whatever was before."""
        self._publish(version, "")
        self._promote(version, allow=True)
        self._settle()
        assert self._is_dying() or self.store.active == self.share.releases[version]

    def _settle(self) -> None:
        """Let it work in peace for long: it gets to where it can, soon, and comes to rest."""
        actions = self._in_peace()
        wanted, active = self._wanted(), self.store.active
        if wanted and not self._is_dying():
            assert active == wanted
            assert len(actions) <= MOST_STEPS or active.version in self.store.rotten, actions
        if active and active.serves and self.method != "none":
            assert self.worker.is_at_rest_on(active.target)
        self._check_rot()

    def _in_peace(self) -> list[Action]:
        """Let it work until it rests, or for so long that it never will; what it does."""
        actions: list[Action] = []
        waits = 0
        while waits < RESTS and len(actions) < 3 * MOST_STEPS:
            if not self.worker.alive:
                self.worker.start()
            action = self._step("fine")
            if isinstance(action, Wait):
                self.worker_is_done()
                self.now += LONG
                waits += 1
            else:
                actions.append(action)
                waits = 0
        return actions

    def _check_rot(self) -> None:
        """What rotted is right again, and served, where the share has it as it was."""
        active = self.store.active
        if active and active == self.share.releases.get(active.version):
            assert active.version not in self.store.rotten
            assert self.method == "none" or not self.worker.serves_rot

    def _is_dying(self) -> bool:
        """Whether the worker dies of what is active each time, so that nobody can be asked."""
        active = self.store.active
        return self.method != "none" and active is not None and active.fault == "kills the worker"

    def _wanted(self) -> Release | None:
        """Where it must arrive: at the marker's release, if that is good and not held back."""
        known, active = self.sidecar.marker, self.store.active
        if known is None or (active and active.version == known.version):
            return active if active and active.serves else None
        found = self.share.releases.get(known.version)
        if found is None or not found.serves or self.witness.refuses(found.version, known):
            return None
        return found if known.allow_new_space or not found.is_apart(active) else None

    def _restart(self) -> None:
        """The next one knows what is on disk."""
        self.sidecar = self._sidecar(self.sidecar.record.disk)

    def _sidecar(self, disk: bytes) -> Sidecar:
        return Sidecar(
            *(self.share, self.store, self.worker),
            method=self.method,
            witness=self.witness,
            disk=disk,
        )

    def _step(self, luck: Luck) -> Action:
        action: Action = Wait("it was killed")
        try:
            action = self.sidecar.step(self.now, luck)
        except DiedError:
            self._restart()
        if isinstance(action, Activate):
            self.witness.activated(action.version)
        self.only_what_was_found_good_serves()
        return action


class WorkerThatIsSignalled(World):
    """The same with `--reload-method signal`."""

    method = "signal"


class WorkerThatIsNeverTold(World):
    """The same with `--reload-method none`."""

    method = "none"


@pytest.mark.parametrize("world", [World, WorkerThatIsSignalled, WorkerThatIsNeverTold])
def test_whatever_happens_every_step_is_safe_and_all_end_well(world: type[World]) -> None:
    """Crashes, bad releases and lost networks never make the agent unsafe, nor leave it stuck."""
    run_state_machine_as_test(
        world, settings=settings(max_examples=50, stateful_step_count=20, deadline=None)
    )
