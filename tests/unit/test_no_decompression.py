"""Nothing that the agent reads is ever decompressed: a few bytes cannot become a disk full."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import agent

PACKAGE = Path(agent.__file__).parent
DECOMPRESSORS = {"bz2", "gzip", "lzma", "tarfile", "zipfile", "zlib", "zstandard", "brotli"}
PICKLERS = {"pickle", "shelve", "marshal", "dill", "joblib"}


def imported(path: Path) -> set[str]:
    """The top-level names of all modules that a file imports, at its top or inside."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_nothing_is_decompressed(path: Path) -> None:
    """No module imports what unpacks archives, decompresses, or reads pickles."""
    assert not imported(path) & (DECOMPRESSORS | PICKLERS)


def test_the_contract_is_not_empty() -> None:
    """All modules are looked at."""
    assert "asyncio" in imported(PACKAGE / "sidecar" / "loop.py")
