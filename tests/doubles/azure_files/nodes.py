"""Shares, directories and files, as they are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.doubles.azure_files.leases import Lease
from tests.doubles.azure_files.ranges import RangeSet
from tests.doubles.azure_files.smb import Permissions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tests.doubles.azure_files.contents import Content
    from tests.doubles.azure_files.smb import SmbProperties


@dataclass(eq=False)
class Node:
    """What directories and files have in common.

    Attributes:
        name: The name as it was given; names are looked up without regard to case.
        id: A number that no other has.
        parent: The directory it is in; None for a share's root.
        smb: Its SMB properties.
        etag: Changes with every change.
        modified: When it last changed.
        metadata: Names and values as they were given.
    """

    name: str
    id: str
    parent: Directory | None
    smb: SmbProperties
    etag: str
    modified: datetime
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def parent_id(self) -> str:
        """The id of the directory it is in; 0 for the root."""
        return self.parent.id if self.parent else "0"

    def path(self) -> tuple[str, ...]:
        """The share's name, then all names down to this one's."""
        return (*self.parent.path(), self.name) if self.parent else (self.name,)

    def lineage(self) -> Iterator[Node]:
        """This one, the directory it is in, and so on up to the root."""
        yield self
        if self.parent:
            yield from self.parent.lineage()


@dataclass(eq=False)
class Directory(Node):
    """A directory; its entries are keyed by their folded names."""

    entries: dict[str, Node] = field(default_factory=dict)


@dataclass(eq=False)
class File(Node):
    """A file.

    Attributes:
        size: Its length.
        content: Its bytes.
        settings: Its stored headers: `Content-Type`, `Content-MD5` and the like.
        ranges: Where it has data.
        lease: Its lease.
    """

    size: int = 0
    content: Content = field(kw_only=True)
    settings: dict[str, str] = field(default_factory=dict)
    ranges: RangeSet = field(default_factory=RangeSet)
    lease: Lease = field(default_factory=lambda: Lease("File"))


@dataclass(eq=False)
class Share:
    """A share; `root` is the directory that paths start from."""

    name: str
    root: Directory
    etag: str
    modified: datetime
    quota: int
    metadata: dict[str, str] = field(default_factory=dict)
    lease: Lease = field(default_factory=lambda: Lease("Share"))
    permissions: Permissions = field(default_factory=Permissions)
