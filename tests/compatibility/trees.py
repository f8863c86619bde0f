"""Keeps directory trees in the repository with what Git does not keep, and lays them out again.

A tree is a listing, `NAME.jsonl`: a line for each file, for each link, and for each directory with
nothing in it. The bytes of a file lie at `NAME/PATH`, or where its line says under `content`, if
another file that was kept before has them too. A line with nothing but an inode is a further name,
by a hard link, of the file above that has this inode. Directories are of mode 775.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, Final

HOME: Final = Path(__file__).parent / "0.1.0"

# Where the recorded trees lay: it stands in sentences that 0.1.0 wrote.
ROOM: Final = Path("/tmp/model-agent-0.1.0")

_DIRECTORY_MODE: Final = 0o775

Entry = dict[str, Any]


class Keeper:
    """Keeps what 0.1.0 made.

    Args:
        home: An empty directory for it.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._kept: dict[str, str] = {}

    def say(self, name: str, data: bytes | str) -> None:
        """Keep what 0.1.0 said, or a single file, as `name`."""
        path = self._home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)

    def keep(self, root: Path, name: str) -> None:
        """Keep all that is under `root` as the tree `name`."""
        inodes: set[int] = set()
        entries = [self._entry(root, path, name, inodes) for path in sorted(root.rglob("*"))]
        self.say(f"{name}.jsonl", "".join(f"{json.dumps(entry)}\n" for entry in entries if entry))

    def _entry(self, root: Path, path: Path, name: str, inodes: set[int]) -> Entry | None:
        entry: Entry = {"path": str(path.relative_to(root))}
        if path.is_symlink():
            return entry | {"link": str(path.readlink())}
        if path.is_dir():
            return None if any(path.iterdir()) else entry | {"directory": True}
        status = path.stat()
        entry["inode"] = status.st_ino
        if status.st_ino in inodes:
            return entry
        inodes.add(status.st_ino)
        entry |= {"mode": f"{stat.S_IMODE(status.st_mode):o}", "mtime_ns": status.st_mtime_ns}
        own = f"{name}/{entry['path']}"
        content = self._content(path.read_bytes(), own)
        return entry if content == own else entry | {"content": content}

    def _content(self, data: bytes, name: str) -> str:
        kept = self._kept.setdefault(hashlib.sha256(data).hexdigest(), name)
        if kept == name:
            self.say(name, data)
        return kept


def lay_out(name: str, target: Path, *, copied: bool = False) -> Path:
    """Lay a kept tree out in `target`, and return that.

    Inodes cannot be as they were: the records of what was verified get those of the new files, as
    if it were the volume of then.

    Args:
        name: The tree.
        target: A directory, which is made if it is missing.
        copied: Leave the records as they were, as on a volume that came from a backup.
    """
    _make_directory(target)
    inodes: dict[int, Path] = {}
    for line in (HOME / f"{name}.jsonl").read_text().splitlines():
        _make(name, json.loads(line), target, inodes)
    if not copied:
        numbers = {old: path.stat().st_ino for old, path in inodes.items()}
        for record in target.rglob(".agent/verified/*.json"):
            _renumber(record, numbers)
    return target


def _make(name: str, entry: Entry, target: Path, inodes: dict[int, Path]) -> None:
    path = target / entry["path"]
    _make_directory(path if "directory" in entry else path.parent)
    if "link" in entry:
        path.symlink_to(entry["link"])
    elif "mode" in entry:
        content = HOME / entry.get("content", f"{name}/{entry['path']}")
        path.write_bytes(content.read_bytes())
        path.chmod(int(entry["mode"], 8))
        os.utime(path, ns=(entry["mtime_ns"], entry["mtime_ns"]))
        inodes[entry["inode"]] = path
    elif "inode" in entry:
        os.link(inodes[entry["inode"]], path)


def _make_directory(path: Path) -> None:
    if not path.is_dir():
        _make_directory(path.parent)
        path.mkdir()
        path.chmod(_DIRECTORY_MODE)


def _renumber(record: Path, numbers: dict[int, int]) -> None:
    """Put new inodes in a record, which has [inode, size, mtime] by path."""
    known = json.loads(record.read_bytes())
    for looks in known["files"].values():
        looks[0] = numbers.get(looks[0], looks[0])
    record.write_text(json.dumps(known, separators=(",", ":")))
