"""Start the double of the Hub as a process of its own, on repositories that tests write."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.support.loopback import ROOT, Loopback, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.certificates import Certificate

SERVER: Final = ROOT / "images" / "hub" / "server.py"

Hub = Loopback
"""A Hub that listens; its `url` is what HF_ENDPOINT takes."""


@contextmanager
def running_hub(root: Path, *flags: str, certificate: Certificate | None = None) -> Iterator[Hub]:
    """A Hub as a process of its own, from start to end.

    Args:
        root: Its repositories, ORG/NAME/REVISION/file; what is written there later is served too.
        flags: Further flags of server.py, such as `--token=TOKEN` or `--gated=ORG/NAME`.
        certificate: To serve over TLS with.
    """
    with running_server(SERVER, [f"--root={root}", *flags], certificate=certificate) as hub:
        yield hub


def write_repo(root: Path, repo: str, commit: str, files: Mapping[str, bytes]) -> Path:
    """Write a repository at a commit; what it is called `main` is left alone."""
    directory = root / repo / commit
    for path, data in files.items():
        at = directory / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(data)
    return directory


def name_branch(root: Path, repo: str, branch: str, commit: str) -> None:
    """Let a branch of the repository be at a commit; replaced at once, as a push does it."""
    ref = root / repo / "refs" / branch
    ref.parent.mkdir(parents=True, exist_ok=True)
    new = ref.with_name(f".{ref.name}.new")
    new.write_text(commit, encoding="ascii")
    new.replace(ref)


def pointer_of(data: bytes) -> bytes:
    """The Git LFS pointer of a file."""
    oid = hashlib.sha256(data).hexdigest()
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n"
    return text.encode()
