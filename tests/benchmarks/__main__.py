"""Measures staging and verifying the true-shape bge-large, and prints a Markdown table."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from agent import staging, verified
from agent.shares.directory import DirectoryShare
from agent.staging import Moved
from agent.store import Store
from tests.support import models
from tests.support.stores import a_model, write_release

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.manifest import Manifest

ROUNDS = 5
VERSION = "v1"


def main() -> int:
    """Run all, print the table."""
    root = Path(tempfile.mkdtemp(prefix="model-agent-bench-"))
    try:
        bench = Bench(root)
        rows = [*bench.staging(), *bench.verifying()]
    finally:
        shutil.rmtree(root)
    print(f"Medians of {ROUNDS} rounds, {bench.release.size / 1e9:.2f} GB, page cache warm.\n")
    print("| what | seconds | beside | seconds | times as fast |\n| --- | --- | --- | --- | --- |")
    for what, ours, beside, theirs in rows:
        print(f"| {what} | {ours:.2f} | {beside} | {theirs:.2f} | {theirs / ours:.2f} |")
    return 0


class Bench:
    """One release on a share, and what is done with it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._store = Store(root / "store")
        self._store.root.mkdir()
        self._store.prepare()
        directory = root / "share" / "releases" / VERSION
        models.write_bge_large(directory / "fastembed", weights="external")
        self.release: Manifest = write_release(directory, {}, [a_model()])
        self._source = directory
        self._sums = root / "sums"
        lines = (f"{file.sha256}  {file.path}\n" for file in self.release.files)
        self._sums.write_text("".join(lines))

    def staging(self) -> list[tuple[str, float, str, float]]:
        """Stage and verify, beside a copy, and beside a copy with a check."""
        share = DirectoryShare(self._root / "share")
        stage = partial(staging.stage, share, self.release, self._store, stop=threading.Event())
        target = self._root / "copy"
        copy = f"cp -r {self._source} {target} && sync -f {target}"
        ours, copied, checked = timed(
            [stage, partial(shell, copy), partial(shell, f"{copy} && {self._check(target)}")],
            between=partial(self._clear, target),
        )
        what = "stage, every byte verified"
        return [
            (what, ours, "`cp -r`, `sync`", copied),
            (what, ours, "`cp -r`, `sync`, `sha256sum -c`", checked),
        ]

    def _clear(self, copy: Path) -> None:
        self._store.remove(VERSION)
        shutil.rmtree(copy, ignore_errors=True)

    def verifying(self) -> list[tuple[str, float, str, float]]:
        """Verify in place, beside `sha256sum`."""
        share = DirectoryShare(self._root / "share")
        staging.stage(share, self.release, self._store, stop=threading.Event())
        path = self._store.path(VERSION)
        stop = threading.Event()
        ours = partial(verified.verify, self.release, path, stop=stop, moved=Moved())
        mine, theirs = timed([ours, partial(shell, self._check(path))], between=lambda: None)
        return [("verify in place", mine, "`sha256sum -c`", theirs)]

    def _check(self, directory: Path) -> str:
        return f"cd {directory} && sha256sum --quiet -c {self._sums}"


def timed(candidates: list[Callable[[], object]], *, between: Callable[[], object]) -> list[float]:
    """Median seconds of each, run in turn so that all see the same machine."""
    seconds: list[list[float]] = [[] for _ in candidates]
    for _ in range(ROUNDS):
        for index, candidate in enumerate(candidates):
            between()
            began = time.perf_counter()
            candidate()
            seconds[index].append(time.perf_counter() - began)
    between()
    return [median(each) for each in seconds]


def shell(command: str) -> None:
    """Run what a user would type."""
    subprocess.run(["bash", "-ec", command], check=True)


if __name__ == "__main__":
    sys.exit(main())
