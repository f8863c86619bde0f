"""What gave its canary's vectors here before: on this machine, in the libraries that are installed.

On a CPU nothing of a warm-up lasts but its answer, and the same bytes in the same libraries on the
same machine give it again: whoever finds it on record need not run everything once more. On a GPU
everybody does. It may have gone since, and another process's kernels do not warm this one's.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec

# Changes with every start of the kernel, so that it also names the machine; see random(4).
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_LIBRARIES: Final = (
    "fastembed",
    "fastembed-gpu",
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
        libraries: Versions by name, of those that are installed.
    """

    boot: str
    libraries: dict[str, str]


class _Model(msgspec.Struct, frozen=True):
    name: str
    loader: str
    device: str | None = None
    canary_cosine: float | None = None


class _Report(msgspec.Struct, frozen=True):
    """What is read of the report of a warm-up, which is written only once all have passed."""

    digest: str
    ground: Ground
    models: tuple[_Model, ...]


def ground() -> Ground:
    """Where this process runs models.

    Raises:
        OSError: The kernel does not say.
    """
    found = {name: _version(name) for name in _LIBRARIES}
    boot = _BOOT.read_text(encoding="ascii").strip()
    return Ground(boot, {name: each for name, each in found.items() if each})


def on_cpu(agent: Path, digest: str) -> frozenset[tuple[str, str]]:
    """The models of a release, by name and loader, that passed on the CPU and would again.

    Args:
        agent: The directory `.agent` of the store that holds the release.
        digest: Of the release.
    """
    try:
        report = msgspec.json.decode((agent / REPORT).read_bytes(), type=_Report)
        here = ground()
    except (OSError, ValueError):
        return frozenset()
    if (report.digest, report.ground) != (digest, here):
        return frozenset()
    ran = (m for m in report.models if m.device == "cpu" and m.canary_cosine is not None)
    return frozenset((model.name, model.loader) for model in ran)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
