"""Empty shares of each kind, and the files on them as another client sees them.

This is all that the suite knows of the kinds of share and of the double.
"""

from __future__ import annotations

import itertools
import shutil
from contextlib import contextmanager, suppress
from random import Random
from typing import TYPE_CHECKING, Final, Literal, NoReturn, Protocol

import pytest
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from agent.errors import UnreachableError
from tests.support.azure_clients import key_credential, share_client
from tests.support.azure_double import Double, running_double
from tests.unit.shares.conformance.clients import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from azure.storage.fileshare import ShareClient

    from agent.shares.base import Share

Absent = Literal["share", "directory"]

KINDS: Final = ("directory", "azurefiles")
# One more than the service lists in one answer.
MANY: Final = tuple(f"file-{number:04}" for number in range(5001))
# The service gives at most 8 MiB of a file in one answer: this one takes three.
LARGE: Final = Random(20261130).randbytes(16 * 1024 * 1024 + 3)

_SHARE: Final = "models"
_FILLED: Final = "filled"
_numbers = itertools.count()


class Place(Protocol):
    """A share of one kind."""

    @property
    def share(self) -> Share:
        """The share, as one process of the agent has it."""
        ...

    @property
    def root(self) -> Path:
        """Its files on a disk of this machine, to look at."""
        ...

    @property
    def reference(self) -> tuple[str, str]:
        """The arguments with which `connect` returns the same share."""
        ...

    def put(self, path: str, data: bytes) -> None:
        """Write a file and the directories that lead to it, as another client does."""
        ...

    def make_directory(self, path: str) -> None:
        """Make a directory and those that lead to it, as another client does."""
        ...

    def delete(self, path: str) -> None:
        """Delete a file, as another client does."""
        ...

    def absent(self, what: Absent) -> tuple[Share, Path]:
        """Return a share that is not there, or whose directory is not, and where it would be."""
        ...

    def away(self) -> AbstractContextManager[None]:
        """Let the share not answer while the block runs."""
        ...

    def deleting_fails(self) -> AbstractContextManager[None]:
        """Let deleting a file of the share fail; the block must run into that, and ends there."""
        ...


class InDirectory:
    """A share in a directory.

    Args:
        root: The directory.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.reference = (str(root), "")
        self.share = connect(*self.reference)

    def put(self, path: str, data: bytes) -> None:
        """Write it by a rename."""
        self.make_directory(path.rpartition("/")[0])
        new = self.root.with_name("new")
        new.write_bytes(data)
        new.replace(self.root / path)

    def make_directory(self, path: str) -> None:
        """Make it on the disk."""
        (self.root / path).mkdir(parents=True, exist_ok=True)

    def delete(self, path: str) -> None:
        """Delete it on the disk."""
        (self.root / path).unlink()

    def absent(self, what: Absent) -> tuple[Share, Path]:
        """Return a share whose directory is not there."""
        where = self.root.parent / "absent" if what == "share" else self.root / "no" / "such"
        return connect(str(where), ""), where

    @contextmanager
    def away(self) -> Iterator[None]:
        """Unmount it, as it were."""
        aside = self.root.rename(self.root.with_name("aside"))
        yield
        aside.rename(self.root)

    @contextmanager
    def deleting_fails(self) -> Iterator[None]:
        """Have the agent die as it begins to delete."""

        def fail(*_: object, **__: object) -> NoReturn:
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(shutil, "rmtree", fail)
            yield
            pytest.fail("nothing was deleted")


class OverRest:
    """A directory of a share of the double.

    Args:
        double: The double.
        disk: Where the double keeps the share's files.
        client: Another client of the same share.
        prefix: The directory; made if it is not there.
    """

    def __init__(self, double: Double, disk: Path, client: ShareClient, prefix: str) -> None:
        self._double = double
        self._disk = disk
        self._client = client
        self._prefix = prefix
        self.root = disk / prefix
        self.reference = (f"{_SHARE}/{prefix}", double.url)
        self.share = connect(*self.reference)
        self.make_directory("")

    def put(self, path: str, data: bytes) -> None:
        """Upload it."""
        file = self._client.get_file_client(f"{self._prefix}/{path}")
        try:
            file.upload_file(data)
        except ResourceNotFoundError:
            self.make_directory(path.rpartition("/")[0])
            file.upload_file(data)

    def make_directory(self, path: str) -> None:
        """Make it, after the one that it is in if need be."""
        with suppress(ResourceExistsError):
            try:
                self._client.create_directory(f"{self._prefix}/{path}".rstrip("/"))
            except ResourceNotFoundError:
                self.make_directory(path.rpartition("/")[0])
                self.make_directory(path)

    def delete(self, path: str) -> None:
        """Delete it over REST."""
        self._client.get_file_client(f"{self._prefix}/{path}").delete_file()

    def absent(self, what: Absent) -> tuple[Share, Path]:
        """Return a share that the account does not have, or a directory that its share has not."""
        address = "absent" if what == "share" else f"{_SHARE}/{self._prefix}/no/such"
        return connect(address, self._double.url), self._disk.parent / address

    @contextmanager
    def away(self) -> Iterator[None]:
        """Have the service refuse everything."""
        self._double.fault("forbidden", count=None)
        yield
        self._double.heal()

    @contextmanager
    def deleting_fails(self) -> Iterator[None]:
        """Have the service refuse it."""
        self._double.fault("forbidden", operation="DeleteFile", count=None)
        with suppress(UnreachableError):
            yield
            pytest.fail("nothing was deleted")
        self._double.heal()


class Shares:
    """Makes shares of each kind; one double serves all that are over REST.

    Args:
        root: An empty directory for their files.
        double: The double, which keeps its files in `root`.
        client: A client of its share.
    """

    def __init__(self, root: Path, double: Double, client: ShareClient) -> None:
        self._root = root
        self._double = double
        self._client = client

    def empty(self, kind: str, directory: Path) -> Place:
        """Return an empty share of a kind; `directory` is what a share in a directory may use."""
        if kind == "directory":
            return InDirectory(directory / "share")
        return self._over_rest(f"test-{next(_numbers)}")

    def filled(self, kind: str) -> Share:
        """Return a share to read: `large` is `LARGE`, and `many/` has the empty files `MANY`."""
        if kind == "directory":
            return connect(str(self._root / _SHARE / _FILLED), "")
        return connect(f"{_SHARE}/{_FILLED}", self._double.url)

    def heal(self) -> None:
        """End the faults of a test."""
        self._double.heal()

    def _over_rest(self, prefix: str) -> OverRest:
        return OverRest(self._double, self._root / _SHARE, self._client, prefix)


@contextmanager
def shares(root: Path) -> Iterator[Shares]:
    """Run the double while the block runs; `root` is an empty directory for its files."""
    filled = root / _SHARE / _FILLED
    (filled / "many").mkdir(parents=True)
    for name in MANY:
        (filled / "many" / name).touch()
    (filled / "large").write_bytes(LARGE)
    with (
        running_double(root=root) as double,
        share_client(double, _SHARE, key_credential(double)) as client,
    ):
        yield Shares(root, double, client)
