"""What is no file, in the place of a release's file on the share."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pods import Pod

    Put = Callable[[Path], object]


def link_out(path: Path) -> None:
    """The right bytes, but out of the share."""
    outside = Path(tempfile.mkdtemp(), "outside")
    shutil.copyfile(path, outside)
    path.unlink()
    path.symlink_to(outside)


def link_in_a_circle(path: Path) -> None:
    """A link to itself."""
    path.unlink()
    path.symlink_to(path.name)


def fifo(path: Path) -> None:
    """A FIFO that nobody writes to: who opens it as a file waits for ever."""
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    """A device that gives zeros without end."""
    path.unlink()
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


def unix_socket(path: Path) -> None:
    """A socket."""
    path.unlink()
    short = Path(tempfile.mkdtemp(), "s")  # as long as the name of a socket may be
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(short))
    short.rename(path)


def directory(path: Path) -> None:
    """A directory."""
    path.unlink()
    path.mkdir()


def instead(name: str, put: Put, said: str) -> object:
    """Something in the place of a file, and what is said of it."""
    marks = case("security", f"published release: {name} where a file should be")
    return pytest.param(put, said, id=name, marks=marks)


@pytest.mark.parametrize(
    ("put", "said"),
    [
        instead("link out of the share", link_out, "is a link that leads out of the share"),
        instead("link in a circle", link_in_a_circle, "is a link that leads in a circle"),
        instead("FIFO", fifo, "is not a regular file"),
        instead("device", device, "is not a regular file"),
        instead("socket", unix_socket, "is not a regular file"),
        instead("directory", directory, "is not a regular file"),
    ],
)
def test_no_file_where_a_release_has_one(put: Put, said: str, pod: Pod) -> None:
    """The release is refused in one sentence that names it, and taken once the file is there."""
    path = next(pod.share.release("v2").rglob("model.onnx"))
    good = path.read_bytes()
    put(path)
    with serving(pod) as running:
        running.mark("v2\n")
        entry = until(lambda: running.sidecar.status()["quarantined"].get("v2"))
        assert said in entry["reason"]
        assert str(path.relative_to(pod.share.root)) in entry["reason"]
        until(lambda: running.sidecar.metric("model_agent_quarantined_releases") == 1)
        running.assert_active("v1")
        assert pod.held() == {"v1"}
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_bytes(good)
        running.mark("v2\n# mended\n")
        running.settle("v2")
