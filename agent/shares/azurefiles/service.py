"""Calls to the service, with the current credential and our own retries.

The SDK does not retry 429, ignores Retry-After, and waits 18 s after one 503. So its retries are
off, and one policy here serves every call.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from azure.core.exceptions import AzureError
from azure.storage.fileshare import ShareClient

from agent import retry
from agent.errors import ConfigError
from agent.shares.azurefiles.explain import ServiceError, explain, interrupted
from agent.shares.azurefiles.sentences import Asked
from agent.shares.azurefiles.transport import AsStored

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.storage.fileshare import ShareDirectoryClient, ShareFileClient
    from structlog.typing import FilteringBoundLogger

    from agent.retry import RemoteError
    from agent.shares.azurefiles.address import Address
    from agent.shares.azurefiles.credentials import Credential, Credentials, Stamp

T = TypeVar("T")

# Bytes of one Put Range: the most that the service takes in one write.
PIECE: Final = 4 * 1024 * 1024
# Bytes of one GET, a chunk: fewer requests cost less of Python's time.
GET: Final = 8 * 1024 * 1024
# Requests at a time. With a chunk in a buffer for each, that is 32 MiB.
CONNECTIONS: Final = 4

# The time for which a call is tried again: QUICK if a probe or a person waits for it, PATIENT if it
# moves a release.
QUICK_SECONDS: Final = 6.0
PATIENT_SECONDS: Final = 50.0

# OSError: requests' own errors, and its word for a CA bundle that is not there. The last four: an
# answer without something that the SDK counts on, as a proxy gives it in place of the service.
_FAILURES: Final = (AzureError, OSError, AttributeError, LookupError, TypeError, ValueError)
_CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 20.0


class Service:
    """Calls the service for one share.

    Args:
        address: The share.
        credentials: The credential to use; read again when a file of the Secret changes.
        endpoint: A URL to use instead of the connection string's or the public cloud's.
        log: Receives which credential was taken, and every retry.
    """

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        *,
        endpoint: str | None,
        log: FilteringBoundLogger,
    ) -> None:
        self.address = address
        self._credentials = credentials
        self._endpoint = endpoint
        self.log = log
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._client: ShareClient | None = None
        self._asked = Asked(str(address), "", address.endpoint, "identity")

    def file(self, path: str) -> ShareFileClient:
        """Return the client of a file; `path` is the agent's, without the share's prefix."""
        return self._share().get_file_client(self.address.at(path))

    def directory(self, path: str) -> ShareDirectoryClient:
        """Return the client of a directory; `path` is the agent's."""
        return self._share().get_directory_client(self.address.at(path))

    def attempt(self, call: Callable[[], T], path: str, *, seconds: float) -> T:
        """Return the result of `call`, tried again while that may help, for about `seconds`.

        Raises:
            ServiceError: It failed for good, or for `seconds`.
            ConfigError: There is no usable credential.
        """

        def explained() -> T:
            try:
                return call()
            # The SDK wraps most of what requests raises, and checks little of what is answered.
            except _FAILURES as error:
                # Not chained: the SDK's own text may hold a SAS.
                raise explain(error, replace(self._asked, path=path)) from None

        def retried(error: RemoteError, number: int) -> None:
            self.log.warning("share.retry", error=error.what, attempt=number)

        return retry.attempt(explained, seconds=seconds, retried=retried)

    def broken_off(self, path: str) -> ServiceError:
        """Return the error to raise for an answer that cannot be read; the call is tried again."""
        return interrupted(replace(self._asked, path=path))

    def _share(self) -> ShareClient:
        with self._lock:
            stamp = self._credentials.stamp()
            if self._client is None or stamp != self._stamp:
                credential = self._credentials.read()
                self._client, self._stamp = self._connect(credential), stamp
                self.log.info(
                    "share.credential",
                    share=str(self.address),
                    kind=credential.kind,
                    source=credential.source,
                )
            return self._client

    def _connect(self, credential: Credential) -> ShareClient:
        endpoint = self._endpoint or credential.endpoint or self.address.endpoint
        scheme, _, host = endpoint.partition("://")
        if credential.kind == "identity" and scheme != "https":
            raise ConfigError(
                f"An identity's token is sent over https only, and {endpoint} is not https.",
                remedy="Give --azure-endpoint with https, or a key or SAS.",
            )
        self._asked = Asked(str(self.address), "", host, credential.kind)
        # The service takes a token only with this intent: then the role counts, not file ACLs.
        intent: dict[str, Any] = {"token_intent": "backup"} if credential.kind == "identity" else {}
        transport = AsStored(
            connection_timeout=_CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            connection_data_block_size=GET,
        )
        return ShareClient(
            endpoint,
            self.address.share,
            credential=credential.value,
            retry_total=0,
            transport=transport,
            max_single_get_size=GET,
            max_chunk_get_size=PIECE,
            **intent,
        )
