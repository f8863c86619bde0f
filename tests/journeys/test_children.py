"""No child process of the agent outlives it, not even one that was only just started."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from agent.models.devices.device import Device
from agent.warmup.protocol import Request
from tests.support import agents

if TYPE_CHECKING:
    from pathlib import Path

# Starts a child with an open question, and dies by SIGKILL before it can have begun.
_PARENT = """
import os, signal, subprocess, sys
from agent.machine import children
question, answer = open(sys.argv[2], "rb"), open(sys.argv[3], "wb")
command, env = [sys.executable, "-m", sys.argv[1]], children.environment()
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
