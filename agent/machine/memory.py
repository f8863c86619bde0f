"""Memory that this process may still take, by its control groups and the machine.

It is checked before a model is loaded: if memory runs out, the kernel kills the process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_MACHINE: Final = Path("/proc/meminfo")
_OWN: Final = Path("/proc/self/cgroup")
# cgroup v1 writes "no limit" as a number, which is larger than any machine's memory.
_UNLIMITED: Final = 1 << 60


def limit_bytes() -> int | None:
    """Return the memory limit of this process' control groups in bytes; None if there is none."""
    found = [value for path in _candidates() if (value := _read(path)) is not None]
    return min(found, default=None)


def available_bytes() -> int | None:
    """Return the bytes that this process may still take; None if unknown.

    Both its control groups and the machine limit it. Cached pages of files count as free: the
    kernel reclaims them.
    """
    left = [_left(path) for path in _candidates()]
    return min((each for each in [*left, _left_here()] if each is not None), default=None)


def _left(limit_file: Path) -> int | None:
    limit = _read(limit_file)
    if limit is None:
        return None
    numbers = _pairs(limit_file.with_name("memory.stat"))
    # The second name of each pair is version 1's. The kernel cannot reclaim a tmpfs' pages either.
    own = numbers.get("anon", numbers.get("total_rss"))
    in_memory = numbers.get("shmem", numbers.get("total_shmem", 0))
    return None if own is None else max(0, limit - own - in_memory)


def _left_here() -> int | None:
    kib = _pairs(_MACHINE).get("MemAvailable:")
    return None if kib is None else kib * 1024


def _pairs(path: Path) -> dict[str, int]:
    """Return the numbers of a file such as `memory.stat`, by name; empty if it cannot be read.

    Each of its lines has a name, a number and perhaps a unit.
    """
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def _candidates() -> list[Path]:
    """Return the files that may hold the limit: of our own group, and of the container's root."""
    files = [_CGROUPS / "memory.max", _CGROUPS / "memory" / "memory.limit_in_bytes"]
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return files
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            files.append(_CGROUPS / path.strip("/") / "memory.max")
        elif "memory" in controllers.split(","):
            files.append(_CGROUPS / "memory" / path.strip("/") / "memory.limit_in_bytes")
    return files


def _read(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < _UNLIMITED else None
