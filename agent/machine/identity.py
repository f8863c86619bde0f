"""Identifies what this process runs on: the boot, the processor, the installed libraries."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_PROCESSORS: Final = Path("/proc/cpuinfo")


def boot() -> str:
    """Return the kernel's boot id, which is unique to this machine and this boot; see random(4).

    Raises:
        OSError: The kernel does not give it.
    """
    return _BOOT.read_text(encoding="ascii").strip()


def processor() -> str:
    """Return a digest of the first processor's model and features; to read all may take long.

    Raises:
        OSError: The kernel does not give them.
    """
    with _PROCESSORS.open("rb") as file:
        first = file.read(8192).partition(b"\n\n")[0].splitlines()
    kept = [line for line in first if line.startswith((b"model name", b"flags", b"Features"))]
    return hashlib.sha256(b"\n".join(kept)).hexdigest()[:16]


def installed(distribution: str) -> str | None:
    """Return the version of a Python distribution; None if it is not installed."""
    from importlib import metadata  # noqa: PLC0415 - 2 MB, which an idle sidecar does not need

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
