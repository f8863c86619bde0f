"""Warms a release in a child process: each model must load on its device, and pass its canary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import ModelError, WarmupError
from agent.machine import memory
from agent.models import footprint
from agent.models.devices import device as devices
from agent.models.shapes import DEFAULTS
from agent.release import canary
from agent.warmup import passes
from agent.warmup.ask import ask
from agent.warmup.protocol import Measured, Request, Subject

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from agent.models.devices.device import Device
    from agent.models.shapes import Shape
    from agent.release.manifest import Manifest, Model
    from agent.warmup.protocol import Failure


@dataclass(frozen=True)
class Warmer:
    """Loads and runs the models of releases.

    Attributes:
        requested: The device, as `--device` says.
        shapes: The shapes that are run; None for the device's own.
        timeout: Seconds that it may take.
        stop: Ends the child early.
        log: Told of steps that take long, and of the device that was chosen.
    """

    requested: str
    shapes: tuple[Shape, ...] | None
    timeout: float
    stop: threading.Event
    log: FilteringBoundLogger

    def warm(self, release: Manifest, directory: Path) -> tuple[Measured, ...]:
        """Load every model of `release`, run it, and hold it to its canary.

        Raises:
            ModelError: A model does not load, or gives other vectors.
            WarmupError: The device does not work, or was asked for and nothing ran on it, or the
                child was killed or took too long.
            StoppedError: `stop` was set.
        """
        device = devices.choose(self.requested)
        if self.requested == devices.AUTO:
            self.log.info("device.chosen", device=str(device), reason=devices.why_none())
        subjects = [Subject(model.ref, model.canary) for model in release.models]
        shapes = DEFAULTS[device.kind] if self.shapes is None else self.shapes
        measured = self._measure(subjects, directory, device, shapes)
        for model, seen in zip(release.models, measured, strict=True):
            _hold(model, seen, device)
        if reasons := unproven(self.requested, measured):
            raise WarmupError(
                f"No model of {release.version} ran on {device}, which --device asks for: "
                f"{reasons}.",
                remedy="Install what is missing, publish a model that can be run here, or use "
                "--device auto.",
            )
        return measured

    def has_passed(self, release: Manifest, agent: Path) -> bool:
        """Return whether to warm `release` would only repeat what is on record in `agent`.

        If shapes are given, they are run in any case.
        """
        if self.shapes is not None or devices.choose(self.requested).kind != "cpu":
            return False
        models = {(model.name, model.loader) for model in release.models}
        return models <= passes.held(agent, release.digest)

    def measure(self, subjects: Sequence[Subject], directory: Path) -> tuple[Measured, ...]:
        """Load each model on the CPU and measure it; it is held to nothing.

        Raises:
            ConfigError: The container's memory limit is too low for it.
            ModelError: A model does not load.
            WarmupError: The child was killed or took too long.
            StoppedError: `stop` was set.
        """
        return self._measure(subjects, directory, devices.CPU, ())

    def _measure(
        self,
        subjects: Sequence[Subject],
        directory: Path,
        device: Device,
        shapes: tuple[Shape, ...],
    ) -> tuple[Measured, ...]:
        if device.kind == "cpu":
            models = [subject.ref for subject in subjects]
            footprint.require(models, directory, limit=memory.limit_bytes())
        request = Request(str(directory), device, tuple(subjects), shapes)
        outcome = ask(request, stop=self.stop, timeout=self.timeout, log=self.log)
        if outcome.failure:
            raise _as_error(outcome.failure)
        return outcome.models


def unproven(requested: str, measured: Sequence[Measured]) -> str | None:
    """Return why no model was run, one after the other, if a GPU was asked for by name.

    Without that, or if a model was run, or there is none, it is None.
    """
    if not requested.startswith("cuda") or not all(seen.not_run for seen in measured):
        return None
    reasons = [f"{seen.ref.name} ({seen.ref.loader}): {seen.not_run}" for seen in measured]
    return "; ".join(reasons) or None


def _as_error(failure: Failure) -> WarmupError:
    kind = ModelError if failure.blames == "model" else WarmupError
    return kind(failure.what, remedy=failure.remedy)


def _hold(model: Model, seen: Measured, device: Device) -> None:
    reason = canary.problem(
        model, dim=seen.dim, finite=seen.finite, cosines=seen.cosines, kind=device.kind
    )
    if reason:
        raise ModelError(
            f"{model.name} {reason}.", remedy="Publish the release again from the right files."
        )
