"""Everything on stderr is our log: also what libraries have to say."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

CODE = """
import logging, warnings
from agent import logs
logs.configure("json")
azure = logging.getLogger("azure.identity")
for _ in range(3):
    azure.warning("tried\\n  %s", "https://host/share?sv=1&sig=c2VjcmV0&se=2")
azure.info("nobody asked")
azure.error("another")
logs.get().info("share.retry", attempt=1)
"""


def test_what_libraries_say_is_one_line_of_the_log() -> None:
    """A library's warning is one JSON line, once in a row, without signatures of a SAS."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(e["event"], e.get("message"), e["level"]) for e in events] == [
        ("library.message", "tried https://host/share?sv=1&sig=...&se=2", "warning"),
        ("library.message", "another", "error"),
        ("share.retry", None, "info"),
    ]
    assert done.stdout == ""


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours(no_color: str, *, coloured: bool) -> None:
    """A terminal has colours, unless NO_COLOR says that it is to have none."""
    code = "from agent import logs; logs.configure(None); logs.get().info('marker.read')"
    ours, theirs = pty.openpty()
    env = os.environ | {"NO_COLOR": no_color, "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", code], stderr=theirs, env=env, check=True)
    os.close(theirs)
    said = os.read(ours, 4096)
    os.close(ours)
    assert b"marker.read" in said
    assert (b"\x1b[" in said) is coloured
