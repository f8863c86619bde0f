"""Steps of the sidecar for the store's own sake: it is put in order, read again, repaired."""

from __future__ import annotations

from time import monotonic as clock
from typing import TYPE_CHECKING

from agent.errors import VerificationError
from agent.machine.clock import utc_now
from agent.store import records
from agent.store import repair as repairing
from agent.sync.state import Rot
from agent.sync.steps import Steps

if TYPE_CHECKING:
    from agent.store.rot import Reverifier


class Keeping(Steps):
    """All steps: those for a release, and those for the store."""

    def recover(self) -> None:
        """At start, or when parts of the store were lost: bring it in order.

        What a crash left is cleared, `current` leads to what was active, and the active release is
        hashed if no record has it.

        Raises:
            AgentError: The store cannot be used.
        """
        self._store.prepare()
        with self._store.lock(self._context.stop):
            self._store.sweep(keep_staging=self._record.state.desired)
            self._record.ensure()
            self._restore()
            self._point_back()
            active = self._store.active()
            if active and active not in self._store.verified():
                try:
                    self.verify(active)
                except VerificationError as error:
                    self._log.error("store.corrupt", version=active, error=str(error))

    def reverify(self, reverifier: Reverifier, version: str) -> None:
        """Read a little of the active release again, and put on record what is found to be wrong.

        Raises:
            AgentError: As `Reverifier.look` and `Store.lock` raise.
        """
        seen = reverifier.look(version, self._context.stop)
        agent = self._store.agent
        if seen.right:
            with self._store.lock(self._context.stop):
                records.amend(agent, version, seen.right)
        if seen.wrong:
            self._record.update(rot=Rot(version, seen.wrong, utc_now()))
            self._log.error("store.corrupt", version=version, files=list(seen.wrong))
            if self._metrics:
                self._metrics.verify_failures.inc()
            with self._store.lock(self._context.stop):
                repairing.distrust(self._store, version, seen.wrong)
        if seen.finished:
            self._record.update(last_reverified=utc_now())
            self._log.info("release.reverified", version=version)

    def repair(self, version: str) -> None:
        """Put right files of the active release in the place of those on record as wrong.

        Raises:
            AgentError: As `repairing.repair` raises.
        """
        rot, began = self._record.state.rot, clock()
        if rot is None:
            return
        with self._store.lock(self._context.stop):
            release = self._store.manifest(version)
            spare = self._spare(1, self._record.state.desired or version)
            releases = repairing.repair(self._context, release, rot.files, spare=spare)
            self._record.repaired(version)
        if self._metrics:
            self._metrics.repairs.inc(len(rot.files))
        self._log.warning(
            "store.repaired",
            version=version,
            files=list(rot.files),
            releases=list(releases),
            seconds=round(clock() - began, 3),
        )

    def _restore(self) -> None:
        """Put `current` back if it was deleted, or led elsewhere, behind the agent's back."""
        known = self._record.state.active
        if known and self._store.active() is None and known in self._store.verified():
            self._log.warning("store.current_restored", version=known)
            self._store.activate(known)

    def _point_back(self) -> None:
        """Take back what a signalled worker had not confirmed when the agent died."""
        known = self._record.state
        confirmed = known.active if known.active in self._store.versions() else None
        if known.pointed and known.pointed == self._store.active() and confirmed:
            self._log.warning("reload.unconfirmed", version=known.pointed, active=confirmed)
            self.point(confirmed)
