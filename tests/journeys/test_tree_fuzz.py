"""300 hand-made trees, each a good one that was changed: what `init` takes, stock loaders load."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

from tests.fuzz.trees import DROPPED
from tests.journeys.test_loaders import LOADERS

TREES: Final = 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_is_taken_is_loaded(seed: int) -> None:
    """The doctor and `init` agree on each; what is active then answers as the good tree does."""
    if not LOADERS.exists():
        pytest.skip(f"{LOADERS} is not there: make test-slow makes it")
    command = [sys.executable, "-m", "tests.fuzz.trees", str(TREES), str(seed), str(LOADERS)]
    done = subprocess.run([*DROPPED, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    assert done.stdout.startswith(f"{TREES} trees: "), done.stdout
    print(done.stdout)
