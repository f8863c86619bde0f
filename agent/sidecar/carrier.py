"""Carries out what was decided, a step at a time; what fails is given up, or put off."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.errors import AgentError, StoppedError
from agent.sidecar import reconcile
from agent.sidecar.reconcile import REPAIR, Activate, Check, GiveUp, Reload, Repair, Stage
from agent.sidecar.reloader import Reloader
from agent.sidecar.upkeep import Upkeep
from agent.sync.attempt import Attempts
from agent.warmup import passes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.context import Context
    from agent.sidecar.metrics import Metrics
    from agent.sidecar.observer import Observer
    from agent.sidecar.reconcile import Target
    from agent.sidecar.runner import Runner
    from agent.sync.attempt import Attempt
    from agent.sync.record import Record

Step = Stage | Check | Reload | Activate | GiveUp


class Carrier:
    """Carries out the steps of one sidecar, and remembers until when what failed is put off.

    Args:
        context: What it works with.
        record: The state on disk.
        metrics: Told of what happens.
        observer: Knows the marker.
        runner: Runs what blocks.

    Attributes:
        attempts: The attempt under way, if any.
        upkeep: What is done for the store itself.
        doing: What is going on, for people.
    """

    def __init__(
        self,
        context: Context,
        record: Record,
        metrics: Metrics,
        observer: Observer,
        runner: Runner,
    ) -> None:
        self._store = context.store
        self._record = record
        self._metrics = metrics
        self._observer = observer
        self._runner = runner
        self._reloader = Reloader(context, record, metrics, observer, runner)
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self.attempts = Attempts(context.log)
        self.upkeep = Upkeep(context, record, runner.run_watched)
        self.doing = "starting"

    @property
    def not_before(self) -> Mapping[str, float]:
        """When a version, or `reconcile.REPAIR`, may be tried again, on the monotonic clock."""
        return self._not_before

    def put_nothing_off(self, *, forget: bool = False) -> None:
        """Try everything at once; with `forget`, also as if it had never failed."""
        self._not_before.clear()
        if forget:
            self._failures.clear()

    async def carry_out(self, action: Step | Repair) -> None:
        """Carry a step out; a failure is the release's, or puts it off."""
        version = action.target.version if isinstance(action, Reload) else action.version
        self.doing = f"{type(action).__name__.lower()} {version}"
        self._metrics.show(self._record.state)
        if isinstance(action, Repair):
            await self._repair(version)
            return
        try:
            await self._runner.watched(self._step(action, self._attempt_at(version)))
            self._failures.pop(version, None)
            self._metrics.measured(self._store)
        except StoppedError:
            marker = self._observer.marker
            self.attempts.superseded(marker.version if marker else None)
        except AgentError as error:
            await self._failed(version, error)

    async def _repair(self, version: str) -> None:
        """Repair the active release; whatever goes wrong with it puts that off."""
        self._put_off(REPAIR)
        if await self.upkeep.repair(version):
            self._failures.pop(REPAIR, None)
            self._not_before.pop(REPAIR, None)

    def _attempt_at(self, version: str) -> Attempt:
        unfinished = self._record.state.attempts.get(version, 0)
        number = max(self._failures.get(version, 0), unfinished) + 1
        return self.attempts.on(version, previous=self._store.active(), number=number)

    async def _failed(self, version: str, error: AgentError) -> None:
        if error.blames_release:
            if version != self._record.state.active:
                await self._quarantine(version, str(error))
                return
            # It stays active for want of a better one; whoever starts on it checks all of it again.
            passes.forget(self._store.agent)
        self._metrics.syncs.labels("error").inc()
        pause = self._put_off(version)
        self._record.failed(error)
        kind, warning = error.exit_code.name.lower(), logging.WARNING
        more: dict[str, object] = {"kind": kind, "retry_seconds": pause}
        self.attempts.end("sync.failed", "error", str(error), level=warning, **more)

    def _put_off(self, what: str) -> float:
        """Count a failure, and give the seconds until it is tried again."""
        self._failures[what] = self._failures.get(what, 0) + 1
        pause = reconcile.delay(self._failures[what])
        self._not_before[what] = time.monotonic() + pause
        return pause

    async def _step(self, action: Step, attempt: Attempt) -> None:
        match action:
            case Stage(version):
                with self._timed("stage", attempt):
                    await self._runner.run(
                        lambda s: s.stage(version, desired=version, moved=attempt.moved)
                    )
            case Check(version):
                with self._timed("check", attempt):
                    await self._runner.run(lambda steps: steps.check(version))
            case Reload(target, back):
                with self._timed("reload", attempt):
                    await self._reloader.reload(target)
                if back:
                    self._served_again(target)
            case Activate(version):
                with self._timed("activate", attempt):
                    await self._runner.run(lambda steps: steps.activate(version))
                self._done()
            case GiveUp(version, reason):
                await self._quarantine(version, reason)

    def _served_again(self, target: Target) -> None:
        """The worker serves the active release again, or its repaired files."""
        if self._record.state.outdated == target.version:
            self._record.update(outdated=None)
            self.attempts.end("sync.repaired", "repaired")
        else:
            self.attempts.end("sync.taken_back", "taken_back")

    def _done(self) -> None:
        seconds = time.monotonic() - self._observer.marker_since
        self._metrics.succeeded(seconds)
        self.attempts.end("sync.done", "success", since_marker_seconds=round(seconds, 3))

    @contextmanager
    def _timed(self, phase: str, attempt: Attempt) -> Iterator[None]:
        with attempt.timed(phase), self._metrics.timed(phase):
            yield

    async def _quarantine(self, version: str, reason: str) -> None:
        self._metrics.syncs.labels("quarantined").inc()
        marker, attempt = self._observer.marker, self.attempts.take(version)
        await self._runner.run(lambda steps: steps.quarantine(version, reason, marker, attempt))
        self._metrics.show(self._record.state)
