"""Reports of a warm-up: for programs `.agent/warmup.json`, for people a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from agent.files import durable
from agent.files.durable import writing
from agent.machine.clock import utc_now
from agent.release import canary
from agent.warmup import passes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from agent.release.manifest import Manifest, Model
    from agent.warmup.protocol import Measured

_MIB: Final = 1024 * 1024
# Fields that are large, or stand in the report under other names.
_INSIDE: Final = {"ref", "vectors", "answer", "finite", "timings", "cosines"}


class Warmed(msgspec.Struct, frozen=True):
    """A model as a report has it; nothing is measured of one that was not run."""

    name: str
    device: str | None = None
    load_seconds: float | None = None
    first_seconds: float | None = None
    canary_cosine: float | None = None


class _Report(msgspec.Struct, frozen=True):
    models: tuple[Warmed, ...]


def read(agent: Path) -> tuple[Warmed, ...]:
    """Return the models of a store's report; none if it has no report that can be read."""
    try:
        return msgspec.json.decode((agent / passes.REPORT).read_bytes(), type=_Report).models
    except (OSError, ValueError):
        return ()


def document(release: Manifest, measured: Sequence[Measured]) -> dict[str, Any]:
    """Return the report as a JSON object: seconds, bytes."""
    return {
        "schema": 1,
        "version": release.version,
        "digest": release.digest,
        "at": utc_now(),
        "ground": passes.ground(),
        "models": [_model(seen) for seen in measured],
    }


def as_json(release: Manifest, measured: Sequence[Measured]) -> str:
    """Return the report as text in JSON, for programs."""
    return msgspec.json.format(msgspec.json.encode(document(release, measured)), indent=2).decode()


def write(agent: Path, release: Manifest, measured: Sequence[Measured]) -> bool:
    """Write `warmup.json`; False where the volume is full."""
    with writing(passes.REPORT):
        return durable.try_write(agent / passes.REPORT, as_json(release, measured).encode() + b"\n")


def table(release: Manifest, measured: Sequence[Measured]) -> str:
    """Return the report as a table, for people."""
    lines = [f"Release {release.version}, digest {release.digest[:12]}"]
    for model, seen in zip(release.models, measured, strict=True):
        lines += ["", *(_rows(model, seen))]
    return "\n".join(lines)


def _model(seen: Measured) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(seen)
    kept = {name: value for name, value in fields.items() if name not in _INSIDE}
    return {
        "name": seen.ref.name,
        "loader": seen.ref.loader,
        **kept,
        "steady_seconds": seen.steady_seconds,
        "canary_cosine": seen.canary_cosine,
        "canary_cosines": list(seen.cosines),
        "shapes": [
            {
                "texts": timing.shape.batch,
                "tokens": timing.shape.tokens,
                "first_seconds": timing.first_seconds,
                "steady_seconds": timing.steady_seconds,
                "texts_per_second": timing.texts_per_second,
            }
            for timing in seen.timings
        ],
    }


def _rows(model: Model, seen: Measured) -> Iterator[str]:
    about = f"{seen.dim} numbers, {seen.max_length} tokens, {seen.precision}"
    yield f"{seen.ref.name} ({seen.ref.loader}): {about}"
    if seen.not_run:
        yield f"  not run, only its files were checked: {seen.not_run}"
        return
    yield f"  {'device':<10}{seen.device}, {seen.provider}"
    yield f"  {'load':<10}{_time(seen.load_seconds)}, first text {_time(seen.first_seconds)}"
    yield f"  {'memory':<10}{_memory(seen)}"
    yield f"  {'canary':<10}{_canary(model, seen)}"
    if seen.timings:
        yield f"  {'texts x tokens':>16}{'first':>12}{'steady':>12}{'texts/s':>12}"
    for timing in seen.timings:
        times = f"{_time(timing.first_seconds):>12}{_time(timing.steady_seconds):>12}"
        yield f"  {timing.shape!s:>16}{times}{timing.texts_per_second:>12.1f}"


def _memory(seen: Measured) -> str:
    host = f"peak {(seen.peak_rss_bytes or 0) // _MIB} MiB"
    if seen.peak_device_bytes is None:
        return host
    return f"{host}, and {seen.peak_device_bytes // _MIB} MiB of the device"


def _canary(model: Model, seen: Measured) -> str:
    if seen.canary_cosine is None:
        return "none in this release"
    needed = canary.needed(model.canary, "cuda" if seen.device == "cuda" else "cpu")
    near = f"cosine {seen.canary_cosine:.6f}, at least {needed:g}"
    return f"{near}, in {_time(seen.canary_seconds)}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"
