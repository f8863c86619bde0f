"""Why an Azure Files share cannot be had: what failed, held to what its name resolves to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

# An address block that only a private endpoint, a VPN or this machine has is not global.
NOT_REACHABLE: Final = "share not reachable"
WRONG_CREDENTIALS: Final = "wrong credentials"
MISSING_ROLE: Final = "missing role or permission"
WRONG_CLOCK: Final = "wrong clock"
NO_SHARE: Final = "no such share"

_ZONE: Final = "privatelink.file.core.windows.net"
_CLOCK: Final = "The clock here is"
# "Common REST API error codes" (Microsoft). The service answers the last one to networks that the
# account's firewall keeps out, whatever the credential.
_SHARE_CODES: Final = ("ShareNotFound", "ShareBeingDeleted", "ShareDisabled")
_CREDENTIAL_CODES: Final = (
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
    "NoAuthenticationInformation",
    "KeyBasedAuthenticationNotPermitted",
)
_KEPT_OUT: Final = "AuthorizationFailure"
_NO_CREDENTIAL: Final = "There is no credential"


@dataclass(frozen=True)
class Network:
    """What was seen of the host.

    Attributes:
        host: Its name.
        addresses: What the name resolves to here; empty if to nothing.
        connects: Whether it accepts a TCP connection.
        proxied: Whether requests go through a proxy, so that the rest says little.
    """

    host: str
    addresses: tuple[str, ...] = ()
    connects: bool = False
    proxied: bool = False

    @property
    def public(self) -> str | None:
        """An address that the whole Internet has, if there is one."""
        return next((a for a in self.addresses if ip_address(a).is_global), None)


@dataclass(frozen=True)
class Failure:
    """What the share said of itself; `code` is the service's, None if it did not answer."""

    what: str
    remedy: str
    code: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """A name for the trouble (or none), what was seen, and what to do."""

    name: str
    what: str
    remedy: str


def diagnose(failure: Failure, network: Network) -> Diagnosis:
    """Name the trouble; where the network has a part in it, say which."""
    if name := _name(failure):
        return Diagnosis(name, failure.what, failure.remedy)
    if failure.code == _KEPT_OUT:
        return _kept_out(failure, network)
    if failure.code is not None:
        return Diagnosis("", failure.what, failure.remedy)
    return _not_answered(failure, network)


def _name(failure: Failure) -> str:
    code = failure.code or ""
    if failure.what.startswith(_CLOCK):
        return WRONG_CLOCK
    if code in _CREDENTIAL_CODES or failure.what.startswith(_NO_CREDENTIAL):
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
