"""The doctor's diagnosis of an Azure Files share that cannot be had."""

from __future__ import annotations

import pytest

from agent.doctor.judge import reach
from agent.doctor.judge.reach import Failure, Network

HOST = "acct.file.core.windows.net"
PUBLIC = Network(HOST, ("20.60.1.2",))
PRIVATE = Network(HOST, ("10.0.0.4", "fd00::4"))
SILENT = Failure(f"{HOST} does not accept connections from here.", "Check it.")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("AuthenticationFailed", "wrong credentials"),
        ("InvalidAuthenticationInfo", "wrong credentials"),
        ("KeyBasedAuthenticationNotPermitted", "wrong credentials"),
        ("AuthorizationPermissionMismatch", "missing role or permission"),
        ("InsufficientAccountPermissions", "missing role or permission"),
        ("ShareNotFound", "no such share"),
        ("ServerBusy", ""),
    ],
)
def test_what_the_service_says(code: str, name: str) -> None:
    """An answer is named by its code; the network has no part in it, and the words stay."""
    found = reach.diagnose(Failure("It says no.", "Do this.", code), PUBLIC)
    assert (found.name, found.what, found.remedy) == (name, "It says no.", "Do this.")


def test_clock_and_missing_credential() -> None:
    """A clock that is off is not called a wrong credential; none at all is."""
    clock = Failure("It is 900 s behind.", "Set it.", "AuthenticationFailed", "clock")
    assert reach.diagnose(clock, PUBLIC).name == "wrong clock"
    none = Failure("There is no key.", "Give one.", kind="no credential")
    assert reach.diagnose(none, PUBLIC).name == "wrong credentials"


def test_a_public_address_that_does_not_answer() -> None:
    """Then the private DNS zone may not be linked, or the firewall or egress is closed."""
    found = reach.diagnose(SILENT, PUBLIC)
    assert found.name == "share not reachable"
    assert "resolves to the public address 20.60.1.2" in found.what
    assert "link the private DNS zone privatelink.file.core.windows.net" in found.remedy


def test_a_private_address_that_does_not_answer() -> None:
    """Then DNS is right, and the private endpoint or the way to it is not."""
    found = reach.diagnose(SILENT, PRIVATE)
    assert found.name == "share not reachable"
    assert "resolves to the private address 10.0.0.4" in found.what
    assert "private endpoint is approved" in found.remedy


@pytest.mark.parametrize("network", [Network(HOST), Network(HOST, ("20.60.1.2",), connects=True)])
def test_no_address_or_a_connection(network: Network) -> None:
    """Where the address says nothing, the share's own words stay."""
    found = reach.diagnose(SILENT, network)
    assert found == reach.Diagnosis("share not reachable", SILENT.what, SILENT.remedy)


def test_a_proxy() -> None:
    """Behind a proxy the name's address says nothing, and the proxy is named."""
    found = reach.diagnose(SILENT, Network(HOST, ("20.60.1.2",), proxied=True))
    assert (found.what, "HTTPS_PROXY" in found.remedy) == (SILENT.what, True)


def test_kept_out_by_the_firewall() -> None:
    """AuthorizationFailure over a public address is the network's fault, else the role's."""
    failure = Failure("It may not.", "Give it a role.", "AuthorizationFailure")
    outside = reach.diagnose(failure, PUBLIC)
    assert (outside.name, "public address" in outside.what) == ("share not reachable", True)
    assert "private DNS zone" in outside.remedy
    inside = reach.diagnose(failure, PRIVATE)
    assert (inside.name, inside.remedy) == ("missing role or permission", "Give it a role.")
