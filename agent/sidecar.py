"""`model-agent sidecar`: the loop that keeps the worker on the marker's release.

It observes, lets `reconcile.decide` decide, carries one step out, and looks again. While a step
takes long, the marker is still read: a newer one ends the step.
"""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec.structs import asdict

from agent import probes, reconcile, threads
from agent.context import MANIFEST_SECONDS, MARKER_SECONDS
from agent.errors import AgentError, StoppedError
from agent.metrics import Metrics
from agent.observing import Observer
from agent.reconcile import Activate, Check, GiveUp, Reload, Stage, Wait
from agent.steps import Steps
from agent.trying import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from agent.context import Context
    from agent.reconcile import Action, Target
    from agent.reloading import Confirmed

_JITTER: Final = 0.1
_AT_MOST_EVERY: Final = 1.0
# One look waits for the marker, for a manifest and for the worker, for each to its own deadline.
_LATE_SECONDS: Final = MARKER_SECONDS + MANIFEST_SECONDS + 20.0
_LATE_POLLS: Final = 10
# A bump takes four; a worker that changes its mind for ever must not spin the loop.
_STEPS_AT_ONCE: Final = 20
# SIGTERM ends the agent within 5 s; a step is given most of that to stop cleanly.
_STEP_STOP_SECONDS: Final = 3.0


class Sidecar:
    """One sidecar, made inside a running event loop.

    Args:
        context: What it works with.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._log = context.log
        self._metrics = Metrics()
        context.store.prepare()
        self._record = Record(context.store.agent, context.log)
        self._observer = Observer(context, self._record)
        self._wake = asyncio.Event()
        self._looked = 0.0
        self._turned = time.monotonic()
        self._marker_bytes_of = ""
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._doing = "starting"
        self._stopping = False

    async def run(self) -> None:
        """Keep the worker on the marker's release until SIGTERM or SIGINT.

        Raises:
            ConfigError: The address cannot be listened on.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task  # noqa: S101 - we are in one

        def stop() -> None:
            # A step that is ended just then may swallow the cancellation; the flag stays.
            self._stopping = True
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        loop.add_signal_handler(signal.SIGHUP, self.look_now)
        app = probes.application(self, self._metrics.registry)
        runner, port = await probes.listen(app, self._context.settings.listen)
        self._log.info("sidecar.listening", port=port)
        try:
            await self._in_thread(lambda steps: steps.recover())
            self._metrics.measured(self._context.store)
            while not self._stopping:
                await self._turn()
                await self._rest()
        except asyncio.CancelledError:
            self._stopping = True
        finally:
            await runner.cleanup()
        self._log.info("sidecar.stopped")

    def alive(self) -> bool:
        """Whether the loop turned lately; see `probes.Probed`."""
        polls = _LATE_POLLS * self._context.settings.poll_interval
        return time.monotonic() - self._turned < max(_LATE_SECONDS, polls)

    def ready(self) -> bool:
        """Whether a verified release is active; see `probes.Probed`."""
        return self._context.store.active() in self._context.store.verified()

    def status(self) -> dict[str, object]:
        """The state, and what is going on; see `probes.Probed`."""
        error = self._observer.share_error
        unknown = self._observer.marker_unknown
        share = {"reachable": error is None, "error": error, "marker_unknown": unknown}
        return asdict(self._record.state) | {"share": share, "doing": self._doing}

    def look_now(self) -> None:
        """Look at the share now, back-off or not; see `probes.Probed`."""
        self._not_before.clear()
        self._wake.set()

    async def _rest(self) -> None:
        """Wait for the next poll. What wakes the loop early does so at most once a second."""
        jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load, no secret
        pause = self._context.settings.poll_interval * jitter
        # (`wait_for` loses a cancellation that comes in the moment of the wake.)
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self._stopping else pause):
                await self._wake.wait()
            await asyncio.sleep(max(0.0, self._looked + _AT_MOST_EVERY - time.monotonic()))
        self._wake.clear()

    async def _turn(self) -> None:
        """Take steps until there is nothing to do; what nobody expected is tried again."""
        self._looked = time.monotonic()
        try:
            for _ in range(0 if self._stopping else _STEPS_AT_ONCE):
                action = await self._decide()
                if isinstance(action, Wait):
                    self._doing = action.reason
                    break
                await self._attempt(action)
        except Exception:  # noqa: BLE001 - the one at the top of the loop: logged and counted
            self._log.exception("sidecar.turn_failed")
            self._metrics.syncs.labels("error").inc()
        self._metrics.show(self._record.state)

    async def _decide(self) -> Action:
        seen = await self._observer.observe(self._not_before)
        self._turned = time.monotonic()
        self._metrics.share_reachable.set(self._observer.share_error is None)
        if seen.marker and seen.marker.sha256 != self._marker_bytes_of:
            # New bytes are a new wish: what was put off is tried at once.
            self._marker_bytes_of = seen.marker.sha256
            self._failures.clear()
            self._not_before.clear()
        return reconcile.decide(seen)

    async def _attempt(self, action: Stage | Check | Reload | Activate | GiveUp) -> None:
        """Carry a step out; a failure is the release's, or puts it off."""
        version = action.target.version if isinstance(action, Reload) else action.version
        self._doing = f"{type(action).__name__.lower()} {version}"
        self._metrics.show(self._record.state)
        try:
            await self._watched(self._carry_out(action))
            self._failures.pop(version, None)
            self._metrics.measured(self._context.store)
        except StoppedError:
            self._log.info("sync.superseded", version=version)
        except AgentError as error:
            await self._failed(version, error)

    async def _failed(self, version: str, error: AgentError) -> None:
        if error.blames_release and version != self._context.store.active():
            await self._quarantine(version, str(error))
            return
        self._metrics.syncs.labels("error").inc()
        self._failures[version] = self._failures.get(version, 0) + 1
        pause = reconcile.delay(self._failures[version])
        self._not_before[version] = time.monotonic() + pause
        self._record.failed(error)
        self._log.warning("sync.failed", version=version, error=str(error), retry_seconds=pause)

    async def _carry_out(self, action: Action) -> None:
        match action:
            case Stage(version):
                with self._metrics.timed("stage"):
                    await self._in_thread(lambda steps: steps.stage(version, desired=version))
            case Check(version):
                with self._metrics.timed("check"):
                    await self._in_thread(lambda steps: steps.check(version))
            case Reload(target):
                with self._metrics.timed("reload"):
                    await self._reload(target)
            case Activate(version):
                with self._metrics.timed("activate"):
                    await self._in_thread(lambda steps: steps.activate(version))
                seconds = time.monotonic() - self._observer.marker_since
                self._metrics.succeeded(seconds)
                self._log.info("sync.done", version=version, seconds=round(seconds, 3))
            case GiveUp(version, reason):
                await self._quarantine(version, reason)

    async def _quarantine(self, version: str, reason: str) -> None:
        self._metrics.syncs.labels("quarantined").inc()
        marker = self._observer.marker
        await self._in_thread(lambda steps: steps.quarantine(version, reason, marker))

    async def _reload(self, target: Target) -> None:
        self._metrics.reload_attempts.inc()
        # Only a release on its way in can be given up; the active one is asked for again and again.
        if target.version != self._context.store.active():
            self._record.begin(target.version)
        try:
            confirmed = await self._tell(target)
        except (AgentError, asyncio.CancelledError) as error:
            if getattr(error, "ends_attempt", True):
                self._record.end(target.version)
            self._metrics.reload_failures.inc()
            self._metrics.last_reload_successful.set(0)
            raise
        self._record.end(target.version)
        self._metrics.last_reload_successful.set(1)
        seconds = round(confirmed.seconds, 3)
        self._log.info("reload.confirmed", version=target.version, seconds=seconds)

    async def _tell(self, target: Target) -> Confirmed:
        """Have the worker load `target`; one that is signalled finds it under `current`."""
        worker = self._observer.worker
        if self._context.settings.reload_method != "signal":
            return await worker.reload(target)
        before = self._context.store.active()
        await self._in_thread(lambda steps: steps.point(target.version))
        try:
            return await worker.reload(target)
        except (AgentError, asyncio.CancelledError):
            if before:
                await self._in_thread(lambda steps: steps.point(before))
            raise

    async def _in_thread(self, step: Callable[[Steps], object]) -> None:
        """Run a step that blocks. Being cancelled stops it, and waits a little until it did."""
        stop = threading.Event()
        steps = Steps(self._context.stoppable(stop), self._record, self._metrics)
        future = asyncio.wrap_future(threads.start(step, steps))
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([future], timeout=_STEP_STOP_SECONDS)
            raise

    async def _watched(self, work: Coroutine[None, None, None]) -> None:
        """Await `work`, but end it when the marker moves on.

        Raises:
            StoppedError: It was ended.
        """
        before = self._observer.marker
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=self._context.settings.poll_interval)
                self._turned = time.monotonic()
                if not task.done():
                    await self._observer.look_at_marker()
                    if self._observer.marker != before:
                        raise StoppedError
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, AgentError):
                    await task
        task.result()


async def serve(context: Context) -> None:
    """Run a sidecar until SIGTERM or SIGINT; see `Sidecar.run`."""
    await Sidecar(context.beside_worker()).run()
