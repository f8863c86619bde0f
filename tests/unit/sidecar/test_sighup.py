"""SIGHUP goes to the worker's process or to none; the processes are real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from agent.errors import ReloadError
from agent.sidecar import sighup
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HANDLES: Final = "signal.signal(signal.SIGHUP, lambda *_: open(sys.argv[1], 'w').close())"
IGNORES: Final = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
FORKS: Final = f"{HANDLES}; os.fork()"
WAITS: Final = "print(flush=True)\nwhile True: time.sleep(60)"
NOBODY: Final = 65534


@contextmanager
def running(script: Path, does: str, *, told: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is called after its script; it makes `told` when it is signalled."""
    script.write_text(f"import os, signal, sys, time\n{does}\n{WAITS}\n")
    process = subprocess.Popen(
        [sys.executable, script, told],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    process.stdout.readline()
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A program under a name that nothing else here has."""
    return tmp_path / f"worker-{os.getpid()}-{tmp_path.name[-12:]}.py"


def test_a_worker_is_told(script: Path, tmp_path: Path) -> None:
    """The process that runs the named script gets the signal, and its number is given."""
    with running(script, HANDLES, told=tmp_path / "told") as process:
        assert sighup.send(script.name) == process.pid
        until((tmp_path / "told").exists)


def test_the_name_must_be_all_of_it(script: Path, tmp_path: Path) -> None:
    """A part of a name, or another one, is nobody."""
    with running(script, HANDLES, told=tmp_path / "told"):
        for name in (script.name[:-1], script.stem, "no-such-worker"):
            with pytest.raises(ReloadError, match=f"No process is called {name}"):
                sighup.send(name)
    assert not (tmp_path / "told").exists()


@pytest.mark.parametrize("does", ["pass", IGNORES], ids=["default", "ignored"])
def test_a_process_that_does_not_handle_it_is_left_alone(
    does: str, script: Path, tmp_path: Path
) -> None:
    """SIGHUP's default action would end it: it is refused, and lives."""
    with running(script, does, told=tmp_path / "told") as process:
        with pytest.raises(ReloadError, match="does not handle SIGHUP"):
            sighup.send(script.name)
        assert process.poll() is None


def test_of_a_server_that_forks_it_is_the_parent(script: Path, tmp_path: Path) -> None:
    """Its children have its name too; who manages them is told."""
    with running(script, FORKS, told=tmp_path / "told") as process:
        assert sighup.send(script.name) == process.pid


def test_of_several_it_is_none(script: Path, tmp_path: Path) -> None:
    """Two of one name: neither is told, and both are named."""
    told = tmp_path / "told"
    with running(script, HANDLES, told=told) as one, running(script, HANDLES, told=told) as other:
        with pytest.raises(ReloadError, match="Several") as caught:
            sighup.send(script.name)
        assert {str(one.pid), str(other.pid)} <= set(
            caught.value.what.rstrip(".").replace(",", "").split()
        )
    assert not told.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_s_process(script: Path, tmp_path: Path) -> None:
    """Without the right to signal it, what to change in the pod is said."""
    with running(script, HANDLES, told=tmp_path / "told"):
        assert in_fork_as_nobody(lambda: sighup.send(script.name)) == "to another user"
    assert not (tmp_path / "told").exists()


def in_fork_as_nobody(send: object) -> str:
    """The part of the error that tells why, when another user sends."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(NOBODY)
        try:
            send()  # type: ignore[operator]
        except ReloadError as error:
            os.write(write, b"to another user" if "to another user" in error.what else b"?")
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as said:
        return said.read()
