"""Runs the programs of `tests.benchmarks.clients`, which measure themselves."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.azure_files.doubles import ROOT
from tests.benchmarks.measuring import Sample
from tests.support import agents

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def run(
    python: str | Path, name: str, *args: str | Path, env: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Run one to its end, and give what it says of itself; see `clients.clock.measured`."""
    done = subprocess.run(
        [python, "-m", f"tests.benchmarks.clients.{name}", *args],
        env=agents.environment(env),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    taken: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return taken


def sample(
    python: str | Path, name: str, *args: str | Path, env: Mapping[str, str] | None = None
) -> Sample:
    """The same, without when its work began."""
    taken = run(python, name, *args, env=env)
    return Sample(taken["seconds"], taken["cpu"], peak_mib=taken["peak_mib"])
