"""Runs the embeddings worker, whose load of a release waits while a file of its name exists.

HELD=DIRECTORY python held.py ...: where these files are; all else is the worker's. A program, not a
module.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embeddings_worker import main as worker
from embeddings_worker.embedder import Embedder

if TYPE_CHECKING:
    from agent.worker import Release


def main() -> None:
    """Run the worker."""
    held, begin = Path(os.environ["HELD"]), Embedder.__init__

    def late(self: Embedder, name: str, release: Release, **more: Any) -> None:
        while (held / release.version).exists():
            time.sleep(0.01)
        begin(self, name, release, **more)

    Embedder.__init__ = late  # type: ignore[method-assign]
    worker.main()


if __name__ == "__main__":
    main()
