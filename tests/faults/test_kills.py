"""The sidecar is killed again and again, at whatever moment, while the marker moves."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.faults.whole import assert_whole

if TYPE_CHECKING:
    from tests.faults.serving import Serving
    from tests.support.pods import Pod

KILLS: Final = 50
VERSIONS: Final = ("v1", "v2", "v3")
# What the killed ones logged last, from nothing to "it is done": so many different things at least.
MOMENTS: Final = 4
_POLL: Final = "100ms"


@pytest.mark.timeout(1800)
@case("sequence", f"SIGKILL of the sidecar at {KILLS} random moments while the marker moves")
def test_kills_at_random_moments(pod: Pod) -> None:
    """After each, `current` leads to a whole release and one is served; the last marker is reached.

    SOAK_SEED repeats the choices of a run.
    """
    seed = int(os.environ.get("SOAK_SEED") or time.time_ns())
    print(f"SOAK_SEED={seed}")
    chance, moments = random.Random(seed), Counter[str]()
    with serving(pod) as running:
        running.allowed = set(VERSIONS)
        span = 1.2 * seconds_of_a_bump(running)
        for number in range(KILLS):
            if chance.random() < 0.8:
                mark(running, chance.choice(VERSIONS), number)
            moments[one_life(running, chance, span, number)] += 1
            assert_sound(running)
        print(f"a bump and a fifth: {span:.1f} s; killed after {dict(moments)}")
        assert len(moments) >= MOMENTS
        assert_converges(running, chance)


def seconds_of_a_bump(running: Serving) -> float:
    """How long a sidecar takes from its start until it serves a release that it has to stage."""
    running.sidecar.process.kill()
    running.sidecar.end()
    mark(running, "v2", "first")
    began = time.monotonic()
    with running.pod.sidecar(running.worker.admin, poll=_POLL) as sidecar:
        sidecar.wait_for("sync.done", version="v2")
        return time.monotonic() - began


def mark(running: Serving, version: str, comment: object) -> None:
    """Write the marker, by a rename; the comment makes it another wish than the one before."""
    running.pod.share.mark(version, str(comment))


def one_life(running: Serving, chance: random.Random, span: float, number: int) -> str:
    """Start a sidecar, perhaps move the marker, and kill it; gives what it logged last."""
    killed_at = chance.uniform(0, span)
    moves_at = chance.uniform(0, killed_at)
    log = running.pod.root / "killed.log"
    with log.open("w") as stderr:
        process = running.pod.start_sidecar(running.worker.admin, poll=_POLL, stderr=stderr)
        lives_for(process, moves_at)
        if chance.random() < 0.5:
            mark(running, chance.choice(VERSIONS), f"{number} again")
        lives_for(process, killed_at - moves_at)
        process.kill()
        process.wait()
    lines = log.read_text().splitlines()
    return str(json.loads(lines[-1])["event"]) if lines else "nothing"


def lives_for(process: subprocess.Popen[str], seconds: float) -> None:
    """Let it run; it must not end by itself."""
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)


def assert_sound(running: Serving) -> None:
    """What the store shows is whole, and the worker serves one of the releases."""
    store = running.pod.store
    for release in (store / "releases").iterdir():
        assert_whole(release)
    assert (store / "current").readlink().parent.name == "releases"
    assert (store / "current").is_dir()
    assert running.pod.active() in VERSIONS
    assert running.worker.model()["version"] in VERSIONS
    assert running.pod.state()["schema"] == 1
    assert running.traffic.failures == []


def assert_converges(running: Serving, chance: random.Random) -> None:
    """The agent that is left alone gets to the last marker, and nothing is left of the others."""
    store = running.pod.store
    last = chance.choice([version for version in VERSIONS if version != running.pod.active()])
    mark(running, last, "last")
    with running.pod.sidecar(running.worker.admin, poll=_POLL) as running.sidecar:
        running.settle(last)
        assert running.sidecar.status()["attempts"] == {}
        assert last not in running.sidecar.status()["quarantined"]
    assert list((store / ".agent" / "staging").iterdir()) == []
    assert {path.stem for path in (store / ".agent" / "verified").iterdir()} == {
        path.name for path in (store / "releases").iterdir()
    }
    assert sorted(path.name for path in store.iterdir() if path.name.startswith(".")) == [".agent"]
