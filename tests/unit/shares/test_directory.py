"""A mounted share alone has links, sockets and FIFOs, and costs descriptors."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.errors import VerificationError
from agent.release.tree import Node
from agent.shares.directory import DirectoryShare
from tests.unit.shares.conformance.releases import FILES, publication, published


def test_a_directory_in_the_place_of_a_file(tmp_path: Path) -> None:
    """No descriptor is lost over it, however often it is looked at."""
    (tmp_path / "VERSION").mkdir()
    share, before = DirectoryShare(tmp_path), descriptors()
    for _ in range(5):
        with pytest.raises(VerificationError):
            share.read("VERSION", 100)
    assert descriptors() == before


def test_a_socket_in_the_place_of_a_file(tmp_path: Path) -> None:
    """It is refused as that."""
    os.mknod(tmp_path / "VERSION", stat.S_IFSOCK | 0o644)
    with pytest.raises(VerificationError, match="not a regular file"):
        DirectoryShare(tmp_path).read("VERSION", 100)


def test_a_fifo_in_the_place_of_a_file(tmp_path: Path) -> None:
    """It is as good as empty; nobody is waited for."""
    os.mkfifo(tmp_path / "VERSION")
    assert DirectoryShare(tmp_path).read("VERSION", 100) == b""


def test_links_in_a_tree(tmp_path: Path) -> None:
    """A link counts as the file that it leads to, as outside, or as leading nowhere."""
    root = tmp_path / "share"
    (root / "fastembed").mkdir(parents=True)
    (root / "file").write_bytes(b"data")
    (tmp_path / "secret").write_bytes(b"secret")
    targets = {
        "inside": "../file",
        "outside": "../../secret",
        "dangling": "../missing",
        "below a file": "../file/missing",
        "circle": "circle",
        "directory": "../fastembed",
    }
    for name, target in targets.items():
        (root / "fastembed" / name).symlink_to(target)
    assert DirectoryShare(root).tree(("fastembed",)).under("fastembed") == {
        "inside": Node("file", 4),
        "outside": Node("outside"),
        "dangling": Node("dangling"),
        "below a file": Node("dangling"),
        "circle": Node("outside"),
        "directory": Node("linked directory"),
    }


def test_directories_that_may_not_be_read(tmp_path: Path) -> None:
    """They are told from those that may, and what is beside them is listed all the same."""
    (tmp_path / "fastembed/model").mkdir(parents=True)
    (tmp_path / "fastembed/model/a").touch()
    (tmp_path / "fastembed/lost+found").mkdir()
    (tmp_path / "huggingface").mkdir()
    for closed in ("fastembed/lost+found", "huggingface"):
        os.chown(tmp_path / closed, 65534, 65534)
        (tmp_path / closed).chmod(0o700)
    listing = (
        "import sys; from pathlib import Path; from agent.shares.directory import DirectoryShare;"
        "nodes = DirectoryShare(Path(sys.argv[1])).tree(('fastembed', 'huggingface')).nodes;"
        "print(*(f'{path}={node.kind}' for path, node in sorted(nodes.items())))"
    )
    # Not even root may then.
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--", sys.executable]
    done = subprocess.run(
        [*command, "-c", listing, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [
        *("fastembed=directory", "fastembed/lost+found=unreadable"),
        *("fastembed/model=directory", "fastembed/model/a=file", "huggingface=unreadable"),
    ]


def test_a_link_is_removed(tmp_path: Path) -> None:
    """A release that is a link is removed; the directory that it leads to stays."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"data")
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / "v1").symlink_to("../elsewhere")
    DirectoryShare(tmp_path).remove("releases/v1")
    assert list((tmp_path / "releases").iterdir()) == []
    assert (tmp_path / "elsewhere" / "file").read_bytes() == b"data"
    assert not (tmp_path / ".staging").exists()


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryShare:
    """A share where another deletes the empty `.staging` once, just before something goes there."""
    share, others = DirectoryShare(tmp_path), [DirectoryShare(tmp_path).tidy]
    make, rename = Path.mkdir, Path.rename

    def sweep(path: Path) -> None:
        if path.parent.name == ".staging" and others:
            others.pop()()

    def made(path: Path, *args: Any, **more: Any) -> None:
        sweep(path)
        make(path, *args, **more)

    def renamed(path: Path, target: Path) -> Path:
        sweep(target)
        return rename(path, target)

    monkeypatch.setattr(Path, "mkdir", made)
    monkeypatch.setattr(Path, "rename", renamed)
    return share


def test_a_removal_that_another_tidies_up(swept: DirectoryShare, tmp_path: Path) -> None:
    """A release is removed though another deletes the empty `.staging` before it is moved there."""
    (tmp_path / "releases" / "v1" / "fastembed").mkdir(parents=True)
    swept.remove("releases/v1")
    assert swept.names("releases") == ()
    assert swept.names("") == ("releases",)


def test_a_publisher_that_another_tidies_up(swept: DirectoryShare) -> None:
    """A release is published though another deletes the empty `.staging` just before."""
    swept.publish(publication())
    assert published(swept) == FILES
    assert swept.names("") == ("releases",)


def descriptors() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))
