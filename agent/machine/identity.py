"""What this process runs on: this start of the kernel, the processor, the libraries."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_PROCESSORS: Final = Path("/proc/cpuinfo")


def boot() -> str:
    """The kernel's own name for this start of it, which also names the machine; see random(4).

    Raises:
        OSError: The kernel does not say.
    """
    return _BOOT.read_text(encoding="ascii").strip()


def processor() -> str:
    """A digest of what the first processor is and can do: to list all of them may take long.

    Raises:
        OSError: The kernel does not say.
    """
    with _PROCESSORS.open("rb") as file:
        first = file.read(8192).partition(b"\n\n")[0].splitlines()
    kept = [line for line in first if line.startswith((b"model name", b"flags", b"Features"))]
    return hashlib.sha256(b"\n".join(kept)).hexdigest()[:16]


def installed(distribution: str) -> str | None:
    """The version of a Python distribution; None if it is not installed."""
    from importlib import metadata  # noqa: PLC0415 - 2 MB, which an idle sidecar need not hold

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
