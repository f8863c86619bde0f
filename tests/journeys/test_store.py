"""The local store: who may write it, what is left in it, where it may be mounted."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from agent.files import durable
from agent.store.store import Store
from tests.support import agents
from tests.support.shares import SNAPSHOT, TestShare

if TYPE_CHECKING:
    from pathlib import Path

GROUP = 2000
# The interpreter may stand where another uid cannot read: all is imported before the uid changes.
AS_ANOTHER = """
import os, sys
from agent import cli, context, logs
from agent.sync import init
import structlog
uid, group, die = map(int, sys.argv[1:4])
del sys.argv[1:4]
os.setgroups([group])
os.setgid(uid)
os.setuid(uid)
os.umask(0o022)
if die:
    os.rename = lambda *_: os.kill(os.getpid(), 9)  # all is staged, nothing has its name
cli.main()
"""


@pytest.fixture
def share(tmp_path: Path) -> TestShare:
    """Two releases, which have their tokenizer in common."""
    made = TestShare(tmp_path / "share")
    for version in ("v1", "v2"):
        weights = version.encode() * 50_000
        made.add_files(version, {"model.onnx": weights, "tokenizer.json": b"same" * 10_000})
    return made


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store."""
    path = tmp_path / "store"
    path.mkdir()
    return path


def test_two_agents_may_start_at_once(store: Path) -> None:
    """Agents that prepare one store at the same moment do not trip over each other."""
    wrong: list[BaseException] = []

    def prepare() -> None:
        mine = Store(store)
        try:
            for _ in range(100):
                mine.prepare()
        except BaseException as error:  # noqa: BLE001 - shown below
            wrong.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_one_agent_starts_while_another_sweeps(store: Path) -> None:
    """What one agent clears up under the lock is never what another is just writing."""
    holder, starter = Store(store), Store(store)
    holder.prepare()
    wrong: list[BaseException] = []
    done = threading.Event()

    def sweep() -> None:
        while not done.is_set():
            with holder.lock(done):
                holder.sweep()

    sweeping = threading.Thread(target=sweep)
    sweeping.start()
    try:
        for _ in range(200):
            starter.prepare()
    except BaseException as error:  # noqa: BLE001 - shown below
        wrong.append(error)
    finally:
        done.set()
        sweeping.join()
    assert wrong == []


def test_the_next_start_sweeps_temporary_links(share: TestShare, store: Path) -> None:
    """A link that a crash left half flipped is swept, whether it leads somewhere or not."""
    share.mark("v1")
    flags = ("--share", share.root, "--store", store, "--no-warm")
    assert agents.run("init", *flags).code == 0
    leftovers = [store / ".current.0123abcd", store / ".current.4567cdef"]
    leftovers[0].symlink_to("releases/v1")
    leftovers[1].symlink_to("releases/gone")
    assert agents.run("init", *flags).code == 0
    assert [path for path in leftovers if path.is_symlink()] == []
    assert (store / "releases/v1/manifest.json").is_file()


def test_paths_may_be_relative(share: TestShare, store: Path, tmp_path: Path) -> None:
    """`--share share --store store` mean the directories beside one, as with any command."""
    share.mark("v1")
    flags = ("--share", "share", "--store", "store", "--no-warm")
    done = agents.run("init", *flags, cwd=tmp_path)
    assert done.code == 0, done.sentence
    assert (store / "fastembed").resolve() == store / "releases/v1/fastembed"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two other users")
@pytest.mark.parametrize("half", [False, True], ids=["whole", "half-staged"])
def test_another_uid_of_the_group_goes_on(share: TestShare, store: Path, half: bool) -> None:
    """Two uids that share only the volume's fsGroup use one store, also half staged.

    Kubernetes gives the volume to the group and sets its setgid bit, so that whatever is made in it
    belongs to the group; the primary groups of the two differ.
    """
    os.chown(store, 0, GROUP)
    store.chmod(0o2775)
    _open_to_all(store.parent)
    share.mark("v1")
    first = _run_as(1001, share, store, die=half)
    assert first.returncode == (-9 if half else 0), first.stderr
    outside = [p for p in store.rglob("*") if p.lstat().st_gid != GROUP]
    assert outside == []
    share.mark("v2")
    second = _run_as(1002, share, store)
    assert second.returncode == 0, second.stderr
    assert (store / "current").readlink().name == "v2"
    if half:
        share.mark("v1")
        assert _run_as(1002, share, store).returncode == 0
    else:  # linked, which needs write permission on the other uid's file
        files = [store / f"releases/{v}/{SNAPSHOT}/tokenizer.json" for v in ("v1", "v2")]
        assert files[0].samefile(files[1])


def test_another_uid_takes_over_a_half_staged_release(share: TestShare, store: Path) -> None:
    """A release that one uid staged by half is finished by another one of the group."""
    if os.geteuid() != 0:
        pytest.skip("only root can be two other users")
    os.chown(store, 0, GROUP)
    store.chmod(0o2775)
    _open_to_all(store.parent)
    share.mark("v1")
    assert _run_as(1001, share, store, die=True, primary=GROUP).returncode == -9
    assert [p for p in (store / ".agent/staging").rglob("model.onnx") if p.is_file()]
    second = _run_as(1002, share, store, primary=GROUP)
    assert second.returncode == 0, second.stderr
    assert (store / "current").readlink().name == "v1"


def test_modes_do_not_depend_on_the_umask(share: TestShare, store: Path) -> None:
    """Whatever the umask, files are 0664 and directories 0775, the agent's own ones too."""
    share.mark("v1")
    before = os.umask(0o077)
    try:
        flags = ("--share", share.root, "--store", store, "--no-warm")
        assert agents.run("init", *flags).code == 0
    finally:
        os.umask(before)
    for path in store.rglob("*"):
        if not path.is_symlink():
            expected = durable.DIRECTORY_MODE if path.is_dir() else durable.FILE_MODE
            assert oct(path.stat().st_mode & 0o777) == oct(expected), path


def _open_to_all(path: Path) -> None:
    for directory in (path, *path.parents):
        if directory.owner() == "root" and directory.name.startswith(
            ("pytest-", "popen-", "test_")
        ):
            directory.chmod(0o755)


def _run_as(
    uid: int, share: TestShare, store: Path, *, die: bool = False, primary: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `init` as a user whose only tie to the store is its group."""
    code = AS_ANOTHER.replace("os.setgid(uid)", f"os.setgid({primary or uid})")
    args = ["init", "--share", str(share.root), "--store", str(store), "--no-warm"]
    # Another user cannot write where coverage is gathered.
    env = {k: v for k, v in agents.environment().items() if not k.startswith("COVERAGE")}
    return subprocess.run(
        [sys.executable, "-c", code, str(uid), str(GROUP), str(int(die)), *args],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        timeout=60,
    )
