"""Whether a release on disk is what its manifest says."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from agent.release import layout, manifest

if TYPE_CHECKING:
    from pathlib import Path


def sha256(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def assert_whole(release: Path) -> None:
    """Every file of a release in a store has its bytes, and every view is the same file."""
    found = manifest.parse((release / manifest.FILE_NAME).read_bytes())
    assert found.version == release.name
    for file in found.files:
        path = release / file.path
        assert (path.stat().st_size, sha256(path)) == (file.size, file.sha256), path
    for view, origin in layout.views(found).items():
        assert (release / view).samefile(release / origin), view
