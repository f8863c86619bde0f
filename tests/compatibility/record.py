"""Records `tests/compatibility/0.1.0`, by 0.1.0's own commands and worker: `make fixtures`.

Nothing in there is written by hand, and nothing by today's agent: only the models that releases
are made of, and the double of a worker where a scene wants one that fails, are this checkout's.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.compatibility import old, scenes, shares, trees
from tests.compatibility.pods import stand

if TYPE_CHECKING:
    from tests.support.pods import Pod

# In the order in which they are told; each begins with an empty store.
SCENES = (
    scenes.started,
    scenes.settled,
    scenes.half_staged,
    scenes.waiting,
    scenes.quarantined,
    scenes.unfinished,
    scenes.worn_out,
    scenes.pointed,
    scenes.rotten,
    scenes.outdated,
    scenes.left_over,
)


def main() -> None:
    """Record everything anew, and put it in the place of what was there."""
    if reason := old.why_not():
        sys.exit(reason)
    installed = old.imported()
    assert installed.is_relative_to(old.HOME), f"{installed} is not 0.1.0"
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "recorded"
        trees.ROOM.mkdir()  # two at once would mix
        try:
            _record(trees.Keeper(home))
        finally:
            shutil.rmtree(trees.ROOM)
        shutil.rmtree(trees.HOME, ignore_errors=True)
        shutil.copytree(home, trees.HOME)


def _record(keeper: trees.Keeper) -> None:
    pod = stand(trees.ROOM, first=True)
    shares.record(pod, keeper)
    for scene in SCENES:
        _begin(pod)
        scene(pod, keeper)
        name = scene.__name__.replace("_", "-")
        keeper.say(f"stores/{name}.status.json", pod.agent("status", "--json"))
        keeper.say(f"stores/{name}.VERSION", (pod.share.root / "VERSION").read_bytes())
        keeper.keep(pod.store, f"stores/{name}")
        print(name)
    _begin(pod)
    scenes.record_worker(pod, keeper)
    shares.record_by_hand(stand(trees.ROOM / "by-hand", first=True), keeper)


def _begin(pod: Pod) -> None:
    shutil.rmtree(pod.store)
    pod.store.mkdir()
    (pod.share.root / "VERSION").unlink(missing_ok=True)
    pod.agent("promote", "v1")


if __name__ == "__main__":
    main()
