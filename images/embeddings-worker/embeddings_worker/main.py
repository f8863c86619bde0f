"""The worker's main program: from its command line to its exit code."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final, NoReturn

from agent.errors import ConfigError
from agent.models.devices import device as devices
from agent.worker import Holder, admin_listener
from agent.worker.background import return_large_blocks
from agent.worker.room import Room
from embeddings_worker.api import serving_app
from embeddings_worker.batching import Batcher
from embeddings_worker.embedder import Embedder, share_threads
from embeddings_worker.flags import parser
from embeddings_worker.serving import serving_listener

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from agent.models.devices.device import Device
    from agent.worker import Release

_MILLISECONDS: Final = 1000


def main() -> NoReturn:
    """Serve until SIGTERM or SIGINT, and exit: with 0, or with 2 if an address cannot be used."""
    _leave(_run())


def _run() -> int:
    settings = parser(os.environ).parse_args()
    # Each reload ends with a garbage collection, which stops all requests while it visits every
    # object (18 ms, measured). Objects that are imported by now live for ever, so it skips them.
    gc.freeze()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    try:
        asyncio.run(_serve(settings))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


class _Models:
    """Loads and checks models, one at a time, and measures the memory that they take."""

    def __init__(self, name: str, device: Device, max_batch: int) -> None:
        self._name = name
        self._device = device
        self._max_batch = max_batch
        self._free: int | None = None
        self.room = Room(device, name)

    def load(self, release: Release) -> Embedder:
        self._free = self.room.free()
        return Embedder(self._name, release, device=self._device, max_batch=self._max_batch)

    def check(self, model: Embedder, release: Release) -> None:
        model.check()
        self.room.note(release, self._free)


async def _serve(settings: argparse.Namespace) -> None:
    share_threads(settings.threads)
    return_large_blocks()
    device = devices.choose(settings.device)
    models = _Models(settings.model, device, settings.max_batch)
    holder = Holder(models.load, models.check, swap=settings.swap, fits=models.room.misfit)
    batcher = Batcher(
        holder, max_batch=settings.max_batch, wait=settings.batch_wait / _MILLISECONDS
    )
    stopping = _signals(holder, settings.store)
    app = serving_app(holder, batcher, model=settings.model)
    batcher.start()
    async with (
        admin_listener(holder, store=settings.store, address=settings.admin) as admin,
        serving_listener(app, settings.host, settings.port) as serving,
    ):
        holder.follow(settings.store)
        _announce(serving=serving, admin=admin)
        await stopping.wait()
    batcher.stop(timeout=1.0)


def _signals(holder: Holder[Embedder], store: Path) -> asyncio.Event:
    """Handle signals: SIGTERM and SIGINT set the returned event, SIGHUP reads `current` again."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, holder.follow, store)
    return stopping


def _announce(*, serving: str, admin: str) -> None:
    line = {"event": "worker.listening", "serving": serving, "admin": admin}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _leave(code: int) -> NoReturn:
    """Exit; if a model still runs in a thread, skip the interpreter's shutdown.

    The shutdown ends that thread when it returns from onnxruntime, which aborts the process (exit
    134).
    """
    if threading.active_count() > 1:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
