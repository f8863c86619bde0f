"""The real SDK's clients of a double, one for each kind of credential."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from azure.core.credentials import AccessToken, AzureNamedKeyCredential
from azure.storage.fileshare import (
    AccountSasPermissions,
    ResourceTypes,
    ShareClient,
    ShareSasPermissions,
    generate_account_sas,
    generate_share_sas,
)
from azure.storage.fileshare.aio import ShareClient as AsyncShareClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.core.exceptions import HttpResponseError

    from tests.support.azure_double import Double


class StaticToken:
    """A token credential that always has the same token.

    Args:
        token: The token.
    """

    def __init__(self, token: str = "header.claims.signature") -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """The token, good for an hour."""
        return AccessToken(self._token, int(time.time()) + 3600)

    def close(self) -> None:
        """Nothing to close."""


class AsyncStaticToken(StaticToken):
    """The same for the SDK's async clients."""

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:  # type: ignore[override]
        """The token, good for an hour."""
        return super().get_token()

    async def close(self) -> None:  # type: ignore[override]
        """Nothing to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""


def code_of(error: HttpResponseError) -> str:
    """The service's error code; the SDK adds it to its exceptions without declaring it."""
    code: str = vars(error)["error_code"]
    return code


def soon(minutes: float = 30) -> datetime:
    """A moment from now."""
    return datetime.now(UTC) + timedelta(minutes=minutes)


def key_credential(double: Double) -> AzureNamedKeyCredential:
    """The account's name and key."""
    return AzureNamedKeyCredential(double.account, double.key)


def account_sas(double: Double, **changes: Any) -> str:
    """An account SAS that allows everything for half an hour; `changes` replace arguments."""
    arguments: dict[str, Any] = {
        "resource_types": ResourceTypes(service=True, container=True, object=True),
        "permission": AccountSasPermissions(read=True, write=True, delete=True, list=True),
        "expiry": soon(),
    }
    return generate_account_sas(double.account, double.key, **(arguments | changes))


def share_sas(double: Double, share: str, **changes: Any) -> str:
    """A service SAS for one share; `changes` replace arguments."""
    arguments: dict[str, Any] = {
        "permission": ShareSasPermissions(read=True, write=True, delete=True, list=True),
        "expiry": soon(),
    }
    return generate_share_sas(double.account, share, double.key, **(arguments | changes))


def credential(kind: str, double: Double, share: str) -> Any:
    """A credential of one of four kinds: `key`, `account-sas`, `share-sas`, `token`."""
    made: dict[str, Callable[[], Any]] = {
        "key": lambda: key_credential(double),
        "account-sas": lambda: account_sas(double),
        "share-sas": lambda: share_sas(double, share),
        "token": StaticToken,
    }
    return made[kind]()


def share_client(double: Double, share: str, credential: Any, **options: Any) -> ShareClient:
    """A client that tries once; `options` replace its settings."""
    return ShareClient(double.url, share, credential=credential, **_settings(double, options))


def async_share_client(
    double: Double, share: str, credential: Any, **options: Any
) -> AsyncShareClient:
    """An async client that tries once; `options` replace its settings."""
    return AsyncShareClient(double.url, share, credential=credential, **_settings(double, options))


def _settings(double: Double, options: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {"retry_total": 0}
    if double.ca:
        settings["connection_verify"] = str(double.ca)
    return settings | options
