"""Tells files that no loader reads: left by tools, by people, by other frameworks."""

from __future__ import annotations

import re
from typing import Final

from agent.release.manifest import FASTEMBED_METADATA

# Of documentation, of other frameworks, of locks and downloads, of archives and of editors.
_SUFFIXES: Final = (
    *(".md", ".h5", ".ot", ".msgpack", ".gguf", ".lock", ".incomplete", ".partial", ".part"),
    *(".filepart", ".crdownload", ".download", ".tmp", ".temp", ".swp", ".bak", ".old", ".orig"),
    *(".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", "~"),
)
_NAMES: Final = ("thumbs.db", "desktop.ini", FASTEMBED_METADATA)
# As file managers name a second copy: `a - Copy.json`, `Copy of a.json`, `a (1).json`.
_COPY: Final = re.compile(r" - copy\b|^copy of |\(\d+\)(\.|$)", re.IGNORECASE)


def is_stray(name: str) -> bool:
    """Return true if no loader reads a file of this name in a model's directory."""
    last = name.rpartition("/")[2].lower()
    hidden = any(part.startswith((".", "~$")) for part in name.split("/"))
    return hidden or last.endswith(_SUFFIXES) or last in _NAMES or bool(_COPY.search(last))
