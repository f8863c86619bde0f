"""All shares of the account: finding, creating, renaming and deleting what is in them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from tests.doubles.azure_files.contents import DiskDepot
from tests.doubles.azure_files.names import check_components, check_share, fold
from tests.doubles.azure_files.nodes import Directory, File, Node, Share
from tests.doubles.azure_files.ranges import ByteRange
from tests.doubles.azure_files.resterror import RestError
from tests.doubles.azure_files.smb import Permissions, SmbProperties, new_properties

if TYPE_CHECKING:
    from tests.doubles.azure_files.contents import Depot
    from tests.doubles.azure_files.moments import Clock

DEFAULT_QUOTA: Final = 5120
_FIRST_ID: Final = 13835128424026341376


class Tree:
    """The shares of one account.

    Every method runs to its end without giving way to another request, so each is atomic.

    Args:
        clock: The service's clock.
        depot: Where the bytes are kept.
    """

    def __init__(self, clock: Clock, depot: Depot) -> None:
        self._clock = clock
        self._depot = depot
        self._shares: dict[str, Share] = {}
        self._ids = itertools.count(_FIRST_ID, 1 << 32)
        if isinstance(depot, DiskDepot):
            self._adopt(depot)

    def create_share(self, name: str, *, quota: int = DEFAULT_QUOTA) -> Share:
        """A new, empty share."""
        if name in self._shares:
            raise RestError("ShareAlreadyExists")
        now, permissions = self._clock.now(), Permissions()
        smb = new_properties({}, permissions, now, directory=True)
        root = Directory(name, "0", None, smb, self._clock.etag(), now)
        share = Share(name, root, self._clock.etag(), now, quota, permissions=permissions)
        self._depot.add_directory((name,))
        self._shares[name] = share
        return share

    def ensure_share(self, name: str) -> None:
        """A share of that name is there, new or not."""
        check_share(name)
        if name not in self._shares:
            self.create_share(name)

    def share(self, name: str) -> Share:
        """A share by its name."""
        if name not in self._shares:
            raise RestError("ShareNotFound")
        return self._shares[name]

    def delete_share(self, name: str) -> None:
        """Delete a share and all that is in it."""
        del self._shares[name]
        self._depot.remove((name,))

    def find(self, share: str, path: tuple[str, ...]) -> Node | None:
        """What is at a path, if anything; its parent must be there."""
        if not path:
            return self.share(share).root
        return self._parent(share, path).entries.get(fold(path[-1]))

    def directory(self, share: str, path: tuple[str, ...]) -> Directory:
        """The directory at a path."""
        node = self._existing(share, path)
        if not isinstance(node, Directory):
            raise RestError("ResourceTypeMismatch")
        return node

    def file(self, share: str, path: tuple[str, ...]) -> File:
        """The file at a path."""
        node = self._existing(share, path)
        if not isinstance(node, File):
            raise RestError("ResourceTypeMismatch")
        return node

    def add_directory(self, share: str, path: tuple[str, ...], smb: SmbProperties) -> Directory:
        """A new directory."""
        if self.find(share, path) is not None:
            raise RestError("ResourceAlreadyExists")
        parent = self._parent(share, path)
        node = Directory(
            path[-1], self._new_id(), parent, smb, self._clock.etag(), self._clock.now()
        )
        self._depot.add_directory(node.path())
        parent.entries[fold(node.name)] = node
        return node

    def add_file(self, share: str, path: tuple[str, ...], size: int, smb: SmbProperties) -> File:
        """A new file of zeros; an old one of that name is replaced, but keeps name and lease."""
        old = self.find(share, path)
        if old is not None and not isinstance(old, File):
            raise RestError("ResourceTypeMismatch")
        parent = self._parent(share, path)
        name = old.name if old else path[-1]
        content = self._depot.add_file((*parent.path(), name), size)
        etag, now = self._clock.etag(), self._clock.now()
        node = File(name, self._new_id(), parent, smb, etag, now, size=size, content=content)
        if old:
            node.lease = old.lease
        parent.entries[fold(name)] = node
        return node

    def rename(self, node: Node, share: str, path: tuple[str, ...]) -> None:
        """Move a file or directory to another path, over a file that may be there."""
        parent = self._parent(share, path)
        old_path, old_parent = node.path(), node.parent
        if old_parent is None or node in parent.lineage():
            raise RestError("SharingViolation")
        self._depot.rename(old_path, (*parent.path(), path[-1]))
        del old_parent.entries[fold(node.name)]
        node.name, node.parent = path[-1], parent
        parent.entries[fold(node.name)] = node
        self.touch(node)

    def delete(self, node: Node) -> None:
        """Delete a file, or an empty directory."""
        if node.parent is None:
            raise RestError("CannotDeleteFileOrDirectory")
        if isinstance(node, Directory) and node.entries:
            raise RestError("DirectoryNotEmpty")
        self._depot.remove(node.path())
        del node.parent.entries[fold(node.name)]

    def touch(self, node: Node | Share) -> None:
        """It has changed: a new ETag, and modified now."""
        node.etag, node.modified = self._clock.etag(), self._clock.now()

    def _existing(self, share: str, path: tuple[str, ...]) -> Node:
        node = self.find(share, path)
        if node is None:
            raise RestError("ResourceNotFound")
        return node

    def _parent(self, share: str, path: tuple[str, ...]) -> Directory:
        node = self.share(share).root
        for name in path[:-1]:
            inner = node.entries.get(fold(name))
            if not isinstance(inner, Directory):
                raise RestError("ParentNotFound")
            node = inner
        return node

    def _new_id(self) -> str:
        return str(next(self._ids))

    def _adopt(self, depot: DiskDepot) -> None:
        """Serve what stands on disk already."""
        for path, size in list(depot.found()):
            name, below = path[0], path[1:]
            if not below:
                check_share(name)
                self.create_share(name)
                continue
            check_components(below)
            permissions = self.share(name).permissions
            now, is_directory = self._clock.now(), size is None
            smb = new_properties({}, permissions, now, directory=is_directory)
            if size is None:
                self.add_directory(name, below, smb)
                continue
            parent, etag, content = (
                self._parent(name, below),
                self._clock.etag(),
                depot.open_file(path),
            )
            file = File(
                below[-1], self._new_id(), parent, smb, etag, now, size=size, content=content
            )
            file.settings["Content-Type"] = "application/octet-stream"
            file.ranges.add(ByteRange(0, size))
            parent.entries[fold(file.name)] = file
