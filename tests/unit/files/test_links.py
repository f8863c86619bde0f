"""Whether a file can have a second name somewhere is found out, not guessed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from agent.files import durable

if TYPE_CHECKING:
    from pathlib import Path

ASK: Final = (
    "import sys; from pathlib import Path; from agent.files import durable;"
    "print(durable.links_reach(*map(Path, sys.argv[1:])))"
)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Two directories of one file system."""
    made = tmp_path / "downloads", tmp_path / "share"
    for directory in made:
        directory.mkdir()
    return made


def test_in_one_mount(places: tuple[Path, Path]) -> None:
    """They can, and nothing is left of the try."""
    assert durable.links_reach(*places)
    assert [list(place.iterdir()) for place in places] == [[], []]


def test_between_two_mounts_of_one_file_system(places: tuple[Path, Path]) -> None:
    """They cannot, though the device is the same: two volumes of one node's disk in a pod."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    source, target = map(str, places)
    mount = 'mount --bind "$1" "$1" && test "$(stat -c %d "$1")" = "$(stat -c %d "$2")"'
    command = f'{mount} && exec {sys.executable} -c "$3" "$1" "$2"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", command, "sh", source, target, ASK],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("False", "")
    assert [list(place.iterdir()) for place in places] == [[], []]


def test_where_nothing_can_be_written(places: tuple[Path, Path]) -> None:
    """They cannot; copying then says why it cannot either."""
    assert not durable.links_reach(places[0], places[1] / "missing")
    assert list(places[0].iterdir()) == []
