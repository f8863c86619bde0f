"""What gave its canary's vectors here before: on this machine, in the libraries that are installed.

On a CPU nothing of a warm-up lasts but its answer, and the same bytes in the same libraries on the
same machine give it again: whoever finds it on record need not run everything once more. On a GPU
everybody does. It may have gone since, and another process's kernels do not warm this one's.
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
    """Where models were run.

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
    """What is read of the report of a warm-up, which is written only once all have passed."""

    digest: str
    ground: Ground
    models: tuple[_Model, ...]


@cache
def ground() -> Ground | None:
    """Where this process runs models, as it was when this was asked first; None if unknown."""
    found = {name: identity.installed(name) for name in _LIBRARIES}
    libraries = {name: version for name, version in found.items() if version}
    try:
        return Ground(identity.boot(), identity.processor(), libraries)
    except (OSError, ValueError):
        return None


@cache
def sha256() -> str | None:
    """The digest of `ground`; None where that is unknown."""
    here = ground()
    return hashlib.sha256(msgspec.json.encode(here, order="sorted")).hexdigest() if here else None


def held(agent: Path, digest: str) -> frozenset[tuple[str, str]]:
    """The models of a release, by name and loader, of which a warm-up on the CPU has nothing new.

    Those that were run there, and those that nothing here can run.

    Args:
        agent: The directory `.agent` of the store that holds the release.
        digest: Of the release.
    """
    models = _models(agent, digest)
    return frozenset((m.name, m.loader) for m in models if m.device in {"cpu", None})


def on_cpu(agent: Path, digest: str) -> frozenset[tuple[str, str]]:
    """Those that gave their canary's vectors on the CPU, in float32, and so would again.

    Others may take other kernels in a session that serves: the arguments are those of `held`.
    """
    models = (m for m in _models(agent, digest) if m.device == "cpu" and m.precision == "fp32")
    return frozenset((m.name, m.loader) for m in models if m.canary_cosine is not None)


def forget(agent: Path) -> None:
    """Drop the record, so that whatever is asked next is run."""
    with suppress(OSError):  # a store that cannot be written stays readable
        (agent / REPORT).unlink(missing_ok=True)


def _models(agent: Path, digest: str) -> tuple[_Model, ...]:
    try:
        report = msgspec.json.decode((agent / REPORT).read_bytes(), type=_Report)
    except (OSError, ValueError):
        return ()
    return report.models if (report.digest, report.ground) == (digest, ground()) else ()
