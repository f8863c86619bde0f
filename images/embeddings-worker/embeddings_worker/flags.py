"""The worker's command line: its flags, and the variables with their defaults."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.models.devices import device as devices

if TYPE_CHECKING:
    from collections.abc import Mapping

# Variables by the flag's destination. The image sets them, so that one manifest fits all builds.
VARIABLES: Final = {"device": "EMBEDDINGS_DEVICE", "max_batch": "EMBEDDINGS_MAX_BATCH"}


def parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser of the command line; a flag wins over its variable in `environ`."""
    made = argparse.ArgumentParser(
        description="Serves embeddings of a model in a store, and loads new releases without "
        "failing a request."
    )
    add = made.add_argument
    add("--host", default="0.0.0.0", help="serving address")  # noqa: S104 - it serves a pod
    add("--port", type=int, default=8080, help="serving port; 0 picks a free one")
    add("--admin", default="127.0.0.1:8081", help="HOST:PORT on loopback, or unix:///path")
    add("--store", type=Path, default=Path("/mnt/models"), help="the local store")
    add("--model", required=True, help="the model's name, as its loader knows it")
    add(
        "--device",
        type=_device,
        default=environ.get(VARIABLES["device"], "auto"),
        help="auto (CUDA if a GPU is visible), cpu, cuda or cuda:N",
    )
    add(
        "--swap",
        choices=("beside", "replace"),
        default="beside",
        help="if memory does not hold two models: refuse the new one, or free the old one first",
    )
    most = environ.get(VARIABLES["max_batch"], "32")
    add("--max-batch", type=_positive, default=most, help="most texts in one run of the model")
    add("--batch-wait", type=float, default=2.0, help="milliseconds to wait for a batch")
    add("--threads", type=int, default=0, help="CPU threads of the model; 0: one per core")
    return made


def _device(text: str) -> str:
    try:
        return devices.request(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return value
