"""No child process of the agent outlives it, and none runs what lies in the current directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from agent.models.devices.device import Device
from agent.warmup.protocol import Request
from tests.support import agents, shares
from tests.support.hubs import CATALOG, hub_pod
from tests.support.pods import Pod

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.agents import Result

# Starts a child with an open question, and dies by SIGKILL before it can have begun.
_PARENT = """
import os, signal, subprocess, sys
from agent.machine import children
question, answer = open(sys.argv[2], "rb"), open(sys.argv[3], "wb")
command, env = children.command(sys.argv[1]), children.environment()
subprocess.Popen(command, stdin=question, stdout=answer, env=env, close_fds=False)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_warm_up_whose_agent_died_at_once_does_nothing(tmp_path: Path) -> None:
    """Otherwise it would load a model beside the next agent's, from a release that may be gone."""
    question, answer = tmp_path / "question", tmp_path / "answer"
    question.write_bytes(msgspec.json.encode(Request(str(tmp_path), Device("cpu"), ())))
    alive, held = os.pipe()
    os.set_inheritable(held, True)
    command = [sys.executable, "-c", _PARENT, "agent.warmup.child", str(question), str(answer)]
    done = subprocess.run(
        command, env=agents.environment(), close_fds=False, stderr=subprocess.DEVNULL, check=False
    )
    os.close(held)
    assert done.returncode == -9
    assert os.read(alive, 1) == b""  # once the child is gone
    os.close(alive)
    assert answer.read_bytes() == b""


# What the agent's children import, and what an interpreter imports by itself.
_MODULES = (
    *("numpy", "json", "msgspec", "fastembed", "huggingface_hub", "onnxruntime", "tokenizers"),
    *("httpx", "typing", "threading", "sitecustomize", "usercustomize"),
)


def lists_models(tree: Path, root: Path) -> Result:
    """Publish the tree, for which FastEmbed is asked for its models, and the tree's are run."""
    return Pod(root).publish_tree("v1", Path(), cwd=shares.tree(tree))


def runs_models(tree: Path, root: Path) -> Result:
    """Warm a release of a store."""
    pod = Pod(root)
    shares.TestShare(pod.store).add("v1")
    return pod.run("warm", "v1", cwd=tree)


def asks_the_hub(tree: Path, root: Path) -> Result:
    """Pin a catalog, for which the Hub is asked."""
    with hub_pod(root) as pod:
        (tree / "catalog.toml").write_text(CATALOG.replace(f'revision = "{shares.REVISION}"\n', ""))
        return pod.run("catalog", "pin", "catalog.toml", cwd=tree)


@pytest.mark.slow
@pytest.mark.parametrize("does", [lists_models, runs_models, asks_the_hub])
def test_the_current_directory_is_not_run(
    does: Callable[[Path, Path], Result], tmp_path: Path
) -> None:
    """Who publishes a tree of somebody else's from within it runs none of the code in it."""
    tree, root, ran = tmp_path / "tree", tmp_path / "root", tmp_path / "ran"
    root.mkdir()
    for name in _MODULES:
        module = tree / f"{name}.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n")
    done = does(tree, root)
    assert not ran.exists()
    assert done.code == 0, done.sentence
