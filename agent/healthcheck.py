"""The health check of a container, for engines that run a command as a health check.

python -m agent.healthcheck [PORT]; the exit status is 0 if the program is alive, else 1. Without
PORT it asks the sidecar at `MODEL_AGENT_LISTEN`. Kubernetes asks `/healthz` itself.
"""

from __future__ import annotations

import http.client
import os
import sys
from typing import Final

from agent.quantities import address

_DEFAULT: Final = "0.0.0.0:9090"
_SECONDS: Final = 3.0
# The address to ask if a server listens on every address.
_LOOPBACK: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def main() -> int:
    """Ask `/healthz` and return the exit status: 0 if the answer is 200, else 1."""
    host, port = address(os.environ.get("MODEL_AGENT_LISTEN") or _DEFAULT)
    if sys.argv[1:]:
        host, port = "", int(sys.argv[1])
    connection = http.client.HTTPConnection(_LOOPBACK.get(host, host), port, timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return 0 if connection.getresponse().status == http.client.OK else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
