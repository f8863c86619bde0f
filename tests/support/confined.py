"""Runs a program as a worker in a pod runs: another user, no network, the models read-only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# In namespaces of its own; an interpreter that lives in a home directory is made reachable.
_SCRIPT: Final = r"""
set -e
mount --make-rprivate /
mount --bind "$TREE" "$TREE"
mount -o remount,ro,bind "$TREE"
if [ "$HIDDEN" ]; then
  mount --bind "$BASE" /mnt
  mount -t tmpfs -o mode=755 tmpfs "$HIDDEN"
  mkdir -p "$BASE"
  mount --bind /mnt "$BASE"
fi
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all -- "$@"
"""


def why_not() -> str | None:
    """Why nothing can be confined here, if so."""
    if os.geteuid() != 0:
        return "only root can make namespaces and become another user"
    probe = ["unshare", "--mount", "--net", "true"]
    try:
        done = subprocess.run(probe, capture_output=True, check=False)
    except OSError as error:
        return f"unshare: {error}"
    return None if done.returncode == 0 else done.stderr.decode().strip()


def run(command: list[str], *, tree: Path, env: Mapping[str, str]) -> str:
    """Run `command` to its end and give what it printed.

    Args:
        command: Its program is found in PATH.
        tree: What it may read, and not change.
        env: All of its environment, but for PATH.
    """
    base = Path(sys.base_prefix)
    ours = {"TREE": str(tree), "BASE": str(base), "HIDDEN": _hidden(base), "PATH": os.defpath}
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", _SCRIPT, "sh", *command],
        env={"HOME": "/nonexistent", "TMPDIR": "/tmp"} | dict(env) | ours,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _hidden(base: Path) -> str:
    """The directory above the interpreter that others may not enter, or nothing."""
    closed = [parent for parent in base.parents if not parent.stat().st_mode & 0o001]
    return str(closed[-1]) if closed else ""
