"""Looks at what an Azure Files share needs: a credential, and a way to its host."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from agent.doctor.findings import Finding, fail, ok
from agent.doctor.reach import Network
from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.doctor.case import Case

MISSING: Final = "storage secret missing"
CONNECT_SECONDS: Final = 4.0
_PORTS: Final = {"http": 80, "https": 443}


def credentials(case: Case) -> Iterator[Finding]:
    """Which credential is taken, and from where; never the secret itself."""
    # The SDK takes 20 MB and 0.2 s: only those who use it pay.
    from agent.shares.azurefiles import address  # noqa: PLC0415
    from agent.shares.azurefiles.credentials import Credentials  # noqa: PLC0415

    settings = case.context.settings
    parsed = address.parse(settings.share_address)
    try:
        taken = Credentials(parsed, settings.azure_secret_dir, case.environ).read()
    except ConfigError as error:
        missing = error.what.startswith("The storage secret is missing")
        yield fail(error, diagnosis=MISSING if missing else "")
        return
    case.endpoint = settings.azure_endpoint or taken.endpoint or parsed.endpoint
    yield ok(f"{taken.kind} from {taken.source}.")


def network(endpoint: str) -> Network:
    """What the endpoint's name resolves to here, and whether it accepts connections."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    proxied = bool(parts.scheme in getproxies() and not proxy_bypass(host))
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return Network(host, proxied=proxied)
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    return Network(host, addresses, connects=_connects(host, port), proxied=proxied)


def _connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
