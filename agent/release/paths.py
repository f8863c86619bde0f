"""The rules for names of files in a release. Pure.

The names that Azure Files refuses are from "Naming and referencing shares, directories, files, and
metadata" of its REST reference; the reserved device names are Windows', whose clients mount it too.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_COMPONENT: Final = 255
MAX_PATH: Final = 1024

_REFUSED = re.compile(r'["\\:|<>*?\x00-\x1f\x7f-\x9f]')
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9]|clock\$)(\..*)?")


def problem(path: str) -> str | None:
    """Return why a release may not have a file at `path`, or None if it may."""
    if not path or len(path) > MAX_PATH:
        return f"has {len(path)} characters, and 1 to {MAX_PATH} are allowed"
    if not _is_unicode(path) or unicodedata.normalize("NFC", path) != path:
        return "is not Unicode in normal form C"
    if path.startswith("/"):
        return "is absolute"
    reasons = (_component_problem(component) for component in path.split("/"))
    return next((reason for reason in reasons if reason), None)


def collision(paths: Iterable[str]) -> tuple[str, str] | None:
    """Return two of `paths` that cannot stand beside each other, or None.

    They collide if they, or directories of them, differ only by case, which Azure Files and SMB
    ignore; or if one is a directory of the other.
    """
    seen: dict[str, tuple[str, bool]] = {}
    for path in paths:
        for directory in _directories(path):
            owner = seen.setdefault(directory.casefold(), (directory, False))
            if owner != (directory, False):
                return owner[0], path
        if path.casefold() in seen:
            return seen[path.casefold()][0], path
        seen[path.casefold()] = (path, True)
    return None


def _component_problem(component: str) -> str | None:
    if component in {"", ".", ".."}:
        return f"has the component {component!r}"
    if len(component.encode()) > MAX_COMPONENT:
        return f"has a component of over {MAX_COMPONENT} bytes"
    if _REFUSED.search(component):
        return "has a character that Azure Files refuses"
    if component[-1] in ". ":
        return "has a component that ends in a dot or a space"
    if _DEVICE.fullmatch(component):
        return f"has the reserved device name {component!r}"
    return None


def _directories(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
