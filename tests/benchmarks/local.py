"""A share that is a directory: staging and verifying, beside the shell's own tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from functools import partial
from typing import TYPE_CHECKING

from agent import logs
from agent.files.progress import ByteCounter
from agent.shares.directory import DirectoryShare
from agent.store import intact
from agent.store import stage as staging
from agent.store.store import Store
from tests.benchmarks import release
from tests.benchmarks.measuring import ROUNDS, medians, timed
from tests.benchmarks.release import VERSION
from tests.benchmarks.table import Row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.benchmarks.release import Subject


def stage(subject: Subject) -> list[Row]:
    """Stage and verify, beside a copy, and beside a copy with a check."""
    store, copied = _store(subject), subject.room / "copy"
    share = DirectoryShare(subject.share)
    copy = f"cp -r {subject.directory} {copied} && sync -f {copied}"
    check = f"{copy} && {_check(subject, copied)}"

    def clear() -> None:
        store.remove(VERSION)
        shutil.rmtree(copied, ignore_errors=True)

    runs = [
        timed(partial(staging.stage, share, subject.release, store, stop=threading.Event())),
        timed(partial(_shell, copy)),
        timed(partial(_shell, check)),
    ]
    least = subject.ceilings.stage(subject.release.size)
    rows = []
    for cache, also in (("warm", lambda: None), ("cold", lambda: forget(subject.directory))):
        ours, plain, checked = medians(runs, between=partial(_each, clear, also))
        what = f"stage, every byte verified, page cache {cache}"
        limit = least if cache == "warm" else None
        rows.append(Row(what, ours, "`cp -r`, `sync`", plain, limit))
        rows.append(Row(what, ours, "`cp -r`, `sync`, `sha256sum -c`", checked, limit))
    return rows


def change(subject: Subject) -> list[Row]:
    """Stage a release of which one small file is another, beside a copy of all of it."""
    store, copied, stop = _store(subject), subject.room / "copy", threading.Event()
    share = DirectoryShare(subject.share)
    staging.stage(share, subject.release, store, stop=stop)
    changed, moved = release.change_one_file(subject), ByteCounter()
    directory = subject.directory.with_name(changed.version)

    def clear() -> None:
        store.remove(changed.version)
        shutil.rmtree(copied, ignore_errors=True)

    def ours() -> None:
        moved.add_all(staging.stage(share, changed, store, stop=stop).moved)

    copy = f"cp -r {directory} {copied} && sync -f {copied}"
    mine, theirs = medians([timed(ours), timed(partial(_shell, copy))], between=clear)
    store.remove(VERSION)
    counts = moved.by_source
    count = sum(counts.values()) - counts.get("reused", 0)
    what = f"stage, one small file changed: {count // ROUNDS} bytes moved"
    return [Row(what, mine, "`cp -r`, `sync`", theirs)]


def verify(subject: Subject) -> list[Row]:
    """Verify in place, beside `sha256sum`."""
    store, stop = _store(subject), threading.Event()
    staging.stage(DirectoryShare(subject.share), subject.release, store, stop=stop)
    path = store.path(VERSION)
    mine = partial(intact.require, subject.release, path, stop=stop, log=logs.get())
    ours, theirs = medians(
        [timed(mine), timed(partial(_shell, _check(subject, path)))], between=lambda: None
    )
    store.remove(VERSION)
    limit = subject.ceilings.verify(subject.release.size)
    return [Row("verify in place", ours, "`sha256sum -c`", theirs, limit)]


def _store(subject: Subject) -> Store:
    store = Store(subject.room / "store")
    store.root.mkdir(exist_ok=True)
    store.prepare()
    return store


def _check(subject: Subject, directory: Path) -> str:
    sums = subject.room / "sums"
    sums.write_text("".join(f"{f.sha256}  {f.path}\n" for f in subject.release.files))
    return f"cd {directory} && sha256sum --quiet -c {sums}"


def _each(*works: Callable[[], object]) -> None:
    for work in works:
        work()


def forget(directory: Path) -> None:
    """Have the kernel drop its copy of the files, which the next reader gets from the disk."""
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _shell(command: str) -> None:
    """Run what a user would type."""
    subprocess.run(["bash", "-ec", command], check=True)
