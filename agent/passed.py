"""What gave its canary's vectors here before: on this machine, in the libraries that are installed.

On a CPU nothing of a warm-up lasts but its answer, and the same bytes in the same libraries on the
same machine give it again: whoever finds it on record need not run everything once more. On a GPU
everybody does. It may have gone since, and another process's kernels do not warm this one's.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

# Changes with every start of the kernel, so that it also names the machine; see random(4).
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_PROCESSORS: Final = Path("/proc/cpuinfo")
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
        processor: A digest of what the first processor is and can do; clones of a virtual machine
            share their `boot` and need not share that.
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
def ground() -> Ground:
    """Where this process runs models, as it was when this was asked first.

    Raises:
        OSError, ValueError: The kernel does not say.
    """
    found = {name: _version(name) for name in _LIBRARIES}
    boot = _BOOT.read_text(encoding="ascii").strip()
    return Ground(boot, _processor(), {name: each for name, each in found.items() if each})


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
        here = ground()
    except (OSError, ValueError):
        return ()
    return report.models if (report.digest, report.ground) == (digest, here) else ()


def _processor() -> str:
    """Of the first one alone: to list all of a large machine takes long."""
    with _PROCESSORS.open("rb") as file:
        first = file.read(8192).partition(b"\n\n")[0].splitlines()
    kept = [line for line in first if line.startswith((b"model name", b"flags", b"Features"))]
    return hashlib.sha256(b"\n".join(kept)).hexdigest()[:16]


def _version(name: str) -> str | None:
    from importlib import metadata  # noqa: PLC0415 - 2 MB, which an idle sidecar need not hold

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
