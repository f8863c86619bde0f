"""The local store of real agents: who may write it, and where it may be mounted."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.files import durable
from tests.support.pods import Pod
from tests.support.shares import SNAPSHOT, TestShare

if TYPE_CHECKING:
    from tests.support.agents import Result

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
def pod(share: TestShare, tmp_path: Path) -> Pod:
    """A pod whose marker names v1; its store is empty."""
    share.mark("v1")
    return Pod(tmp_path, share)


def test_paths_may_be_relative(pod: Pod) -> None:
    """`--share share --store store` mean the directories beside one, as with any command."""
    done = pod.init("--share", "share", "--store", "store", cwd=pod.root)
    assert done.code == 0, done.sentence
    store = pod.store
    assert (store / "fastembed").resolve() == store / "releases/v1/fastembed"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two other users")
@pytest.mark.parametrize("half", [False, True], ids=["whole", "half-staged"])
def test_another_uid_of_the_group_goes_on(pod: Pod, half: bool) -> None:
    """Two uids that share only the volume's fsGroup use one store, also half staged.

    Kubernetes gives the volume to the group and sets its setgid bit, so that whatever is made in it
    belongs to the group; the primary groups of the two differ.
    """
    store = pod.store
    os.chown(store, 0, GROUP)
    store.chmod(0o2775)
    _open_to_all(pod.root)
    first = _run_as(1001, pod, die=half)
    assert first.code == (-9 if half else 0), first.lines
    outside = [p for p in store.rglob("*") if p.lstat().st_gid != GROUP]
    assert outside == []
    pod.share.mark("v2")
    second = _run_as(1002, pod)
    assert second.code == 0, second.lines
    assert pod.active() == "v2"
    if half:
        pod.share.mark("v1")
        assert _run_as(1002, pod).code == 0
    else:  # linked, which needs write permission on the other uid's file
        files = [store / f"releases/{v}/{SNAPSHOT}/tokenizer.json" for v in ("v1", "v2")]
        assert files[0].samefile(files[1])


def test_another_uid_takes_over_a_half_staged_release(pod: Pod) -> None:
    """A release that one uid staged by half is finished by another one of the group."""
    if os.geteuid() != 0:
        pytest.skip("only root can be two other users")
    store = pod.store
    os.chown(store, 0, GROUP)
    store.chmod(0o2775)
    _open_to_all(pod.root)
    assert _run_as(1001, pod, die=True, primary=GROUP).code == -9
    assert [p for p in (store / ".agent/staging").rglob("model.onnx") if p.is_file()]
    second = _run_as(1002, pod, primary=GROUP)
    assert second.code == 0, second.lines
    assert pod.active() == "v1"


def test_modes_do_not_depend_on_the_umask(pod: Pod) -> None:
    """Whatever the umask, files are 0664 and directories 0775, the agent's own ones too."""
    before = os.umask(0o077)
    try:
        assert pod.init().code == 0
    finally:
        os.umask(before)
    for path in pod.store.rglob("*"):
        if not path.is_symlink():
            expected = durable.DIRECTORY_MODE if path.is_dir() else durable.FILE_MODE
            assert oct(path.stat().st_mode & 0o777) == oct(expected), path


def _open_to_all(path: Path) -> None:
    for directory in (path, *path.parents):
        if directory.owner() == "root" and directory.name.startswith(
            ("pytest-", "popen-", "test_")
        ):
            directory.chmod(0o755)


def _run_as(uid: int, pod: Pod, *, die: bool = False, primary: int | None = None) -> Result:
    """Run `init` as a user whose only tie to the store is its group."""
    code = AS_ANOTHER.replace("os.setgid(uid)", f"os.setgid({primary or uid})")
    # Another user cannot write where coverage is gathered.
    covered = [name for name in os.environ if name.startswith("COVERAGE")]
    prefix = ("env", *(f"--unset={name}" for name in covered))
    told = (str(uid), str(GROUP), str(int(die)), "init", "--no-warm")
    return pod.run("-c", code, *told, program=Path(sys.executable), prefix=prefix, cwd="/")
