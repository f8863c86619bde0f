"""SMB properties of files and directories: attributes, times, permission.

Source: "Create File", "Set File Properties" and "Create Directory" (Microsoft REST reference),
versions 2019-02-02 and later. Permissions are not enforced; each distinct one has a key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from tests.doubles.azure_files.moments import iso, parse_iso
from tests.doubles.azure_files.resterror import RestError, bad_header

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# In the order in which the service writes them.
_ATTRIBUTES: Final = (
    "ReadOnly",
    "Hidden",
    "System",
    "Directory",
    "Archive",
    "Temporary",
    "Offline",
    "NotContentIndexed",
    "NoScrubData",
)
_BY_LOWER: Final = {name.lower(): name for name in _ATTRIBUTES}
_DEFAULTS: Final = {"inherit", "preserve"}
_KEPT: Final = {"", "preserve"}


@dataclass
class Permissions:
    """The permissions of a share, by key."""

    _keys: set[str] = field(default_factory=set)

    def key_of(self, headers: Mapping[str, str]) -> str:
        """The key of the permission that a request gives, or of the inherited one.

        Raises:
            RestError: The permission is no SDDL, or the key is unknown in the share.
        """
        given = headers.get("x-ms-file-permission-key")
        if given is not None:
            if given not in self._keys:
                raise RestError("FileInvalidPermissionKey")
            return given
        text = headers.get("x-ms-file-permission", "inherit")
        if text.lower() not in _DEFAULTS and not text.startswith("O:"):
            raise RestError("FileInvalidPermission")
        digest = hashlib.sha256(text.lower().encode()).digest()
        high, low = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big")
        key = f"{high}*{low}"
        self._keys.add(key)
        return key


@dataclass(frozen=True)
class SmbProperties:
    """What SMB clients see of a file or directory.

    Attributes:
        attributes: As the service writes them, joined by " | ".
        created: Creation time.
        written: Last write time.
        changed: Change time.
        permission_key: Key of the permission.
    """

    attributes: str
    created: str
    written: str
    changed: str
    permission_key: str

    @property
    def read_only(self) -> bool:
        """Whether the attribute ReadOnly is set."""
        return "ReadOnly" in self.attributes

    def headers(self) -> dict[str, str]:
        """As answers carry them."""
        return {
            "x-ms-file-attributes": self.attributes,
            "x-ms-file-change-time": self.changed,
            "x-ms-file-creation-time": self.created,
            "x-ms-file-last-write-time": self.written,
            "x-ms-file-permission-key": self.permission_key,
        }

    def touched(self, now: datetime, *, written: bool) -> SmbProperties:
        """After a change of the file, or (`written`) of its bytes."""
        moment = iso(now)
        return replace(self, changed=moment, written=moment if written else self.written)

    def updated(
        self, headers: Mapping[str, str], permissions: Permissions, now: datetime
    ) -> SmbProperties:
        """After a request that may set some of them; `preserve` and absence leave one as it is."""
        kept = headers.get("x-ms-file-attributes", "").lower() in _KEPT
        directory = "Directory" in self.attributes
        given = headers.keys() & {"x-ms-file-permission-key", "x-ms-file-permission"}
        preserve = headers.get("x-ms-file-permission", "").lower() == "preserve"
        key = permissions.key_of(headers) if given and not preserve else self.permission_key
        return SmbProperties(
            attributes=self.attributes
            if kept
            else parse_attributes(headers["x-ms-file-attributes"], directory=directory),
            created=_time(headers, "x-ms-file-creation-time", now, self.created),
            written=_time(headers, "x-ms-file-last-write-time", now, self.written),
            changed=_time(headers, "x-ms-file-change-time", now, iso(now)),
            permission_key=key,
        )


def new_properties(
    headers: Mapping[str, str], permissions: Permissions, now: datetime, *, directory: bool
) -> SmbProperties:
    """Those of a file or directory that a request creates."""
    moment = iso(now)
    return SmbProperties(
        attributes=parse_attributes(headers.get("x-ms-file-attributes", ""), directory=directory),
        created=_time(headers, "x-ms-file-creation-time", now, moment),
        written=_time(headers, "x-ms-file-last-write-time", now, moment),
        changed=_time(headers, "x-ms-file-change-time", now, moment),
        permission_key=permissions.key_of(headers),
    )


def parse_attributes(text: str, *, directory: bool) -> str:
    """Attributes as the service writes them back: known names, in its order."""
    names = [name.strip().lower() for name in text.split("|")]
    wanted = {name for name in names if name not in {"", "none"}}
    if unknown := wanted - _BY_LOWER.keys():
        raise bad_header("x-ms-file-attributes", unknown.pop())
    if directory:
        wanted.add("directory")
    chosen = [name for name in _ATTRIBUTES if name.lower() in wanted]
    return " | ".join(chosen) or "Archive"


def _time(headers: Mapping[str, str], name: str, now: datetime, kept: str) -> str:
    text = headers.get(name, "")
    if text.lower() in _KEPT:
        return kept
    if text.lower() == "now":
        return iso(now)
    moment = parse_iso(text)
    if moment is None:
        raise bad_header(name, text)
    return text if text.endswith("Z") and "." in text else iso(moment)
