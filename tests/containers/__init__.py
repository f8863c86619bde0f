"""Tests of the images, as they run on an engine; see `make test-containers`."""

import os

# testcontainers reads them as it is imported, so they are set before any module of this package.
# Ports of containers are asked for on this host, whatever /.dockerenv makes of it.
os.environ |= {
    "TESTCONTAINERS_RYUK_DISABLED": "true",
    "TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1",
    "TESTCONTAINERS_CONNECTION_MODE": "docker_host",
}
