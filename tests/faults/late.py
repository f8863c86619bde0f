"""Runs the agent with a pause between finding the worker's process and taking hold of it.

python late.py REACHED GO AGENT ...: the first time, it makes the file REACHED and waits for GO. A
program, not a module.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path


def main() -> None:
    """Run the agent."""
    reached, go = Path(sys.argv[1]), Path(sys.argv[2])
    take_hold = os.pidfd_open

    def late(pid: int, flags: int = 0) -> int:
        reached.touch()
        while not go.exists():
            time.sleep(0.01)
        return take_hold(pid, flags)

    os.pidfd_open = late
    sys.argv = sys.argv[3:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
