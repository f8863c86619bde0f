"""Removes from `/status` the paths that other pods must not read. Pure: no I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

HIDDEN: Final = "…"

# Absolute paths with at least two components: `/reload` is a path of the worker's API, and
# `azurefiles://…` and `releases/v1` are not paths of this machine; that of a `unix://` is one.
_PATH: Final = re.compile(r"(?:(?<=unix://)|(?<![\w./:…-]))(?:/[^\s/'\",;:()]+){2,}")


def paths(value: Any, *, keep: Path, hide: str | None) -> Any:
    """Return `value` with the paths of this machine hidden.

    Args:
        value: A value as JSON may hold it.
        keep: A directory whose paths stay visible.
        hide: A text to hide as well, the share's directory; None if the share is not one.
    """
    if isinstance(value, dict):
        return {key: paths(each, keep=keep, hide=hide) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [paths(each, keep=keep, hide=hide) for each in value]
    if not isinstance(value, str):
        return value
    kept = str(keep)

    def replaced(match: re.Match[str]) -> str:
        path = match[0].rstrip(".")
        inside = path == kept or path.startswith(f"{kept}/")
        return match[0] if inside else HIDDEN + match[0][len(path) :]

    return _PATH.sub(replaced, value.replace(hide, HIDDEN) if hide else value)
