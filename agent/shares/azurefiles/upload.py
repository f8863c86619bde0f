"""Uploads a release to the share, reads it back, and makes it visible with one rename.

It is built in a directory of `.staging` whose name no other publisher uses. The manifest is written
first: it tells which release a directory was for if its publisher is killed. A publisher that
continues with such a directory renames it first. So if the old publisher was only suspended, it
finds nothing to write to.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from agent.errors import RefusedError, ReleaseMissingError, VerificationError
from agent.files import parallel, progress, verify
from agent.files.progress import ByteCounter
from agent.release import manifest
from agent.release.layout import RELEASES
from agent.shares.azurefiles.explain import ServiceError
from agent.shares.azurefiles.files import EXISTS
from agent.shares.azurefiles.sentences import GONE
from agent.shares.azurefiles.service import CONNECTIONS, PIECE
from agent.shares.base import STAGING, is_trash, staged_version, staging_path
from agent.signing import keys, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from agent.release.manifest import File, Manifest
    from agent.shares.azurefiles.files import Files
    from agent.shares.base import Publication, Share

    Task = Callable[[memoryview], None]


class Upload:
    """Uploads one release.

    Args:
        share: The share to upload to.
        files: The share's files.
        local: The directory that holds the release.
        release: The release's manifest.
        publication: The version, the check of the lock, and the stop flag.
    """

    def __init__(
        self,
        share: Share,
        files: Files,
        local: Path,
        release: Manifest,
        publication: Publication,
    ) -> None:
        self._share = share
        self._files = files
        self._local = local
        self._release = release
        self._publication = publication
        self._log = files.service.log
        self._staged = staging_path(release.version)
        self._manifest = f"{self._staged}/{manifest.FILE_NAME}"
        self._signature = f"{self._staged}/{manifest.SIGNATURE}"
        self._moved = ByteCounter()

    def run(self) -> None:
        """Upload the release, read it back, and commit it.

        Raises:
            VerificationError: Twice the share did not return the bytes that were written.
            RefusedError: Another publisher was first, or has the lock now.
            ServiceError: The service does not answer, or refuses.
        """
        try:
            self._publish()
        except (ServiceError, ReleaseMissingError) as error:
            # If something is missing because another publisher took over, the lost lock is the
            # error to report; `check` raises it.
            if getattr(error, "code", None) in (None, *GONE):
                self._publication.check()
            raise
        counts = {f"{source}_bytes": count for source, count in self._moved.by_source.items()}
        self._log.info("release.uploaded", version=self._release.version, **counts)

    def _publish(self) -> None:
        self._claim()
        self._send()
        try:
            self._read_back()
        except VerificationError as error:
            # A piece may be damaged after it arrived: reading every piece finds it, and it is sent
            # again.
            self._log.warning("publish.read_back_failed", error=str(error))
            self._send()
            self._read_back()
        self._publication.check()
        self._commit()

    def _claim(self) -> None:
        """Take over a killed publisher's directory if it holds the same release; delete others."""
        ours = False
        for name in self._files.entries(STAGING):
            if staged_version(name) != self._release.version:
                continue
            left = f"{STAGING}/{name}"
            if not ours and not is_trash(name) and self._is_same(left):
                ours = self._files.move_directory(left, self._staged)
            else:
                self._share.remove(left)
        if ours:
            self._files.delete(self._signature)

    def _write(self, path: str, data: bytes) -> None:
        self._files.create(path, len(data))
        for offset in range(0, len(data), PIECE):
            self._files.put(path, offset, data[offset : offset + PIECE])

    def _is_same(self, directory: str) -> bool:
        data = self._files.read(f"{directory}/{manifest.FILE_NAME}", manifest.MAX_BYTES + 1)
        try:
            return data is not None and manifest.parse(data).digest == self._release.digest
        except VerificationError:  # Its publisher was killed while it wrote the manifest.
            return False

    def _send(self) -> None:
        """Upload what is missing on the share."""
        # A manifest that was left there has another time in it, and this one is what was signed.
        if self._files.read(self._manifest, manifest.MAX_BYTES) != self._release.encoded:
            self._write(self._manifest, self._release.encoded)
        nodes = self._share.tree((self._staged,)).nodes
        sizes = {path: node.size for path, node in nodes.items() if node.kind == "file"}
        there = {f.path for f in self._release.files if sizes.get(self._at(f)) == f.size}
        missing = [f for f in self._release.files if f.path not in there]
        for directory in sorted({self._at(f).rpartition("/")[0] for f in missing}):
            self._files.make_directory(directory)
        self._run([partial(self._create, file) for file in missing])
        with progress.shown(self._log, "upload", self._moved, self._release.size):
            self._run(self._pieces(there))
        if (data := stored.read(self._local)) is not None:
            self._write(self._signature, data)

    def _pieces(self, there: set[str]) -> Iterator[Task]:
        for file in self._release.files:
            written = self._written(file) if file.path in there else []
            for offset in range(0, file.size, PIECE):
                end = min(file.size, offset + PIECE)
                known = any(start <= offset and end <= stop for start, stop in written)
                yield partial(self._piece, file, offset, end, known)

    def _written(self, file: File) -> list[tuple[int, int]]:
        """Return the ranges of an existing file that may hold its bytes; all of a small one."""
        return [(0, file.size)] if file.size <= PIECE else self._files.ranges(self._at(file))

    def _create(self, file: File, _: memoryview) -> None:
        self._files.create(self._at(file), file.size)

    def _piece(self, file: File, offset: int, end: int, known: bool, buffer: memoryview) -> None:
        """Upload a piece, unless the share returns the same bytes already."""
        fd = os.open(self._local / file.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(fd, end - offset, offset)
        finally:
            os.close(fd)
        same = False
        if known:
            got = self._files.read_into(self._at(file), buffer[: len(data)], offset)
            same = buffer[:got] == data
        if not same:
            self._files.put(self._at(file), offset, data)
        self._moved.add("resumed" if same else "uploaded", len(data))

    def _read_back(self) -> None:
        """Read and check every byte on the share: neither a size nor an answer proves anything."""
        prefix, stop = f"{self._staged}/", self._publication.stop
        verify.verify(
            self._release, self._share, prefix, stop=stop, log=self._log, what="read back"
        )
        self._require(self._manifest, self._release.encoded, manifest.MAX_BYTES)
        self._require(self._signature, stored.read(self._local), keys.MAX_BYTES)

    def _require(self, path: str, written: bytes | None, limit: int) -> None:
        if self._files.read(path, limit) != written:
            raise VerificationError(
                f"The share did not return what was written to {path}.", remedy="Publish again."
            )

    def _commit(self) -> None:
        """Rename the directory: readers see nothing of the release before it, and all after it."""
        target = f"{RELEASES}/{self._release.version}"
        self._files.make_directory(RELEASES)
        try:
            self._files.rename_directory(self._staged, target)
        except ServiceError as error:
            # Another publisher was first, or our own rename was done and its answer was lost.
            if error.code not in {*GONE, EXISTS}:
                raise
            self._share.remove(self._staged)
        if not self._is_same(target):
            raise RefusedError(
                f"{target} appeared on the share in the meantime, with other content.",
                remedy=f"Check it: model-agent verify {self._release.version} --on share.",
            )
        self._share.tidy()

    def _run(self, tasks: Iterable[Task]) -> None:
        stop = self._publication.stop
        parallel.run(tasks, buffer_size=PIECE, stop=stop, threads=CONNECTIONS)

    def _at(self, file: File) -> str:
        return f"{self._staged}/{file.path}"
