"""Looks at what an Azure Files share needs: a credential, and a way to its host."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from agent.doctor.judge.findings import Finding, fail, ok
from agent.doctor.judge.reach import Failure, Network
from agent.errors import ConfigError, MissingSecretError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.doctor.case import Case
    from agent.doctor.judge.reach import Kind
    from agent.errors import UnreachableError

MISSING: Final = "storage secret missing"
CONNECT_SECONDS: Final = 4.0
_PORTS: Final = {"http": 80, "https": 443}


def credentials(case: Case) -> Iterator[Finding]:
    """Find the credential that is taken, and say where it is from; its secret is never shown."""
    # The SDK takes 20 MB and 0.2 s: only those who use it pay.
    from agent.shares.azurefiles import address  # noqa: PLC0415
    from agent.shares.azurefiles.credentials import Credentials  # noqa: PLC0415

    settings = case.settings
    parsed = address.parse(settings.share_address)
    try:
        taken = Credentials(parsed, settings.azure_secret_dir, case.environ).read()
    except MissingSecretError as error:
        yield fail(error, diagnosis=MISSING)
        return
    except ConfigError as error:
        yield fail(error)
        return
    case.endpoint = settings.azure_endpoint or taken.endpoint or parsed.endpoint
    yield ok(f"{taken.kind} from {taken.source}.")


def failure(error: UnreachableError) -> Failure:
    """Return an error of the share, with the service's code where it gave one."""
    from agent.shares.azurefiles.explain import (  # noqa: PLC0415
        ClockError,
        NoCredentialError,
        ServiceError,
    )

    kind: Kind = "other"
    if isinstance(error, ClockError):
        kind = "clock"
    elif isinstance(error, NoCredentialError):
        kind = "no credential"
    code = error.code if isinstance(error, ServiceError) else None
    return Failure(error.what, error.remedy, code, kind)


def network(endpoint: str) -> Network:
    """Return the addresses of the endpoint's host here, and whether it accepts connections."""
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
