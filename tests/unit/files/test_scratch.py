"""Scratch room: empty at first, gone at the end, and swept if its process was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from agent.errors import ConfigError
from agent.files import scratch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def age(path: Path) -> None:
    """Make it look an hour old."""
    os.utime(path, (0, 0))


def test_it_goes_with_its_block(tmp_path: Path) -> None:
    """An empty directory, which is gone whatever happened in it."""
    seen: list[list[Path]] = []

    def fail() -> None:
        with scratch.directory("one") as made:
            seen.append(list(made.iterdir()))
            (made / "file").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [[]]
    assert list(tmp_path.iterdir()) == []


def test_one_in_use_is_never_swept(tmp_path: Path) -> None:
    """A publisher that works for hours keeps its room while others come and go."""
    with scratch.directory("one") as made:
        age(made)
        with scratch.directory("two"):
            assert made.exists()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    """The next publisher deletes it; anything that is not ours stays."""
    code = (
        "import os, tempfile; from agent.files import scratch\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "with scratch.directory('killed') as made: os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    (left,) = tmp_path.iterdir()
    foreign = tmp_path / "notes"
    foreign.mkdir()
    age(left)
    with scratch.directory("next"):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == [foreign]


def test_one_that_was_made_just_now_stays(tmp_path: Path) -> None:
    """Between being made and being locked it is safe too."""
    young = tmp_path / ".model-agent-scratch-young"
    young.mkdir()
    with scratch.directory("next"):
        assert young.exists()


def test_what_is_kept(tmp_path: Path) -> None:
    """What a failed run left is there in the next one, and gone once a run succeeded."""

    def fail() -> None:
        with scratch.kept("hub") as made:
            (made / "models").mkdir()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with scratch.kept("hub") as made:
        assert [path.name for path in made.iterdir()] == ["models"]
    with scratch.kept("hub") as made:
        assert list(made.iterdir()) == []
    assert made.parent == tmp_path
    assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("what", ["link", "file", "foreign"])
def test_what_another_user_may_have_put_there(what: str, tmp_path: Path) -> None:
    """In a directory for all, a link, a file or another's directory of that name is refused."""
    path = tmp_path / f".model-agent-kept-{os.geteuid()}-hub"
    if what == "link":
        path.symlink_to(tmp_path)
    elif what == "file":
        path.touch()
    else:
        if os.geteuid() != 0:
            pytest.skip("only root can give a directory away")
        path.mkdir()
        os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="TMPDIR"), scratch.kept("hub"):
        pass


def test_nowhere_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without a /tmp is told so in a sentence."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    for room in (scratch.directory("one"), scratch.kept("two"), scratch.file()):
        with pytest.raises(ConfigError, match=r"temporary file|TMPDIR"), room:
            pass
