"""The record of a lock's holder, as it is written in the lock file."""

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

# Bytes. The size is fixed, so that a beat is one write in place.
RECORD_BYTES: Final = 512


class Holder(msgspec.Struct, frozen=True):
    """The holder of a lock.

    Attributes:
        id: A GUID, as leases of Azure Files have.
        host: The host's name.
        machine: The boot and process namespace, so that others on this machine can check `process`.
        process: The process' number, and its start in clock ticks since boot.
        since: The time at which the lock was asked for, in UTC.
        beat: A number that the holder increases while it lives.
    """

    id: str
    host: str
    machine: str
    process: str
    since: str
    beat: int = 0

    @classmethod
    def me(cls) -> Holder:
        """Return this process as a holder, with a new id."""
        process = f"{os.getpid()}:{_started(os.getpid())}"
        return cls(str(uuid.uuid4()), socket.gethostname(), _machine(), process, utc_now())

    def record(self) -> bytes:
        """Return the `RECORD_BYTES` bytes that stand in the lock file."""
        return msgspec.json.encode(self)[:RECORD_BYTES].ljust(RECORD_BYTES, b"\n")

    def is_gone(self) -> bool:
        """Return true if it was a process of this machine that has ended; false proves nothing."""
        pid, _, started = self.process.partition(":")
        return self.machine == _machine() and pid.isdigit() and _started(int(pid)) != started


def parse(record: bytes) -> Holder | None:
    """Return the holder that a lock file names; None if the file is empty yet, or broken."""
    try:
        return msgspec.json.decode(record, type=Holder)
    except msgspec.DecodeError:
        return None


def _machine() -> str:
    """Return this boot's id and this process namespace; a random name if they are unknown."""
    try:
        return f"{identity.boot()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return secrets.token_hex(8)  # equal to no other machine's


def _started(pid: int) -> str:
    """Return the time a process began, in clock ticks since boot; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
