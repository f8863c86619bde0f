"""The command line: every expected failure is one sentence with its own exit code."""

from __future__ import annotations

import fcntl
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import agents
from tests.support.agents import assert_failed
from tests.support.pods import NO_SHARE, Pod
from tests.support.shares import snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.forks import Forks


@pytest.mark.parametrize("command", ["status", "verify", "prune"])
def test_a_store_that_is_a_file(command: str, tmp_path: Path) -> None:
    """A `--store` that is a file is a mistake of set-up: exit 2 and a sentence, no traceback."""
    store = tmp_path / "store"
    store.write_text("not a directory")
    assert_failed(agents.run(command, "--store", store), 2, str(store))


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


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """A pod whose share has one release and the marker that names it; its store is empty."""
    made = Pod(tmp_path)
    made.share.add_plain("v1")
    made.share.mark("v1")
    return made


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Everything that is wrong with flags and variables is reported in one go, before any work."""
    env = {
        "MODEL_AGENT_KEEP": "0",
        "MODEL_AGENT_DEVICE": "tpu",
        "MODEL_AGENT_STROE": "/somewhere",
        "MODEL_AGENT_NO_WARM": "perhaps",
    }
    done = agents.run("init", "--lock-timeout", "5 bananas", "--store-limit", "much", env=env)
    assert_failed(done, 2, *env, "--lock-timeout", "--store-limit", "--share", "5 bananas")
    assert "did you mean MODEL_AGENT_STORE" in done.sentence
    assert len([line for line in done.lines if line]) == 1


def test_the_variables_of_a_service(pod: Pod) -> None:
    """What Kubernetes injects for a Service called model-agent is no mistake."""
    env = {
        "MODEL_AGENT_PORT": "tcp://10.0.0.1:9090",
        "MODEL_AGENT_PORT_9090_TCP_ADDR": "10.0.0.1",
        "MODEL_AGENT_SERVICE_HOST": "10.0.0.1",
        "MODEL_AGENT_SERVICE_PORT_HTTP": "9090",
    }
    done = pod.run("status", env=env)
    assert done.code == 0, done.lines


def test_the_flag_wins(pod: Pod) -> None:
    """Every flag is a variable too, and the flag wins."""
    env = {"MODEL_AGENT_STORE": "/nowhere", "MODEL_AGENT_NO_WARM": "true"}
    done = pod.run("init", "--store", pod.store, env=env)
    assert done.code == 0, done.lines
    assert pod.active() == "v1"


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, forks: Forks) -> None:
    """Each command explains itself, its flags and their defaults."""
    done = forks.run(command, "--help")
    assert done.code == 0, done.lines
    assert f" {command} [OPTIONS]" in done.stdout.splitlines()[0]
    assert "--help" in done.stdout


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
def test_usage_errors(args: list[str], forks: Forks) -> None:
    """A command line that makes no sense is exit 2 with one sentence, which names the command."""
    done = forks.run(*args)
    command = f" {args[0]}" if args[0] in COMMANDS else ""
    asks_click = "argument" in done.sentence or "option" in done.sentence
    assert_failed(done, 2, f"See model-agent{command} --help." if asks_click else "--help")
    assert len(done.lines) == 1, done.lines


def test_a_catalog_that_is_refused(pod: Pod) -> None:
    """A catalog that is missing or wrong is exit 2, and is named."""
    (pod.share.root / "VERSION").unlink()
    pod.share.catalog.unlink()
    for text in (None, "version = ", 'version = "v1"'):
        if text is not None:
            pod.share.catalog.write_text(text)
        assert_failed(pod.run("init"), 2, "catalog.toml")
        pod.assert_empty()


def test_a_store_that_another_agent_holds(pod: Pod) -> None:
    """A store whose lock another process holds is exit 9 after `--lock-timeout`, untouched."""
    assert pod.init().code == 0
    pod.share.add_plain("v2")
    pod.share.mark("v2")
    before = snapshot(pod.store)
    with (pod.store / ".agent/lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in ("init", "prune"):
            assert_failed(pod.run(command, "--lock-timeout", "300ms"), 9, "--lock-timeout")
        assert snapshot(pod.store) == before
        assert pod.run("status", env=NO_SHARE).code == 0
    assert pod.init().code == 0
    assert pod.active() == "v2"


@pytest.mark.parametrize("held", [False, True], ids=["empty", "in use"])
def test_a_store_that_is_read_only(pod: Pod, held: bool) -> None:
    """A volume that is mounted read-only is a mistake of set-up: exit 2, not a traceback."""
    store = pod.store
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(store)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    try:
        if held:
            assert pod.init().code == 0
        subprocess.run(["mount", "-o", "remount,ro", str(store)], check=True)
        assert_failed(pod.init(), 2, "annot be written")
        assert pod.run("status", env=NO_SHARE).code == 0
    finally:
        subprocess.run(["umount", str(store)], check=True)


def test_a_store_that_is_missing(pod: Pod) -> None:
    """A store that is not mounted is exit 2, and no directory is made in its place."""
    pod.store.rmdir()
    assert_failed(pod.run("init"), 2, str(pod.store))
    assert not pod.store.exists()


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
