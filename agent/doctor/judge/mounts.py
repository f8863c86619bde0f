"""Reads `/proc/mounts`, and judges the options of the share's mount. Pure.

Sources: `getmntent(3)` for the escapes, `mount.cifs(8)` and `nfs(5)` for the options.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.doctor.judge.findings import Finding, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ESCAPE = re.compile(r"\\([0-7]{3})")
_FIELDS: Final = 4
_CIFS: Final = ("cifs", "smb3")
_NFS: Final = ("nfs", "nfs4")
# Seconds for which the client goes by what it knows of files and directories: a value that the
# documentation of the driver has. The marker itself is asked for at each open.
_USUAL_SECONDS: Final = 30
_CACHE_OPTIONS: Final = ("actimeo", "acregmax", "acdirmax")


@dataclass(frozen=True)
class Mount:
    """One line of `/proc/mounts`; options without a value have an empty one."""

    source: str
    point: str
    kind: str
    options: Mapping[str, str]

    @property
    def read_only(self) -> bool:
        """True if nothing can be written through it."""
        return "ro" in self.options

    @property
    def cache_seconds(self) -> int:
        """The highest age of what it says of a file, by its options; 0 if they do not tell."""
        if "noac" in self.options:
            return 0
        texts = [self.options.get(name, "") for name in _CACHE_OPTIONS]
        return max([int(text) for text in texts if text.isdecimal()], default=0)


def parse(text: str) -> tuple[Mount, ...]:
    """Return the mounts, in order, without lines that are none."""
    lines = (line.split(" ") for line in text.splitlines())
    return tuple(_mount(fields) for fields in lines if len(fields) >= _FIELDS)


def holding(mounts: tuple[Mount, ...], path: str) -> Mount | None:
    """Return the mount that an absolute path without links lies on.

    The longest mount point wins; of two on the same one, the later, which covers the other.
    """
    found: Mount | None = None
    for mount in mounts:
        longer = found is None or len(mount.point) >= len(found.point)
        if longer and _is_below(path, mount.point):
            found = mount
    return found


def judge(mount: Mount, *, poll_interval: float, in_pod: bool) -> Iterator[Finding]:
    """Yield what is wrong with the share's mount; else that nothing is.

    Args:
        mount: The share's.
        poll_interval: Seconds between two looks at the marker.
        in_pod: Whether this is a pod, which should not be able to write to the share.
    """
    warnings = [
        *(_cifs_warnings(mount) if mount.kind in _CIFS else ()),
        *(_cache_warnings(mount, poll_interval) if mount.kind in _CIFS + _NFS else ()),
        *(_pod_warnings(mount) if in_pod else ()),
    ]
    access = "read-only" if mount.read_only else "read-write"
    yield from warnings or [ok(f"{mount.point} is {mount.kind} of {mount.source}, {access}.")]


def _mount(fields: list[str]) -> Mount:
    source, point, kind, options = (_unescaped(field) for field in fields[:_FIELDS])
    pairs = (option.partition("=") for option in options.split(","))
    return Mount(source, point, kind, {name: value for name, _, value in pairs})


def _unescaped(text: str) -> str:
    """Return a field without its escapes, which are three octal digits each."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def _is_below(path: str, point: str) -> bool:
    return point in {"/", path} or path.startswith(point + "/")


def _cifs_warnings(mount: Mount) -> Iterator[Finding]:
    if "nobrl" not in mount.options:
        yield warn(
            f"{mount.point} is mounted without nobrl, so one pod's lock can block others' reads.",
            "Add nobrl to the mountOptions of its PersistentVolume.",
        )


def _cache_warnings(mount: Mount, poll_interval: float) -> Iterator[Finding]:
    bearable = max(_USUAL_SECONDS, int(poll_interval))
    if mount.cache_seconds > bearable:
        yield warn(
            f"{mount.point} may not show a new release for {mount.cache_seconds} s.",
            f"Mount it with actimeo={bearable} or less.",
        )
    if "nocto" in mount.options:
        yield warn(
            f"{mount.point} is mounted with nocto, so a changed marker may not be seen.",
            "Leave nocto out of its mount options.",
        )


def _pod_warnings(mount: Mount) -> Iterator[Finding]:
    if mount.point == "/":
        yield warn(
            f"Nothing is mounted at the share's path: it is a part of the image ({mount.kind}).",
            "Mount the share's volume there.",
        )
    elif not mount.read_only:
        yield warn(
            f"{mount.point} can be written from this pod.",
            "Mount the share read-only in pods that only read it.",
        )
