"""Which files a repository keeps in Git LFS, and what git has in their place."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

POINTER: Final = "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
_ATTRIBUTES: Final = ".gitattributes"
_PATTERNS: Final = ("*.onnx", "*.safetensors", "*.bin", "*.data", "*.pt")
# The Hub takes no larger ones into git itself.
_LIMIT: Final = 10 * 1024 * 1024


@dataclass(frozen=True)
class LfsRules:
    """What goes to LFS: large files, and those that a pattern names.

    Attributes:
        patterns: As in `.gitattributes`; one without a slash is for names in every directory.
    """

    patterns: tuple[str, ...] = _PATTERNS

    @classmethod
    def of_tree(cls, directory: Path) -> LfsRules:
        """The rules of a tree's own `.gitattributes`, else the common ones."""
        try:
            lines = (directory / _ATTRIBUTES).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return cls()
        words = [line.split() for line in lines]
        return cls(tuple(found[0] for found in words if "filter=lfs" in found[1:]))

    def takes(self, path: str, size: int) -> bool:
        """Whether this file is kept in LFS."""
        name = path.rpartition("/")[2]
        return size > _LIMIT or any(
            fnmatchcase(path if "/" in pattern else name, pattern) for pattern in self.patterns
        )


def pointer(sha256: str, size: int) -> bytes:
    """The text that git has in place of a file."""
    return POINTER.replace("{sha256}", sha256).replace("{size}", str(size)).encode()
