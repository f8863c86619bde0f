"""What a snapshot holds, as git and the Hub list it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.doubles.hub.blobs import git_id
from tests.doubles.hub.huberror import entry_not_found

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tests.doubles.hub.repositories import File, Snapshot

_UNSCANNED: Final = {"status": "unscanned"}


class Folder:
    """A directory of a snapshot: files and folders by name.

    Attributes:
        path: Its path in the repository; empty: the root.
        entries: What is in it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.entries: dict[str, File | Folder] = {}

    @property
    def tree_id(self) -> str:
        """What git calls it."""
        return git_id("tree", b"".join(_line(name, entry) for name, entry in self._in_order()))

    def walk(self, *, recursive: bool) -> Iterator[File | Folder]:
        """What is in it, in git's order, each folder before what is in that."""
        for _, entry in self._in_order():
            yield entry
            if recursive and isinstance(entry, Folder):
                yield from entry.walk(recursive=True)

    def _in_order(self) -> list[tuple[str, File | Folder]]:
        return sorted(self.entries.items(), key=_sort_key)


def folder(snapshot: Snapshot, path: str) -> Folder:
    """A directory of the snapshot.

    Raises:
        HubError: There is none at this path; a file is none.
    """
    root = Folder("")
    folders = {"": root}
    for file in snapshot.files():
        parent, _, name = file.path.rpartition("/")
        _add(folders, parent).entries[name] = file
    if path not in folders:
        raise entry_not_found(snapshot.commit)
    return folders[path]


def describe(entry: File | Folder) -> dict[str, Any]:
    """An entry as the tree operation lists it."""
    if isinstance(entry, Folder):
        return {"type": "directory", "oid": entry.tree_id, "size": 0, "path": entry.path}
    blob = entry.blob
    found = {"type": "file", "oid": blob.git_id, "size": blob.size}
    if blob.sha256:
        lfs = {"oid": blob.sha256, "size": blob.size, "pointerSize": blob.pointer_size}
        found["lfs"] = lfs
    return found | {"path": entry.path}


def expanded(entry: dict[str, Any], commit: str, moment: datetime) -> dict[str, Any]:
    """An entry with its last commit, which is the only one here, and that no one scanned it."""
    title = "Upload folder using huggingface_hub"
    last = {"id": commit, "title": title, "date": moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")}
    found = entry | {"lastCommit": last}
    if entry["type"] == "file":
        found["securityFileStatus"] = {
            "status": "unscanned",
            "avScan": _UNSCANNED,
            "pickleImportScan": _UNSCANNED,
        }
    return found


def _add(folders: dict[str, Folder], path: str) -> Folder:
    if path not in folders:
        parent, _, name = path.rpartition("/")
        folders[path] = Folder(path)
        _add(folders, parent).entries[name] = folders[path]
    return folders[path]


def _sort_key(item: tuple[str, File | Folder]) -> bytes:
    """Git's order: a folder's name counts as if it ended in a slash."""
    name, entry = item
    return (f"{name}/" if isinstance(entry, Folder) else name).encode()


def _line(name: str, entry: File | Folder) -> bytes:
    if isinstance(entry, Folder):
        mode, oid = "40000", entry.tree_id
    else:
        mode, oid = "100644", entry.blob.git_id
    return f"{mode} {name}\0".encode() + bytes.fromhex(oid)
