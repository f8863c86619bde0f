"""Warms a release in a child process: does each model load, where it should, and is it right?"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from agent import devices, durable, memory
from agent.children import environment
from agent.copying import writing
from agent.errors import KilledError, ModelError, StoppedError, WarmupError
from agent.state import utc_now
from agent.warmup_protocol import Measured, Outcome, Request, Subject

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path

    from agent.devices import Requested
    from agent.manifest import Manifest

DEADLINE_SECONDS: Final = 900.0
REPORT_NAME: Final = "warmup.json"
# A GPU, or lower precision, may differ from the fp32 vectors of a CPU by this much.
CUDA_MIN_COSINE: Final = 0.99
NICEST: Final = 19
_SIGKILL: Final = -9
# glibc raises the size from which it gives memory back at once, up to 32 MiB, and then keeps what
# each layer of a long text took: measured 492 MiB for bge-large without this, 61 MiB with it.
_FRUGAL: Final = {"MALLOC_MMAP_THRESHOLD_": "131072"}


@dataclass(frozen=True)
class Warmer:
    """How to warm.

    Attributes:
        requested: The device, as `--device` says.
        stop: Ends the child early.
        nice: Of the child: 0 where nothing else runs yet, `NICEST` beside a serving worker.
    """

    requested: Requested
    stop: threading.Event
    nice: int = 0

    def warm(self, release: Manifest, directory: Path) -> tuple[Measured, ...]:
        """Load every model of `release`, and hold it to its canary.

        Raises:
            ModelError: A model does not load, or gives other vectors.
            WarmupError: The device does not work, or the child was killed or took too long.
            StoppedError: `stop` was set.
        """
        subjects = tuple(
            Subject(m.name, m.loader, m.repo, m.revision, m.canary) for m in release.models
        )
        device = devices.choose(self.requested)
        measured = self.measure(subjects, directory)
        for model, seen in zip(release.models, measured, strict=True):
            minimum = model.canary.min_cosine if model.canary else 0.0
            allowed = min(minimum, CUDA_MIN_COSINE) if device == "cuda" else minimum
            _hold(seen, model.dim, allowed)
        return measured

    def measure(self, subjects: Sequence[Subject], directory: Path) -> tuple[Measured, ...]:
        """Load each model and measure it, without a judgement.

        Raises:
            ConfigError: The container's memory limit is too low for it.
            ModelError: A model does not load.
            WarmupError: The device does not work, or the child was killed or took too long.
            StoppedError: `stop` was set.
        """
        device = devices.choose(self.requested)
        if device == "cpu":
            memory.require(subjects, directory)
        request = Request(str(directory), device, tuple(subjects), self.nice)
        outcome = _ask(request, self.stop)
        if outcome.failure is None:
            return outcome.models
        if outcome.blames_release:
            raise ModelError(outcome.failure, remedy="Publish a release whose models load.")
        raise WarmupError(
            outcome.failure,
            remedy="Ask for nvidia.com/gpu and use the gpu image, or set --device cpu.",
        )


def report(agent: Path, version: str, measured: Sequence[Measured]) -> bool:
    """Write `.agent/warmup.json`: what each model of `version` did on its device.

    False where the volume is full.
    """
    document = {
        "schema": 1,
        "version": version,
        "at": utc_now(),
        "models": [_public(seen) for seen in measured],
    }
    encoded = msgspec.json.format(msgspec.json.encode(document), indent=2)
    with writing(REPORT_NAME):
        return durable.try_write(agent / REPORT_NAME, encoded + b"\n")


def _public(seen: Measured) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(seen)
    return {name: value for name, value in fields.items() if name not in {"vectors", "finite"}}


def _hold(seen: Measured, dim: int, min_cosine: float) -> None:
    remedy = "Publish the release again from the right files."
    if seen.dim != dim:
        what = f"{seen.name} gives {seen.dim} numbers and its manifest says {dim}."
        raise ModelError(what, remedy=remedy)
    if not seen.finite:
        raise ModelError(f"{seen.name} gives vectors that are zero or not finite.", remedy=remedy)
    if seen.canary_cosine is not None and seen.canary_cosine < min_cosine:
        raise ModelError(
            f"{seen.name} fails its canary: cosine {seen.canary_cosine:.4f}, at least "
            f"{min_cosine:g} is needed.",
            remedy=remedy,
        )


def _ask(request: Request, stop: threading.Event) -> Outcome:
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as log:
        with subprocess.Popen(
            [sys.executable, "-m", "agent.warmup_child"],
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=log,
            env=environment() | _FRUGAL,
        ) as child:
            try:
                status = _wait(child, msgspec.json.encode(request), stop)
            finally:
                child.kill()
        answer.seek(0)
        log.seek(0)
        return _read(status, answer.read(), log.read())


def _wait(child: subprocess.Popen[bytes], request: bytes, stop: threading.Event) -> int:
    assert child.stdin  # noqa: S101 - asked for above
    try:
        child.stdin.write(request)
        child.stdin.close()
    except BrokenPipeError:
        return child.wait()
    until = time.monotonic() + DEADLINE_SECONDS
    while (status := child.poll()) is None:
        if stop.wait(0.02):
            raise StoppedError
        if time.monotonic() > until:
            raise WarmupError(
                f"The warm-up did not end within {DEADLINE_SECONDS:g} s.",
                remedy="Look for a hung device driver or a starved CPU limit.",
            )
    return status


def _read(status: int, answer: bytes, log: bytes) -> Outcome:
    if status == 0:
        return msgspec.json.decode(answer, type=Outcome)
    if status == _SIGKILL:
        raise KilledError(
            "The warm-up was killed, most likely for want of memory.",
            remedy="Raise the container's memory limit, or publish load-optimised weights.",
        )
    last = log.decode(errors="replace").strip().rpartition("\n")[2][:300]
    raise WarmupError(
        f"The warm-up ended with status {status}: {last or 'it said nothing'}.",
        remedy="Install model-agent with the extra cpu or gpu.",
    )
