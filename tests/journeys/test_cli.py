"""The command line: every expected failure is one sentence with its own exit code."""

from __future__ import annotations

import fcntl
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import agents
from tests.support.crashing import Crasher
from tests.support.shares import TestShare, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("command", ["status", "verify", "prune"])
def test_a_store_that_is_a_file(command: str, tmp_path: Path) -> None:
    """A `--store` that is a file is a mistake of set-up: exit 2 and a sentence, no traceback."""
    store = tmp_path / "store"
    store.write_text("not a directory")
    done = agents.run(command, "--store", store)
    assert done.code == 2, done.sentence
    assert "Traceback" not in "\n".join(done.lines)
    assert str(store) in done.sentence


COMMANDS = (
    "init",
    "sidecar",
    "publish",
    "promote",
    "rollback",
    "status",
    "verify",
    "prune",
    "doctor",
)


@pytest.fixture(scope="module")
def crasher() -> Iterator[Crasher]:
    """What runs the agents, in forks."""
    with Crasher() as running:
        yield running


@pytest.fixture
def share(tmp_path: Path) -> TestShare:
    """A share with one release, and the marker that names it."""
    made = TestShare(tmp_path / "share")
    made.add_files("v1", {"model.onnx": b"weights" * 1000})
    made.mark("v1")
    return made


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store."""
    path = tmp_path / "store"
    path.mkdir()
    return path


def assert_usage_error(done: agents.Result, *words: str) -> None:
    """Exit 2, and one last sentence with all these words; never a traceback."""
    assert done.code == 2, done.lines
    assert [word for word in words if word not in done.sentence] == [], done.sentence
    assert "Traceback" not in "\n".join(done.lines)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Everything that is wrong with flags and variables is reported in one go, before any work."""
    env = {
        "MODEL_AGENT_KEEP": "0",
        "MODEL_AGENT_DEVICE": "tpu",
        "MODEL_AGENT_STROE": "/somewhere",
        "MODEL_AGENT_NO_WARM": "perhaps",
    }
    done = agents.run("init", "--lock-timeout", "5 bananas", "--store-limit", "much", env=env)
    assert_usage_error(done, *env, "--lock-timeout", "--store-limit", "--share", "5 bananas")
    assert "did you mean MODEL_AGENT_STORE" in done.sentence
    assert len([line for line in done.lines if line]) == 1


def test_the_variables_of_a_service(share: TestShare, store: Path) -> None:
    """What Kubernetes injects for a Service called model-agent is no mistake."""
    env = {
        "MODEL_AGENT_PORT": "tcp://10.0.0.1:9090",
        "MODEL_AGENT_PORT_9090_TCP_ADDR": "10.0.0.1",
        "MODEL_AGENT_SERVICE_HOST": "10.0.0.1",
        "MODEL_AGENT_SERVICE_PORT_HTTP": "9090",
    }
    done = agents.run("status", "--share", share.root, "--store", store, env=env)
    assert done.code == 0, done.lines


def test_the_flag_wins(share: TestShare, store: Path) -> None:
    """Every flag is a variable too, and the flag wins."""
    env = {
        "MODEL_AGENT_SHARE": str(share.root),
        "MODEL_AGENT_STORE": "/nowhere",
        "MODEL_AGENT_NO_WARM": "true",
    }
    done = agents.run("init", "--store", store, env=env)
    assert done.code == 0, done.lines
    assert (store / "current").readlink().name == "v1"


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, crasher: Crasher) -> None:
    """Each command explains itself, its flags and their defaults."""
    done = crasher.finish(command, "--help")
    assert done.code == 0, done.lines
    assert f" {command} [OPTIONS]" in done.lines[0]
    assert any("--help" in line for line in done.lines)


def test_help_of_all() -> None:
    """`model-agent --help` lists every command; alone it is a usage error."""
    done = agents.run("--help", env={"MODEL_AGENT_NONSENSE": "nobody needs settings for help"})
    assert done.code == 0
    assert done.lines == ()
    assert [command for command in COMMANDS if command not in done.stdout] == []
    assert agents.run().code == 2
    assert agents.run("--version").code == 0


@pytest.mark.parametrize(
    "args",
    [
        ["frobnicate"],
        ["init", "--frobnicate"],
        ["init", "--share"],
        ["promote"],
        ["promote", "v1"],
        ["publish", "--share", "/tmp", "--from", "/tmp"],
        ["verify", "--on", "moon"],
        ["status", "surplus"],
        ["init", "--share", "/tmp", "--marker", "../VERSION"],
        ["init", "--share", "/tmp", "--log-format", "xml"],
    ],
    ids=" ".join,
)
def test_usage_errors(args: list[str], crasher: Crasher) -> None:
    """A command line that makes no sense is exit 2 with one sentence."""
    done = crasher.finish(*args)
    assert_usage_error(done, "--help")
    assert len(done.lines) == 1, done.lines


def test_a_catalog_that_is_refused(share: TestShare, store: Path, tmp_path: Path) -> None:
    """A catalog that is missing or wrong is exit 2, and is named."""
    (share.root / "VERSION").unlink()
    for text in (None, "version = ", 'version = "v1"'):
        path = tmp_path / "catalog.toml"
        if text is not None:
            path.write_text(text)
        flags = ("--share", share.root, "--store", store, "--catalog", path)
        assert_usage_error(agents.run("init", *flags), "catalog.toml")
        assert list((store / "releases").iterdir()) == []


def test_a_store_that_another_agent_holds(share: TestShare, store: Path) -> None:
    """A store whose lock another process holds is exit 9 after `--lock-timeout`, untouched."""
    flags = ("--share", share.root, "--store", store, "--no-warm")
    assert agents.run("init", *flags).code == 0
    share.add_files("v2", {"model.onnx": b"other" * 1000})
    share.mark("v2")
    before = snapshot(store)
    with (store / ".agent/lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (("init", *flags), ("prune", "--store", store)):
            done = agents.run(*command, "--lock-timeout", "300ms")
            assert done.code == 9, done.lines
            assert "--lock-timeout" in done.sentence
            assert "Traceback" not in "\n".join(done.lines)
        assert snapshot(store) == before
        assert agents.run("status", "--store", store).code == 0
    assert agents.run("init", *flags).code == 0
    assert (store / "current").readlink().name == "v2"


@pytest.mark.parametrize("held", [False, True], ids=["empty", "in use"])
def test_a_store_that_is_read_only(share: TestShare, store: Path, held: bool) -> None:
    """A volume that is mounted read-only is a mistake of set-up: exit 2, not a traceback."""
    flags = ("--share", share.root, "--store", store, "--no-warm")
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(store)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    try:
        if held:
            assert agents.run("init", *flags).code == 0
        subprocess.run(["mount", "-o", "remount,ro", str(store)], check=True)
        assert_usage_error(agents.run("init", *flags), "annot be written")
        assert agents.run("status", "--store", store).code == 0
    finally:
        subprocess.run(["umount", str(store)], check=True)


def test_a_store_that_is_missing(share: TestShare, store: Path) -> None:
    """A store that is not mounted is exit 2, and no directory is made in its place."""
    store.rmdir()
    done = agents.run("init", "--share", share.root, "--store", store)
    assert_usage_error(done, str(store))
    assert not store.exists()


@pytest.mark.parametrize("flag", ["--share", "--store"])
def test_a_path_that_may_not_be_looked_at(tmp_path: Path, flag: str) -> None:
    """A share or store behind a closed directory is a sentence and an exit code, no traceback."""
    paths = {"--share": tmp_path / "share", "--store": tmp_path / "store"}
    for path in paths.values():
        path.mkdir()
    paths[flag] = tmp_path / ("x" * 300) / "y"  # refused for root, too: the name is too long
    flags = [word for pair in paths.items() for word in pair]
    done = agents.run("init", *flags)
    assert done.code == {"--share": 3, "--store": 2}[flag], done.sentence
    assert not any(line.startswith("Traceback") for line in done.lines)
