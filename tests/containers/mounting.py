"""Runs the programs that mount something for containers, and leaves nobody hanging in one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from ctypes.util import find_library
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tests.containers.remote import Fault
from tests.containers.required import UnavailableError
from tests.support.agents import REPO
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class NoMountError(UnavailableError):
    """Nothing can be mounted here; the sentence says why."""


@contextmanager
def mounted(path: Path, *command: str | Path) -> Iterator[None]:
    """Have a program that stays in the foreground mount `path` while the block runs.

    Raises:
        NoMountError: It ended; what it said is in the sentence.
    """
    log = path.with_suffix(".log")
    with log.open("wb") as said:
        server = subprocess.Popen(command, cwd=REPO, stdout=said, stderr=said)
    try:
        until(lambda: server.poll() is not None or path.is_mount())
        if server.poll() is not None:
            raise NoMountError(f"{command[0]} ended: {log.read_text(errors='replace')[-500:]}")
        yield
    finally:
        # Killed first: whoever waits for it gets an error then, so nobody keeps the mount busy.
        server.kill()
        server.wait()
        subprocess.run(["fusermount3", "-u", "-z", path], capture_output=True, check=False)


def want(parts: Mapping[str, object]) -> None:
    """See that FUSE and these parts are there.

    Raises:
        NoMountError: Something is not; it is named.
    """
    fuse: dict[str, object] = {
        "/dev/fuse that may be opened": os.access("/dev/fuse", os.R_OK | os.W_OK),
        "fusermount3 (Debian: fuse3)": shutil.which("fusermount3"),
    }
    if lacking := [what for what, there in (fuse | dict(parts)).items() if not there]:
        raise NoMountError(f"there is no {', no '.join(lacking)}")


class Mount:
    """A share that is mounted at `path`, and the file that its faults are written to."""

    def __init__(self, room: Path) -> None:
        self.path = room / "mount"
        self.control = room / "fault"
        self.path.mkdir()
        self._set(Fault())

    @contextmanager
    def fault(self, fault: Fault) -> Iterator[None]:
        """Have operations meet it while the block runs."""
        self._set(fault)
        try:
            yield
        finally:
            self._set(Fault())

    def _set(self, fault: Fault) -> None:
        new = self.control.with_suffix(".new")
        new.write_text(json.dumps(asdict(fault)))
        new.replace(self.control)


@contextmanager
def remote(source: Path, room: Path) -> Iterator[Mount]:
    """Have `tests.containers.remote` mount `source` in `room` while the block runs.

    Raises:
        NoMountError: That cannot be done here.
    """
    want(
        {
            "libfuse (Debian: libfuse2)": find_library("fuse") or find_library("fuse3"),
            "mfusepy (PyPI)": find_spec("mfusepy"),
        }
    )
    made = Mount(room)
    program = (sys.executable, "-m", "tests.containers.remote", source, made.path, made.control)
    with mounted(made.path, *program):
        yield made
