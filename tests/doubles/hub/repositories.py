"""Repositories as they lie on disk: ORG/NAME/REVISION/files, and ORG/NAME/refs/BRANCH."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.doubles.hub.blobs import Blobs
from tests.doubles.hub.huberror import entry_not_found, revision_not_found
from tests.doubles.hub.lfs import LfsRules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.doubles.hub.blobs import Blob

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_MAIN: Final = "main"


@dataclass(frozen=True)
class File:
    """A file of a snapshot.

    Attributes:
        path: Its path in the repository.
        at: Where it lies.
        blob: Its identity.
    """

    path: str
    at: Path
    blob: Blob


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit.

    Attributes:
        repo: The repository, `ORG/NAME`.
        commit: 40 hex digits.
        directory: Where it lies.
        blobs: What its files are known by.
    """

    repo: str
    commit: str
    directory: Path
    blobs: Blobs

    def files(self) -> Iterator[File]:
        """All files, by path; read afresh, so that a test may change them."""
        rules = LfsRules.of_tree(self.directory)
        for at in sorted(self.directory.rglob("*")):
            if at.is_file():
                yield self._file(at, rules)

    def file(self, path: str) -> File:
        """One file.

        Raises:
            HubError: There is none.
        """
        at = _inside(self.directory, path)
        if at is None or not at.is_file():
            raise entry_not_found(self.commit)
        return self._file(at, LfsRules.of_tree(self.directory))

    def _file(self, at: Path, rules: LfsRules) -> File:
        path = at.relative_to(self.directory).as_posix()
        lfs = rules.takes(path, at.stat().st_size)
        return File(path, at, self.blobs.of(at, lfs=lfs))


class Repositories:
    """All repositories under a directory; what is added there is served at once.

    Args:
        root: The directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._blobs = Blobs()

    def has(self, repo: str) -> bool:
        """Whether there is such a repository."""
        home = _inside(self._root, repo)
        return home is not None and any(_commits(home))

    def snapshot(self, repo: str, revision: str) -> Snapshot:
        """A repository that is there, at a commit, branch or tag.

        Raises:
            HubError: It has no such revision.
        """
        home = self._root / repo
        commit = revision if _COMMIT.fullmatch(revision) else _target(home, revision)
        if commit is None or not (home / commit).is_dir():
            raise revision_not_found(revision)
        return Snapshot(repo, commit, home / commit, self._blobs)


def _inside(directory: Path, path: str) -> Path | None:
    """A path under `directory`; None for one that leads out of it."""
    parts = path.split("/")
    if {"", ".", ".."} & set(parts) or "\0" in path:
        return None
    return directory.joinpath(*parts)


def _commits(home: Path) -> Iterator[Path]:
    return (at for at in home.glob("?" * 40) if _COMMIT.fullmatch(at.name) and at.is_dir())


def _target(home: Path, name: str) -> str | None:
    ref = _inside(home / "refs", name)
    if ref is not None and ref.is_file():
        return ref.read_text(encoding="ascii").strip()
    if name != _MAIN:
        return None
    newest = max(_commits(home), key=lambda at: (at.stat().st_mtime_ns, at.name), default=None)
    return newest.name if newest else None
