"""An Azure Files share over REST; `agent.shares.base.Share` says what each method promises."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from agent.errors import ReleaseMissingError, VerificationError
from agent.files import scratch
from agent.release.tree import Node, Tree
from agent.shares.azurefiles.explain import ServiceError
from agent.shares.azurefiles.files import OTHER_KIND, Files, is_missing
from agent.shares.azurefiles.lease import LeasedFile
from agent.shares.azurefiles.service import CONNECTIONS, QUICK_SECONDS
from agent.shares.azurefiles.upload import Upload
from agent.shares.base import STAGING, staged_version, staging_path, trash_path

if TYPE_CHECKING:
    from agent.shares.azurefiles.service import Service
    from agent.shares.base import Publication


class RestReader:
    """One open file; several threads may read it at offsets, each read is its own request."""

    def __init__(self, files: Files, path: str) -> None:
        self._files = files
        self._path = path

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; see `agent.files.source.Reader`."""
        try:
            return self._files.read_into(self._path, buffer, offset)
        except ServiceError as error:
            if error.code == OTHER_KIND:
                raise _no_file(self._path) from None
            if not is_missing(error, self._path):
                raise
            raise ReleaseMissingError(
                f"{self._path} is missing on the share {self._files.service.address}.",
                remedy="Publish the release again; it is used once it is complete.",
            ) from None

    def close(self) -> None:
        """Do nothing: no connection is held open."""


class AzureFilesShare:
    """A share of Azure Files, over REST.

    Args:
        service: Makes the calls.
    """

    parallel: Final = CONNECTIONS

    def __init__(self, service: Service) -> None:
        self._service = service
        self._files = Files(service)
        # For calls that people and probes wait for: it gives up early, and they ask again.
        self._quick = Files(service, seconds=QUICK_SECONDS)

    @property
    def address(self) -> str:
        """The address in the form that `--share` takes."""
        return str(self._service.address)

    def read(self, path: str, limit: int) -> bytes | None:
        """Read a small file with one GET.

        Raises:
            VerificationError: It is a directory.
        """
        try:
            return self._quick.read(path, limit + 1)
        except ServiceError as error:
            if error.code != OTHER_KIND:
                raise
            raise _no_file(path) from None

    def names(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted."""
        return tuple(sorted(self._quick.entries(path)))

    def tree(self, paths: tuple[str, ...]) -> Tree:
        """Return everything below directories."""
        nodes: dict[str, Node] = {}
        for top in paths:
            nodes |= self._walk(top)
        return Tree(nodes)

    def open(self, path: str) -> RestReader:
        """Return a reader of a file; if the file is missing, the first read raises."""
        return RestReader(self._files, path)

    def hole(self, path: str, size: int, piece: int) -> int | None:
        """Return the start of the first piece that the service has no range of."""
        ranges = self._files.ranges(path)
        written = {n for start, end in ranges for n in range(start // piece, -(-end // piece))}
        return next((n * piece for n in range(size // piece) if n not in written), None)

    def write(self, path: str, data: bytes) -> None:
        """Replace a file: with one range write if its size stays the same, else with a rename."""
        try:
            self._replace(path, data)
        except ServiceError:
            # Only the answer may have been lost: then a repeated rename finds no source and fails.
            if self._files.read(path, len(data) + 1) != data:
                raise

    def lock_file(self, name: str) -> LeasedFile:
        """Return a lock file under a lease."""
        return LeasedFile(self._files, self._quick, name)

    def publish(self, publication: Publication) -> None:
        """Build the release on this machine, upload it, read it back, and rename its directory."""
        with scratch.directory(f"publish-{publication.version}") as local:
            release = publication.make(local)
            Upload(self, self._files, local, release, publication).run()

    def remove(self, path: str) -> None:
        """Rename a directory into `.staging`, then delete it."""
        name = path.rpartition("/")[2]
        trash = trash_path(staged_version(name) or name)
        self._files.make_directory(STAGING)
        try:
            if self._files.move_directory(path, trash):
                self._files.delete_tree(trash)
        except ServiceError as error:
            if error.code != OTHER_KIND:  # a marker that a killed `promote` left there
                raise
            self._files.delete(path)
        self.tidy()

    def tidy(self) -> None:
        """Delete `.staging` if it is empty; a failure does no harm and is ignored."""
        with suppress(ServiceError):
            self._quick.delete_if_empty(STAGING)

    def _replace(self, path: str, data: bytes) -> None:
        if self._files.size(path) == len(data):
            self._files.put(path, 0, data)
            return
        temporary = staging_path(path.rpartition("/")[2])
        try:
            self._files.create(temporary, len(data))
            self._files.put(temporary, 0, data)
            self._files.rename(temporary, path)
        except ServiceError:
            with suppress(ServiceError):
                self._quick.delete(temporary)
            raise
        finally:
            self.tidy()

    def _walk(self, top: str) -> dict[str, Node]:
        """Return a directory and everything below it; nothing if it is missing."""
        nodes: dict[str, Node] = {}
        pending = [top]
        while pending:
            directory = pending.pop()
            entries = self._files.listing(directory)
            if entries is None:
                continue
            nodes[directory] = Node("directory")
            for name, size in entries.items():
                if size is None:
                    pending.append(f"{directory}/{name}")
                else:
                    nodes[f"{directory}/{name}"] = Node("file", size)
        return nodes


def _no_file(path: str) -> VerificationError:
    return VerificationError(
        f"{path} on the share is not a regular file.", remedy="Put the file itself there."
    )
