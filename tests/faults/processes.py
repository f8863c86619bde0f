"""What a process has: children, open files, memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support import proc


def checkers(pid: int) -> list[int]:
    """The processes in which an agent checks models."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            parent = (directory / "stat").read_text().rpartition(")")[2].split()[1]
            command = (directory / "cmdline").read_bytes()
        except OSError:  # it ended just now
            continue
        if int(parent) == pid and b"agent.warmup.child" in command:
            found.append(int(directory.name))
    return found


def open_files(pid: int) -> list[str]:
    """The names of what a process has open, in whichever directory."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(link.readlink().name)
        except OSError:  # it was closed just now
            continue
    return found


@dataclass(frozen=True)
class Size:
    """What a process takes: resident bytes of its own, threads, descriptors."""

    resident: int
    threads: int
    descriptors: int


def size(pid: int) -> Size:
    """What a process takes now."""
    return Size(
        resident=proc.memory("RssAnon", pid),
        threads=int(proc.status(pid)["Threads"]),
        descriptors=len(open_files(pid)),
    )
