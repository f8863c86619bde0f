"""Temporary directories and files on this machine, for building releases.

A directory is under TMPDIR and locked while it is in use. If nobody has locked it, its process was
killed: the next process deletes the directory, or continues with it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from agent.errors import ConfigError
from agent.files.durable import writing

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHAT: Final = "a temporary file"
_PREFIX: Final = ".model-agent-scratch-"
# A younger directory may have been made just now, and not be locked yet.
_YOUNG_SECONDS: Final = 60.0


@contextmanager
def directory(what: str) -> Iterator[Path]:
    """Provide an empty directory while the block runs.

    Raises:
        NoSpaceError: TMPDIR is full.
        ConfigError: TMPDIR cannot be written.
    """
    with writing(_WHAT):
        _sweep()
        made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{what}-"))
    descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(descriptor)


@contextmanager
def kept(what: str) -> Iterator[Path]:
    """Provide a directory that keeps its content if the block fails or is killed.

    The next run continues with it. One process of this user at a time has it; others wait.

    Raises:
        ConfigError: Its path is not a directory, or is another user's, or TMPDIR cannot be written.
    """
    with writing(_WHAT):
        root = Path(tempfile.gettempdir())
    made = root / f".model-agent-kept-{os.geteuid()}-{what}"
    descriptor = _open_own(made)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield made
        for path in made.iterdir():
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


@contextmanager
def file() -> Iterator[IO[bytes]]:
    """Provide an empty file without a name while the block runs.

    Raises:
        NoSpaceError: TMPDIR is full.
        ConfigError: TMPDIR cannot be written.
    """
    with ExitStack() as stack:
        with writing(_WHAT):
            made = stack.enter_context(tempfile.TemporaryFile())
        yield made


def _open_own(path: Path) -> int:
    """Open a directory that this user owns; create it if it is missing.

    In a directory that everybody may write, another user may have created it to swap our files.
    """
    with suppress(OSError):
        path.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags)
        if os.fstat(descriptor).st_uid == os.geteuid():
            return descriptor
        os.close(descriptor)
    raise ConfigError(
        f"{path} is not a directory of this user.", remedy="Set TMPDIR to a directory of your own."
    )


def _sweep() -> None:
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # The directory is another user's, or another process has just deleted it.
        with suppress(OSError):
            if time.time() - left.lstat().st_mtime > _YOUNG_SECONDS and _is_abandoned(left):
                shutil.rmtree(left, ignore_errors=True)


def _is_abandoned(left: Path) -> bool:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(left, flags)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
