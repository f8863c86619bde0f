"""A publisher that stops before it commits, says so, and waits to be killed.

Run it with the address of a share and its endpoint.
"""

from __future__ import annotations

import sys
import threading
import time

from agent import logs
from agent.shares import lock
from tests.unit.shares.conformance.clients import connect
from tests.unit.shares.conformance.releases import publication


def main(address: str, endpoint: str) -> None:
    """Publish v1 under its lock, as far as that goes."""
    logs.configure("json")
    share, stop = connect(address, endpoint), threading.Event()

    def wait() -> None:
        print("staged", flush=True)
        time.sleep(600)

    with lock.held(share.lock_file("publish-v1"), timeout=10, stop=stop, log=logs.get()):
        share.publish(publication(check=wait))


if __name__ == "__main__":
    main(*sys.argv[1:])
