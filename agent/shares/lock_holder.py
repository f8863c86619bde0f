"""Who holds a lock on a share, as its file says it."""

from __future__ import annotations

import os
import secrets
import socket
import uuid
from pathlib import Path
from typing import Final

import msgspec

from agent.machine import identity
from agent.machine.clock import utc_now

# Of one size always, so that a beat is one write in place.
RECORD_BYTES: Final = 512


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock; `machine` and `process` let a neighbour see that it is gone.

    `id` is a GUID, as leases have them.
    """

    id: str
    host: str
    machine: str
    process: str
    since: str
    beat: int = 0

    @classmethod
    def me(cls) -> Holder:
        """This process, under an id that no other holder has."""
        process = f"{os.getpid()}:{_started(os.getpid())}"
        return cls(str(uuid.uuid4()), socket.gethostname(), _machine(), process, utc_now())

    def record(self) -> bytes:
        """As it stands in the file."""
        return msgspec.json.encode(self)[:RECORD_BYTES].ljust(RECORD_BYTES, b"\n")

    def is_gone(self) -> bool:
        """Whether it is a process of this machine that has ended. False says nothing."""
        pid, _, started = self.process.partition(":")
        return self.machine == _machine() and pid.isdigit() and _started(int(pid)) != started


def parse(record: bytes) -> Holder | None:
    """The holder that a lock file names; None if it was made but not written yet, or is broken."""
    try:
        return msgspec.json.decode(record, type=Holder)
    except msgspec.DecodeError:
        return None


def _machine() -> str:
    """This boot of this machine and the process numbers that hold here; empty if unknown."""
    try:
        return f"{identity.boot()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return secrets.token_hex(8)  # like no other


def _started(pid: int) -> str:
    """When a process began, in clock ticks since boot; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
