"""What `/status` does not say: any pod may read it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

HIDDEN: Final = "…"

# Absolute, and of two components at least: `/reload` is a path of the worker's, `azurefiles://…`
# and `releases/v1` are none of this machine's.
_PATH: Final = re.compile(r"(?<![\w./:…-])(?:/[^\s/'\",;:()]+){2,}")


def paths(value: Any, *, keep: Path, hide: str | None) -> Any:
    """`value` with no path of this machine in it.

    Args:
        value: What JSON may hold.
        keep: A directory: paths in it stay.
        hide: A text that is hidden too: where the share is, if that is a directory.
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
