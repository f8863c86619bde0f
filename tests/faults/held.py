"""Runs the embeddings worker, whose load of a release waits while a file of its name exists.

HELD=DIRECTORY python held.py ...: where these files are; all else is the worker's. A program, not a
module.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from agent.worker import Release

APP: Final = Path(__file__).parents[2] / "images" / "embeddings-worker" / "app.py"


def main() -> None:
    """Run the worker."""
    sys.path.insert(0, str(APP.parent))
    from embedder import Embedder

    held, begin = Path(os.environ["HELD"]), Embedder.__init__

    def late(self: Embedder, name: str, release: Release, **more: Any) -> None:
        while (held / release.version).exists():
            time.sleep(0.01)
        begin(self, name, release, **more)

    Embedder.__init__ = late  # type: ignore[method-assign]
    runpy.run_path(str(APP), run_name="__main__")


if __name__ == "__main__":
    main()
