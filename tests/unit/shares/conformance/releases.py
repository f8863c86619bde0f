"""Small releases to publish, and a reader's view of them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from agent.machine import threads
from agent.release import manifest
from agent.shares.base import Publication
from tests.support.stores import a_model, write_release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from agent.release.manifest import Manifest
    from agent.shares.base import Share

Files = dict[str, bytes]

FILES: Final[Files] = {"fastembed/model": b"weights", "fastembed/config.json": b"{}"}
OTHER: Final[Files] = {"fastembed/model": b"another", "fastembed/vocab.txt": b"words"}
MANIFEST: Final = manifest.FILE_NAME


def make(files: Mapping[str, bytes], version: str, directory: Path) -> Manifest:
    """Make a release in an empty directory."""
    assert list(directory.iterdir()) == []
    return write_release(directory, files, [a_model()], version=version)


def publication(
    files: Mapping[str, bytes] = FILES,
    *,
    version: str = "v1",
    making: Callable[[Path], Manifest] | None = None,
    check: Callable[[], None] = lambda: None,
    stop: threading.Event | None = None,
) -> Publication:
    """Return a release on its way; a test may do more while it is made and checked."""
    made = making or partial(make, files, version)
    return Publication(version, made, check, stop or threading.Event())


def contents(share: Share, path: str, most: int = 8 * 1024 * 1024) -> bytes:
    """Read a file as staging does."""
    buffer = memoryview(bytearray(most))
    reader = share.open(path)
    try:
        return bytes(buffer[: reader.read_into(buffer, 0)])
    finally:
        reader.close()


def published(share: Share, version: str = "v1") -> Files:
    """Return the files of a release, its manifest left out, as a reader of the share sees them.

    Raises:
        AssertionError: There is something else than the manifest says, or nothing.
    """
    home = f"releases/{version}"
    data = share.read(f"{home}/{MANIFEST}", manifest.MAX_BYTES)
    assert data is not None, f"{version} has no manifest"
    release = manifest.parse(data)
    nodes = share.tree((home,)).under(home)
    sizes = {path: node.size for path, node in nodes.items() if node.kind == "file"}
    listed = {file.path: file.size for file in release.files}
    assert sizes == listed | {MANIFEST: len(data)}, version
    return {path: contents(share, f"{home}/{path}") for path in listed}


@dataclass
class Watch:
    """A reader of a share's releases.

    Attributes:
        share: The share.
        versions: All releases that it has seen.
        problems: Those of them that were not whole, and why.
    """

    share: Share
    versions: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def look(self) -> None:
        """See that each release that is visible is whole."""
        for version in self.share.names("releases"):
            try:
                published(self.share, version)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                self.problems.append(f"{version}: {error!r}")
            self.versions.add(version)


@contextmanager
def watched(share: Share) -> Iterator[Watch]:
    """Look at the releases without pause while the block runs, and once more after it."""
    watch, ended = Watch(share), threading.Event()

    def look() -> None:
        while not ended.is_set():
            watch.look()

    looking = threads.start(look)
    try:
        yield watch
    finally:
        ended.set()
        looking.result(30)
    watch.look()
