"""Names of shares, directories and files: what the service accepts, and which are the same.

Source: "Naming and referencing shares, directories, files, and metadata" (Microsoft REST
reference).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from tests.doubles.azure_files.resterror import RestError

_SHARE: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9])*")
_SHARE_LENGTHS: Final = range(3, 64)
_COMPONENT: Final = 255
_PATH: Final = 2048
_DEPTH: Final = 250
_FORBIDDEN: Final = re.compile(r'["\\:|<>*?\x00-\x1f\x7f]')
_DEVICES: Final = frozenset(
    ["CLOCK$", "PRN", "AUX", "NUL", "CON"]
    + [f"{port}{digit}" for port in ("LPT", "COM") for digit in range(1, 10)]
)


def split_path(raw: str, *, keep_trailing_dot: bool = False) -> tuple[str, tuple[str, ...]]:
    """The share and the components below it, from a path as it stood in the URL.

    Raises:
        RestError: Some name is not one that the service accepts.
    """
    try:
        decoded = unquote(raw, errors="strict")
    except UnicodeDecodeError as error:
        raise RestError("InvalidUri") from error
    share, _, rest = decoded.strip("/").partition("/")
    check_share(share)
    components = tuple(rest.split("/")) if rest else ()
    if not keep_trailing_dot:
        components = tuple(component.rstrip(".") or component for component in components)
    check_components(components)
    return share, components


def check_share(name: str) -> None:
    """Refuse a name that no share can have."""
    if not _SHARE.fullmatch(name):
        raise RestError("InvalidResourceName")
    if len(name) not in _SHARE_LENGTHS:
        raise RestError("OutOfRangeInput")


def check_components(components: tuple[str, ...]) -> None:
    """Refuse names that no directory or file can have, and paths that are too long."""
    if len(components) > _DEPTH or len("/".join(components)) > _PATH:
        raise RestError("InvalidFileOrDirectoryPathName")
    for name in components:
        if not name or name in {".", ".."} or _FORBIDDEN.search(name):
            raise RestError("InvalidResourceName")
        if len(name) > _COMPONENT:
            raise RestError("InvalidFileOrDirectoryPathName")
        if name.upper() in _DEVICES:
            raise RestError("InvalidResourceName")


def fold(name: str) -> str:
    """What two names have in common that are the same name to the service.

    Upper case, character by character as NTFS does it: "ß" stays as it is.
    """
    return "".join(c.upper() if len(c.upper()) == 1 else c for c in name)
