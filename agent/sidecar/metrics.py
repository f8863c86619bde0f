"""The sidecar's metrics, in their own registry."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from agent.store import room
from agent.sync import events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.store.store import Store
    from agent.sync.listening import Event
    from agent.sync.state import State
    from agent.warmup.report import Warmed

STATUSES = ("success", "quarantined", "error")


class Metrics:
    """All metrics of `/metrics`, updated by events; their names start with `model_agent_`."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations
        self.registry = CollectorRegistry()
        ends = f"Attempts to serve another release, by outcome: {', '.join(STATUSES)}."
        self.syncs = self._counter("syncs", ends, ["status"])
        # Created at the start, so that a rate over them counts the first one too.
        for status in STATUSES:
            self.syncs.labels(status)
        self.sync_duration = Histogram(
            "model_agent_sync_duration_seconds",
            "Seconds from the marker's change until its release is active.",
            buckets=(0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600),
            registry=self.registry,
        )
        self.staged_bytes = self._counter(
            "staged_bytes", "Bytes staged, by source: share, hub, resumed, reused.", ["source"]
        )
        self.verify_failures = self._counter(
            "verify_failures", "Releases found with wrong bytes, on the share or in the store."
        )
        self.repairs = self._counter("repairs", "Files of the store that were repaired.")
        self.rotten_files = self._gauge(
            "rotten_files", "Files of the active release with wrong bytes, not repaired yet."
        )
        self.last_reverified = self._gauge(
            "last_reverified_timestamp_seconds",
            "When all of the active release was last verified and intact, in Unix time.",
        )
        self.reload_attempts = self._counter(
            "reload_attempts", "Reloads that the worker was asked for."
        )
        self.reload_failures = self._counter("reload_failures", "Reloads that were not confirmed.")
        self.last_reload_successful = self._gauge(
            "last_reload_successful",
            "0 if the last reload was not confirmed, else 1, as before the first.",
        )
        self.last_reload_successful.set(1)
        self.last_success = self._gauge(
            "last_success_timestamp_seconds", "When a release was last activated, in Unix time."
        )
        self.warmup = self._gauge(
            "warmup_seconds", "Seconds to load a model and run it once.", ["model", "device"]
        )
        self.canary = self._gauge(
            "canary_cosine", "Lowest cosine of a canary's texts, last time.", ["model", "device"]
        )
        self.phase = self._gauge(
            "phase_seconds", "Seconds of the last stage, check, reload or activate.", ["phase"]
        )
        self.store_used = self._gauge("store_used_bytes", "Bytes in the store.")
        self.store_limit = self._gauge(
            "store_limit_bytes", "Bytes that the store may take: its limit, or its volume's size."
        )
        self.release_info = self._gauge(
            "release_info",
            "Always 1; its labels are the releases of this pod.",
            ["desired", "active", "worker"],
        )
        self.share_reachable = self._gauge("share_reachable", "1 if the share answers, else 0.")
        self.quarantined = self._gauge(
            "quarantined_releases", "Releases that failed and are not tried again for this marker."
        )

    def show(self, state: State) -> None:
        """Set the metrics that show the state."""
        self.release_info.clear()
        self.release_info.labels(
            state.desired or "", state.active or "", state.worker.version or ""
        ).set(1)
        self.quarantined.set(len(state.refused()))
        rot = state.rot if state.rot and state.rot.version == state.active else None
        self.rotten_files.set(len(rot.files) if rot else 0)
        for gauge, at in (
            (self.last_success, state.last_success),
            (self.last_reverified, state.last_reverified),
        ):
            if at:
                gauge.set(datetime.fromisoformat(at).timestamp())

    def warmed_before(self, models: Iterable[Warmed]) -> None:
        """Set the metrics of models that were warmed before this start, such as by `init`."""
        for seen in models:
            if seen.device and seen.load_seconds is not None and seen.first_seconds is not None:
                seconds = seen.load_seconds + seen.first_seconds
                self._warmed(seen.name, seen.device, seconds, seen.canary_cosine)

    def measured(self, store: Store) -> None:
        """Set the metrics of the store's size."""
        self.store_used.set(room.used_bytes(store))
        self.store_limit.set(room.most_bytes(store))

    def hear(self, event: Event) -> None:
        """Count an event; see `agent.sync.listening.Listener`."""
        match event:
            case events.Staged(moved=moved):
                for source, count in moved.items():
                    self.staged_bytes.labels(source).inc(count)
            case events.ModelWarmed(model=model, device=device):
                seconds = event.load_seconds + event.first_seconds
                self._warmed(model, device, seconds, event.canary_cosine)
            case events.VerificationFailed():
                self.verify_failures.inc()
            case events.StoreRepaired(files=files):
                self.repairs.inc(len(files))
            case events.ReloadAsked() | events.ReloadFailed() | events.ReloadConfirmed():
                self._reload(event)
            case _:
                self._sync(event)

    def _sync(self, event: Event) -> None:
        match event:
            case events.PhaseEnded(phase=phase, seconds=seconds):
                self.phase.labels(phase).set(seconds)
            case events.SyncDone(since_marker_seconds=seconds):
                self.syncs.labels("success").inc()
                self.sync_duration.observe(seconds)
            case events.Quarantined():
                self.syncs.labels("quarantined").inc()
            case events.SyncFailed() | events.TurnFailed():
                self.syncs.labels("error").inc()

    def _warmed(self, model: str, device: str, seconds: float, cosine: float | None) -> None:
        self.warmup.labels(model, device).set(seconds)
        if cosine is not None:
            self.canary.labels(model, device).set(cosine)

    def _reload(
        self, event: events.ReloadAsked | events.ReloadFailed | events.ReloadConfirmed
    ) -> None:
        if isinstance(event, events.ReloadAsked):
            self.reload_attempts.inc()
            return
        confirmed = isinstance(event, events.ReloadConfirmed)
        self.last_reload_successful.set(confirmed)
        if not confirmed:
            self.reload_failures.inc()

    def _counter(self, name: str, text: str, labels: list[str] | None = None) -> Counter:
        return Counter(f"model_agent_{name}", text, labels or [], registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(f"model_agent_{name}", text, labels or [], registry=self.registry)
