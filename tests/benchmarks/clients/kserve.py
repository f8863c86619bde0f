"""Downloads the release with kserve-storage, in that package's own virtual environment.

It knows Azure Files by its public host name alone, so that name is led to the loopback address.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.clients.clock import measured


def main() -> None:
    """Download the URL of the second argument into the directory of the first."""
    target, url = sys.argv[1:]
    storage = importlib.import_module("kserve_storage")
    importlib.import_module("azure.storage.fileshare")  # it would do so itself, on the clock
    _lead(urlsplit(url).netloc, urlsplit(os.environ["MODEL_AGENT_AZURE_ENDPOINT"]).port)
    with measured():
        storage.Storage.download(url, target)


def _lead(name: str, port: int | None) -> None:
    """Let the name `name` stand for `port` of the loopback address, in this process."""
    resolve: Any = socket.getaddrinfo

    def instead(host: Any, service: Any, *args: Any, **options: Any) -> Any:
        there = ("127.0.0.1", port) if host == name else (host, service)
        return resolve(*there, *args, **options)

    vars(socket)["getaddrinfo"] = instead


if __name__ == "__main__":
    main()
