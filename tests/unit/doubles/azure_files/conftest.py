"""One double over http and one over https for all tests here; each test has a share of its own."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.azure_clients import credential, key_credential, share_client
from tests.support.azure_double import Double, running_double
from tests.support.certificates import Certificate, make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.storage.fileshare import ShareClient

_NUMBERS: Final = itertools.count(1)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """What the double serves TLS with."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def _plain_double() -> Iterator[Double]:
    with running_double() as double:
        yield double


@pytest.fixture(scope="session")
def _tls_double(certificate: Certificate) -> Iterator[Double]:
    with running_double(certificate=certificate) as double:
        yield double


@pytest.fixture
def double(_plain_double: Double) -> Iterator[Double]:
    """A double over http, without faults, counting from zero."""
    _plain_double.reset_counters()
    yield _plain_double
    _plain_double.heal()


@pytest.fixture
def tls_double(_tls_double: Double) -> Iterator[Double]:
    """A double over https, without faults, counting from zero."""
    _tls_double.reset_counters()
    yield _tls_double
    _tls_double.heal()


@pytest.fixture
def share_name() -> str:
    """The name of a share that no other test uses; not yet created."""
    return f"share-{next(_NUMBERS)}"


@pytest.fixture(params=["key", "account-sas", "share-sas", "token"])
def share(
    request: pytest.FixtureRequest, double: Double, tls_double: Double, share_name: str
) -> Iterator[ShareClient]:
    """An empty share through the real SDK, once with each kind of credential."""
    kind: str = request.param
    of = tls_double if kind == "token" else double
    with share_client(of, share_name, key_credential(of)) as owner:
        owner.create_share()
    options = {"token_intent": "backup"} if kind == "token" else {}
    with share_client(of, share_name, credential(kind, of, share_name), **options) as client:
        yield client


@pytest.fixture
def keyed(double: Double, share_name: str) -> Iterator[ShareClient]:
    """An empty share through the real SDK, with the account key."""
    with share_client(double, share_name, key_credential(double)) as client:
        client.create_share()
        yield client
