"""Finds the models that passed their canary here before: on this machine, in these libraries.

On a CPU nothing of a warm-up lasts but its answer, and the same bytes in the same libraries on the
same machine give it again. So what is on record need not be run once more. On a GPU everything is:
the GPU may have gone since, and another process's kernels do not warm this one's.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from agent.machine import identity

if TYPE_CHECKING:
    from pathlib import Path

_LIBRARIES: Final = (
    "fastembed",
    "fastembed-gpu",
    "huggingface-hub",
    "model-agent",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)

REPORT: Final = "warmup.json"


class Ground(msgspec.Struct, frozen=True):
    """The ground that models were run on: a machine, and libraries.

    Attributes:
        boot: The kernel's own name for this start of it.
        processor: See `identity.processor`: clones of a virtual machine share their `boot` alone.
        libraries: Versions by name, of those that are installed.
    """

    boot: str
    processor: str
    libraries: dict[str, str]


class _Model(msgspec.Struct, frozen=True):
    name: str
    loader: str
    precision: str
    device: str | None = None
    canary_cosine: float | None = None


class _Report(msgspec.Struct, frozen=True):
    """The parts of a warm-up's report that are read; it is written only once all have passed."""

    digest: str
    ground: Ground
    models: tuple[_Model, ...]


@cache
def ground() -> Ground | None:
    """Return the ground of this process, as it was at the first call; None if unknown."""
    found = {name: identity.installed(name) for name in _LIBRARIES}
    libraries = {name: version for name, version in found.items() if version}
    try:
        return Ground(identity.boot(), identity.processor(), libraries)
    except (OSError, ValueError):
        return None


@cache
def sha256() -> str | None:
    """Return the digest of `ground`; None where that is unknown."""
    here = ground()
    return hashlib.sha256(msgspec.json.encode(here, order="sorted")).hexdigest() if here else None


def held(agent: Path, digest: str) -> frozenset[tuple[str, str]]:
    """Return the models of a release, by name and loader, that a CPU warm-up need not run again.

    Those are models that were run there, and models that no runtime here can run.

    Args:
        agent: The directory `.agent` of the store that holds the release.
        digest: Of the release.
    """
    models = _models(agent, digest)
    return frozenset((m.name, m.loader) for m in models if m.device in {"cpu", None})


def on_cpu(agent: Path, digest: str) -> frozenset[tuple[str, str]]:
    """Return the models that gave their canary's vectors on the CPU in float32, and so would again.

    Others may take other kernels in a session that serves. The arguments are those of `held`.
    """
    models = (m for m in _models(agent, digest) if m.device == "cpu" and m.precision == "fp32")
    return frozenset((m.name, m.loader) for m in models if m.canary_cosine is not None)


def forget(agent: Path) -> None:
    """Drop the record, so that the next warm-up runs everything."""
    with suppress(OSError):  # a store that cannot be written stays readable
        (agent / REPORT).unlink(missing_ok=True)


def _models(agent: Path, digest: str) -> tuple[_Model, ...]:
    try:
        report = msgspec.json.decode((agent / REPORT).read_bytes(), type=_Report)
    except (OSError, ValueError):
        return ()
    return report.models if (report.digest, report.ground) == (digest, ground()) else ()
