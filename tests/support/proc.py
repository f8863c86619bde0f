"""What the kernel says of a process. No other imports: programs in other environments use it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

KIB: Final = 1024


def status(pid: int | str = "self") -> dict[str, str]:
    """The fields of `/proc/PID/status` (proc_pid_status(5)).

    Raises:
        OSError: There is no such process.
    """
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def memory(field: str, pid: int | str = "self") -> int:
    """Bytes of one of its memory fields, such as `VmRSS`; 0 of a process that has ended.

    Raises:
        OSError: There is no such process.
    """
    return int(status(pid).get(field, "0").split()[0]) * KIB
