"""Child processes import this very agent, and nothing from the current directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest

import agent
from agent.machine import children

OURS = str(Path(agent.__file__).parents[1])


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("PYTHONPATH", None, OURS),
        ("PYTHONPATH", "", OURS),
        ("PYTHONPATH", "/a::lib:.:/b", f"{OURS}:/a:/b"),
        ("PYTHONHOME", "lib", None),
        ("PYTHONHOME", "/usr", "/usr"),
        ("PYTHONUSERBASE", "./user", None),
        ("PYTHONPYCACHEPREFIX", "cache", None),
        ("PYTHONSAFEPATH", "", "1"),
        ("LANG", "C", "C"),
    ],
)
def test_the_environment(
    name: str, before: str | None, after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an interpreter would look for in the current directory is left out; the rest stays."""
    monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(name, before)
    assert children.environment().get(name) == after


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, which `PYTHONPATH` names by an empty and by a relative entry."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ":.")
    return tmp_path


def test_where_a_child_looks_for_code(here: Path) -> None:
    """It is where this agent is, and not the current directory."""
    with children.started("site", stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL) as child:
        said = child.communicate(timeout=30)[0].decode()
    assert OURS in said
    assert str(here) not in said


def test_where_a_child_s_child_looks_for_code(here: Path) -> None:
    """What a library starts by the plain interpreter has the child's environment alone."""
    done = subprocess.run(
        [sys.executable, "-m", "site"], env=children.environment(), capture_output=True, check=True
    )
    assert str(here) not in done.stdout.decode()


def test_a_child_ends_with_its_block() -> None:
    """One that still runs is killed, waited for, and its pipes are closed."""
    with children.started("agent.hub.child", stdin=PIPE, stdout=PIPE, stderr=PIPE) as child:
        assert child.poll() is None
    assert child.returncode is not None
    assert all(pipe and pipe.closed for pipe in (child.stdin, child.stdout, child.stderr))


def test_variables_of_one_s_own(tmp_path: Path) -> None:
    """They come on top of all others."""
    env = {"PYTHONPATH": str(tmp_path)}
    with children.started("site", stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=env) as child:
        assert str(tmp_path) in child.communicate(timeout=30)[0].decode()
