"""The operations served, how a request names one, and what a token must allow for it.

Source: "Operations on Azure Files", and the tables of permissions in "Create a service SAS" and
"Create an account SAS" (Microsoft REST reference).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Need:
    """What a shared access signature must allow.

    Attributes:
        level: The resource type of an account SAS: `c` (container: a share) or `o` (object).
        account: Permissions of an account SAS, any of which will do.
        service: Permissions of a service SAS, any of which will do; none: no service SAS may.
    """

    level: str
    account: frozenset[str]
    service: frozenset[str]


def _need(level: str, account: str, service: str) -> Need:
    return Need(level, frozenset(account), frozenset(service))


NEEDS: Final[dict[str, Need]] = {
    "CreateShare": _need("c", "cw", ""),
    "GetShareProperties": _need("c", "r", ""),
    "GetShareMetadata": _need("c", "r", ""),
    "SetShareMetadata": _need("c", "w", ""),
    "DeleteShare": _need("c", "d", ""),
    "LeaseShare": _need("c", "wd", ""),
    "ListDirectoriesAndFiles": _need("c", "l", "l"),
    "CreateDirectory": _need("o", "cw", "cw"),
    "GetDirectoryProperties": _need("o", "r", "r"),
    "GetDirectoryMetadata": _need("o", "r", "r"),
    "SetDirectoryMetadata": _need("o", "w", "w"),
    "SetDirectoryProperties": _need("o", "w", "w"),
    "RenameDirectory": _need("o", "w", "w"),
    "DeleteDirectory": _need("o", "d", "d"),
    "CreateFile": _need("o", "cw", "cw"),
    "GetFile": _need("o", "r", "r"),
    "GetFileProperties": _need("o", "r", "r"),
    "GetFileMetadata": _need("o", "r", "r"),
    "SetFileMetadata": _need("o", "w", "w"),
    "SetFileProperties": _need("o", "w", "w"),
    "PutRange": _need("o", "w", "w"),
    "ListRanges": _need("o", "r", "r"),
    "RenameFile": _need("o", "w", "w"),
    "DeleteFile": _need("o", "d", "d"),
    "LeaseFile": _need("o", "wd", "wd"),
}

# By method (HEAD counts as GET where it is not there), restype and comp.
_OPERATIONS: Final[dict[tuple[str, str, str], str]] = {
    ("PUT", "share", ""): "CreateShare",
    ("GET", "share", ""): "GetShareProperties",
    ("GET", "share", "metadata"): "GetShareMetadata",
    ("PUT", "share", "metadata"): "SetShareMetadata",
    ("DELETE", "share", ""): "DeleteShare",
    ("PUT", "share", "lease"): "LeaseShare",
    ("GET", "directory", "list"): "ListDirectoriesAndFiles",
    ("PUT", "directory", ""): "CreateDirectory",
    ("GET", "directory", ""): "GetDirectoryProperties",
    ("GET", "directory", "metadata"): "GetDirectoryMetadata",
    ("PUT", "directory", "metadata"): "SetDirectoryMetadata",
    ("PUT", "directory", "properties"): "SetDirectoryProperties",
    ("PUT", "directory", "rename"): "RenameDirectory",
    ("DELETE", "directory", ""): "DeleteDirectory",
    ("PUT", "", ""): "CreateFile",
    ("GET", "", ""): "GetFile",
    ("HEAD", "", ""): "GetFileProperties",
    ("GET", "", "metadata"): "GetFileMetadata",
    ("PUT", "", "metadata"): "SetFileMetadata",
    ("PUT", "", "properties"): "SetFileProperties",
    ("PUT", "", "range"): "PutRange",
    ("GET", "", "rangelist"): "ListRanges",
    ("PUT", "", "rename"): "RenameFile",
    ("DELETE", "", ""): "DeleteFile",
    ("PUT", "", "lease"): "LeaseFile",
}


def operation_of(method: str, query: Mapping[str, str]) -> str | None:
    """The operation that a request asks for; None if it is none that is served here."""
    kind = (query.get("restype", "").lower(), query.get("comp", "").lower())
    found = _OPERATIONS.get((method, *kind))
    return found or (_OPERATIONS.get(("GET", *kind)) if method == "HEAD" else None)
