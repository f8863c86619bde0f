"""`model-agent sidecar`: the loop that keeps the worker on the marker's release.

Each turn observes, lets `reconcile.decide` decide, carries out one step, and observes again.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from agent.shares.reader import MANIFEST_SECONDS, MARKER_SECONDS
from agent.sidecar import probes, reconcile, status
from agent.sidecar.carrier import Carrier
from agent.sidecar.kubernetes import telling
from agent.sidecar.metrics import Metrics
from agent.sidecar.observer import Observer
from agent.sidecar.reconcile import Wait
from agent.sidecar.reloader import Reloader
from agent.sidecar.runner import Runner
from agent.sidecar.upkeep import Upkeep, recover
from agent.sidecar.waits import Waits
from agent.sidecar.worker_client import worker_client
from agent.sync import events
from agent.sync.listening import Events, Listener, LogListener
from agent.sync.record import Record
from agent.sync.steps import Steps
from agent.warmup import report

if TYPE_CHECKING:
    from agent.context import Context
    from agent.sidecar.reconcile import Action

_JITTER: Final = 0.1
_AT_MOST_EVERY: Final = 1.0
# The loop is not alive if it has not observed for so long. To observe, it waits for the marker, a
# manifest and the worker, each with its own deadline.
_LATE_SECONDS: Final = MARKER_SECONDS + MANIFEST_SECONDS + 20.0
_LATE_POLLS: Final = 10
# Steps in one turn. A new version takes four. The limit stops the loop from spinning if a worker
# keeps changing its answers.
_STEPS_AT_ONCE: Final = 20


class Sidecar:
    """One sidecar; create it inside a running event loop.

    Args:
        context: The settings, the share and the store.
        listeners: Listeners of events, besides the log and the metrics.
    """

    def __init__(self, context: Context, *listeners: Listener) -> None:
        settings = context.settings
        self._settings = settings
        self._log = context.log
        self._store = context.store
        self._address = context.share.address
        self._metrics = Metrics()
        # The log comes last, so that an event in the log is counted already.
        self._events = Events(self._metrics, *listeners, LogListener(context.log))
        context.store.prepare()
        self._record = Record(context.store.agent, context.log)
        waits = Waits(settings.reload_url, self._record, self._events)
        worker = worker_client(settings, waits.looked)
        self._observer = Observer(
            store=context.store,
            reader=context.reader,
            policy=context.policy,
            guard=context.guard,
            record=self._record,
            worker=worker,
            method=settings.reload_method,
            told=self._events,
        )
        self._runner = Runner(
            lambda stop: Steps.of(context, self._record, self._events, stop),
            self._observer.watch,
            settings.poll_interval,
        )
        self._carrier = Carrier(
            store=context.store,
            record=self._record,
            observer=self._observer,
            runner=self._runner,
            reloader=Reloader(
                worker,
                context.store,
                self._record,
                self._events,
                self._runner,
                waits=waits,
                signalled=settings.reload_method == "signal",
            ),
            upkeep=Upkeep(
                context.store,
                self._record,
                self._runner.run_watched,
                settings.reverify_interval,
                context.log,
            ),
            told=self._events,
        )
        self._wake = asyncio.Event()
        self._looked = 0.0
        self._news: tuple[str, str | None] = "", None
        self._stopping = False

    async def run(self) -> None:
        """Keep the worker on the marker's release until SIGTERM or SIGINT.

        Raises:
            ConfigError: The sidecar cannot listen on its address.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task  # noqa: S101 - we are in one

        def stop() -> None:
            # A second signal would interrupt the clean-up after the first one.
            if self._stopping:
                return
            # A step that ends just then may swallow the cancellation, so there is a flag too.
            self._stopping = True
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        loop.add_signal_handler(signal.SIGHUP, self.look_now)
        app = probes.application(self, self._metrics.registry)
        runner, port = await probes.listen(app, self._settings.listen)
        self._log.info("sidecar.listening", port=port)
        self._record.rests()
        self._record.does("starting")
        try:
            await self._runner.run(recover)
            self._metrics.measured(self._store)
            self._metrics.warmed_before(report.read(self._store.agent))
            self._tell_start()
            while not self._stopping:
                await self._turn()
                await self._rest()
        except asyncio.CancelledError:
            self._stopping = True
        finally:
            self._carrier.syncs.end(events.SyncStopped, "the agent was told to stop")
            self._record.rests()
            await runner.cleanup()
        self._log.info("sidecar.stopped")

    def alive(self) -> bool:
        """Return true if the loop observed recently; see `probes.Probed`."""
        polls = _LATE_POLLS * self._settings.poll_interval
        return time.monotonic() - self._runner.turned < max(_LATE_SECONDS, polls)

    def ready(self) -> bool:
        """Return true if a verified release is active; see `probes.Probed`."""
        store = self._store
        return store.active() in store.verified() and not self._observer.refused

    def status(self) -> dict[str, object]:
        """Return the state and the current activity; see `probes.Probed`."""
        error = self._observer.share_error
        unknown = self._observer.marker_unknown
        share = {"reachable": error is None, "error": error, "marker_unknown": unknown}
        state: dict[str, object] = msgspec.to_builtins(self._record.state)
        settings, address = self._settings, self._address
        # The log names the share's directory. Here it is hidden: the whole cluster may read this.
        hide = address if address.startswith("/") else None
        shown: dict[str, object] = status.paths(
            state | {"share": share}, keep=settings.store, hide=hide
        )
        return shown

    def look_now(self) -> None:
        """Read the share now, also during a back-off; see `probes.Probed`."""
        self._carrier.put_nothing_off()
        self._wake.set()

    def _tell_start(self) -> None:
        """Tell which release is active, and why `init` refused the desired one if it did."""
        known, active = self._record.state, self._store.active()
        entry = known.quarantined.get(known.desired or "") if known.desired != active else None
        refused = entry.reason if entry else None
        self._events.tell(events.SidecarStarted(active, known.desired, refused))

    async def _rest(self) -> None:
        """Wait for the next poll; a request to look now ends the wait, at most once a second."""
        jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load, no secret
        pause = self._settings.poll_interval * jitter
        # Not `wait_for`: it loses a cancellation that comes at the moment of the wake.
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self._stopping else pause):
                await self._wake.wait()
            await asyncio.sleep(max(0.0, self._looked + _AT_MOST_EVERY - time.monotonic()))
        self._wake.clear()

    async def _turn(self) -> None:
        """Take steps until there is nothing to do; log an unexpected error and go on."""
        self._looked = time.monotonic()
        try:
            for _ in range(_STEPS_AT_ONCE):
                if self._stopping:
                    break
                # Before each decision: `current` may have been deleted during a long step.
                await self._carrier.upkeep.mend()
                action = await self._decide()
                if not isinstance(action, Wait):
                    self._metrics.show(self._record.state)
                    if await self._carrier.carry_out(action):
                        self._metrics.measured(self._store)
                    self._metrics.show(self._record.state)
                    continue
                self._record.does(action.reason)
                if not await self._carrier.upkeep.look():
                    break
        except Exception:  # noqa: BLE001 - the one at the top of the loop: logged and counted
            self._log.exception("sidecar.turn_failed")
            self._carrier.syncs.end(events.SyncBroken, "internal error")
            self._events.tell(events.TurnFailed())
        self._metrics.show(self._record.state)

    async def _decide(self) -> Action:
        began = time.monotonic()
        seen = await self._observer.observe(self._carrier.not_before)
        self._runner.turned = time.monotonic()
        desired = seen.marker.version if seen.marker else None
        self._carrier.syncs.observed(self._runner.turned - began, desired=desired)
        self._metrics.share_reachable.set(self._observer.share_error is None)
        if seen.marker and self._is_news(seen.marker.sha256, seen.offered):
            self._carrier.put_nothing_off(forget=True)
        return reconcile.decide(seen)

    def _is_news(self, marker_sha256: str, offered: str | None) -> bool:
        """Return true if the marker or its release is new: then failed steps are tried at once."""
        known = self._news
        if offered or self._observer.share_error is None:
            self._news = marker_sha256, offered
        return known[0] != marker_sha256 or offered not in {None, known[1]}


async def serve(context: Context) -> None:
    """Run a sidecar until SIGTERM or SIGINT; see `Sidecar.run`."""
    with telling.kubernetes(context.log, wanted=context.settings.kubernetes_events) as listeners:
        await Sidecar(context.beside_worker(), *listeners).run()
