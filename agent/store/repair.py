"""Repairs files of a release that is in use: a new file takes the place of the bad one.

The bad file is never written to: a worker may have it mapped, and would crash, or go on with half
of each. It keeps the old file, which has no name any more, until it loads the release again.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.errors import ReleaseMissingError, VerificationError
from agent.files import disk, durable
from agent.files.copy import Copier, Job
from agent.files.durable import writing
from agent.release import layout
from agent.store import intact, records, room, stage

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from agent.files.source import Source
    from agent.release.manifest import File, Manifest
    from agent.store.store import Store

# A directory in the store's staging, where sweeping removes what a crash left. No version has this
# name.
FOLDER: Final = ".repair"

# A name of a file: the release, and the path in it.
Name = tuple[str, str]


def distrust(store: Store, version: str, paths: Collection[str]) -> None:
    """Trust these files of a release no more, nor the links to them in other releases.

    No later staging links them then.

    Raises:
        NoSpaceError: There is no room to write that down.
    """
    names = {(version, path) for path in paths}
    for path in paths:
        names.update(_names(store, store.path(version) / path))
    for of, path in names:
        records.amend(store.agent, of, {path: None})


@dataclass(frozen=True)
class Original:
    """A place that has the right files of a release.

    Attributes:
        source: The share.
        paths: Their paths there, by their paths in the release.
        written: Bytes of the files that the share lacks because adoption made them.
    """

    source: Source
    paths: Mapping[str, str]
    written: Mapping[str, bytes] = field(default_factory=dict)


def repair(
    store: Store,
    release: Manifest,
    paths: Collection[str],
    original: Callable[[], Original],
    *,
    stop: threading.Event,
    spare: Sequence[str] = (),
) -> tuple[str, ...]:
    """Replace bad files of a release of the store; return the releases that were changed.

    The caller holds the store's lock. Other releases that share a bad file, by hard link, get the
    new one too. A crash at any point leaves each name with its old file or its new one.

    Args:
        store: The store.
        release: The release, as the store has it.
        paths: Its files to repair; of a file with the right bytes only the views are restored.
        original: Returns where right files come from; called only if a file has wrong bytes.
        stop: Ends it early.
        spare: Releases that may be deleted for room, the first one first.

    Raises:
        VerificationError: They are wrong on the share as well.
        ReleaseMissingError: The share does not have them.
        UnreachableError: The share does not answer.
        NoSpaceError: There is no room for them.
        StoppedError: `stop` was set.
    """
    home, directory = store.path(release.version), store.staging / FOLDER
    files = [file for file in release.files if file.path in paths]
    wrong = [f for f in files if not intact.has_right_bytes(release, home, f, stop)]
    needed = sum(f.size for f in wrong) - disk.own_bytes(directory) + stage.OVERHEAD_BYTES
    room.require_and_make(store, needed, spare)
    distrust(store, release.version, paths)
    with writing(FOLDER):
        durable.make_directory(directory)
    if wrong:
        _fetch(original(), release, wrong, directory, stop)
    touched = {release.version}
    for file in files:
        touched.update(_replace(store, release, file, directory, fresh=file in wrong))
    shutil.rmtree(directory, ignore_errors=True)
    return tuple(sorted(touched))


def _fetch(
    original: Original,
    release: Manifest,
    wrong: Sequence[File],
    directory: Path,
    stop: threading.Event,
) -> None:
    """Fetch right files into `directory`; those that an earlier attempt left there are kept."""
    for path, data in original.written.items():
        with writing(path):
            durable.make_directory((directory / path).parent)
            durable.write(directory / path, data)
    jobs = [
        Job(file.path, original.paths[file.path], file.size, file.chunks)
        for file in wrong
        if not intact.has_right_bytes(release, directory, file, stop)
    ]
    Copier(original.source, directory, release.chunk_size, stop).copy(jobs)


def _replace(
    store: Store, release: Manifest, file: File, directory: Path, *, fresh: bool
) -> Iterator[str]:
    """Give a right file its names, and trust each; yield the releases of these names."""
    home = store.path(release.version)
    source = (directory if fresh else home) / file.path
    for version, path in _in_order(store, release, file, fresh=fresh):
        _put(source, store.path(version) / path, directory)
        records.amend(store.agent, version, {path: records.look(source)})
        yield version
    records.amend(store.agent, release.version, {file.path: records.look(home / file.path)})


def _in_order(store: Store, release: Manifest, file: File, *, fresh: bool) -> list[Name]:
    """Return the names that a right file gets, its own name last.

    Whether a file is still wrong is read off its own name: until that is replaced, a repair that
    was cut short begins again.
    """
    own = release.version, file.path
    home = store.path(release.version)
    if not fresh:
        lost = intact.lost_views(release, home).items()
        return [(release.version, view) for view, path in lost if path == file.path]
    views = [view for view, path in layout.views(release).items() if path == file.path]
    mine = [(release.version, view) for view in views]
    others = [name for name in _names(store, home / file.path) if name not in {own, *mine}]
    return [*others, *mine, own]


def _names(store: Store, path: Path) -> Iterator[Name]:
    """Yield every name in the releases of the store that leads to the same file."""
    inode = records.look(path)[0]
    if inode < 0:
        return
    for version in store.versions():
        try:
            held = store.manifest(version)
        except (VerificationError, ReleaseMissingError):
            continue
        for each in (*(file.path for file in held.files), *layout.views(held)):
            if records.look(store.path(version) / each)[0] == inode:
                yield version, each


def _put(source: Path, target: Path, directory: Path) -> None:
    """Make `target` another name of `source`, in one step."""
    temporary = directory / f".{secrets.token_hex(4)}"
    with writing(target.name):
        os.link(source, temporary)
        durable.make_directory(target.parent)
        temporary.replace(target)
        durable.sync_directory(target.parent)
