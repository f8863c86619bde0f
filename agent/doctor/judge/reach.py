"""Names the reason why an Azure Files share cannot be used. Pure.

The reason follows from the error of the service, or from the address that the host's name has here.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal

NOT_REACHABLE: Final = "share not reachable"
WRONG_CREDENTIALS: Final = "wrong credentials"
MISSING_ROLE: Final = "missing role or permission"
WRONG_CLOCK: Final = "wrong clock"
NO_SHARE: Final = "no such share"

_ZONE: Final = "privatelink.file.core.windows.net"
# "Common REST API error codes" (Microsoft).
_SHARE_CODES: Final = ("ShareNotFound", "ShareBeingDeleted", "ShareDisabled")
_CREDENTIAL_CODES: Final = (
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
    "NoAuthenticationInformation",
    "KeyBasedAuthenticationNotPermitted",
)
# The answer to networks that the account's firewall keeps out, whatever the credential.
_KEPT_OUT: Final = "AuthorizationFailure"

# The kinds of failure that no code of the service tells: this machine's clock is off, or it has no
# credential. The others are told by their code, or by the network.
Kind = Literal["clock", "no credential", "other"]


@dataclass(frozen=True)
class Network:
    """The way to the share's host, as seen from here.

    Attributes:
        host: Its name.
        addresses: The addresses that the name has here; empty without any.
        connects: Whether it accepts a TCP connection.
        proxied: Whether requests go through a proxy, so that the rest says little.
    """

    host: str
    addresses: tuple[str, ...] = ()
    connects: bool = False
    proxied: bool = False

    @property
    def public(self) -> str | None:
        """An address that is not of a private endpoint, a VPN or this machine; None without one."""
        return next((a for a in self.addresses if ip_address(a).is_global), None)


@dataclass(frozen=True)
class Failure:
    """The error of the share.

    Attributes:
        what: What happened, in a sentence.
        remedy: What to do about it, in a sentence.
        code: The service's error code; None if it did not answer.
        kind: What no code tells.
    """

    what: str
    remedy: str
    code: str | None = None
    kind: Kind = "other"


@dataclass(frozen=True)
class Diagnosis:
    """The name of the trouble, empty without one; what was seen; what to do."""

    name: str
    what: str
    remedy: str


def diagnose(failure: Failure, network: Network) -> Diagnosis:
    """Return the name of the trouble, and what the network has to do with it."""
    if name := _name(failure):
        return Diagnosis(name, failure.what, failure.remedy)
    if failure.code == _KEPT_OUT:
        return _kept_out(failure, network)
    if failure.code is not None:
        return Diagnosis("", failure.what, failure.remedy)
    return _not_answered(failure, network)


def _name(failure: Failure) -> str:
    code = failure.code or ""
    if failure.kind == "clock":
        return WRONG_CLOCK
    if code in _CREDENTIAL_CODES or failure.kind == "no credential":
        return WRONG_CREDENTIALS
    if code in _SHARE_CODES:
        return NO_SHARE
    permission = code.startswith("Authorization") or code == "InsufficientAccountPermissions"
    return MISSING_ROLE if permission and code != _KEPT_OUT else ""


def _kept_out(failure: Failure, network: Network) -> Diagnosis:
    if network.public is None or network.proxied:
        return Diagnosis(MISSING_ROLE, failure.what, failure.remedy)
    return Diagnosis(
        NOT_REACHABLE,
        f"{failure.what} {_resolves(network)}",
        f"Link the private DNS zone {_ZONE} to this network if the account has a private "
        "endpoint, or let this network in through the account's firewall.",
    )


def _not_answered(failure: Failure, network: Network) -> Diagnosis:
    if network.proxied:
        remedy = f"{failure.remedy} It is asked through the proxy of HTTPS_PROXY or HTTP_PROXY."
        return Diagnosis(NOT_REACHABLE, failure.what, remedy)
    if network.connects or not network.addresses:
        return Diagnosis(NOT_REACHABLE, failure.what, failure.remedy)
    if network.public:
        remedy = (
            f"If the account has a private endpoint, link the private DNS zone {_ZONE} to this "
            "network; if not, allow egress to port 443 and let this network in through the "
            "account's firewall."
        )
    else:
        remedy = (
            "Check that the private endpoint is approved, and that routes, security groups and "
            "network policies let this pod reach it; check --azure-endpoint if it is given."
        )
    return Diagnosis(NOT_REACHABLE, f"{failure.what} {_resolves(network)}", remedy)


def _resolves(network: Network) -> str:
    kind = "public" if network.public else "private"
    address = network.public or network.addresses[0]
    return f"The name resolves to the {kind} address {address}."
