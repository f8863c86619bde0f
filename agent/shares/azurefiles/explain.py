"""Turns an error of the SDK into one sentence about what happened and one about what to do."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError
from requests.exceptions import RequestException

from agent.errors import AgentError, NoSpaceError
from agent.retry import TRANSIENT_STATUS, RemoteError, retry_after
from agent.shares.azurefiles.sentences import (
    FULL,
    TRANSIENT_CODES,
    Answer,
    is_clock_skew,
    sentences,
)
from agent.shares.azurefiles.transport import StrangerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.shares.azurefiles.sentences import Asked

_ERROR: Final = 300


class ServiceError(RemoteError):
    """A request that failed; see `RemoteError`. `code` is the service's own error code."""

    def __init__(
        self,
        what: str,
        *,
        remedy: str,
        code: str | None = None,
        transient: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(what, remedy=remedy, transient=transient, retry_after=retry_after)
        self.code = code


class ClockError(ServiceError):
    """The service refuses this machine's signatures, because its clock is wrong."""


class NoCredentialError(ServiceError):
    """There is no credential: no key, no SAS, and no identity that gives a token."""


def explain(error: Exception, asked: Asked) -> AgentError:
    """Return the error to raise for `error`, without the SDK's own text: that may hold secrets.

    Args:
        error: From the SDK, from requests, or what either has Python raise.
        asked: The request.
    """
    if answer := _answer(error):
        return _answered(answer, asked) if answer.status >= _ERROR else interrupted(asked)
    if isinstance(error, ClientAuthenticationError):
        return NoCredentialError(
            f"There is no credential for {asked.share}: no key, no SAS, and no identity that gives "
            "a token.",
            remedy="Give the pod a workload identity, set AZURE_STORAGE_KEY or "
            "AZURE_STORAGE_SAS_TOKEN, or mount a Secret for --azure-secret-dir.",
        )
    if isinstance(error, AzureError | RequestException) and not isinstance(error, StrangerError):
        return _not_answered(error, asked)
    if isinstance(error, OSError) and "certificate" in str(error):
        return _without_certificates(asked)
    return _stranger(error, asked)


def _stranger(error: Exception, asked: Asked) -> ServiceError:
    """Return the error for an answer that the service never gives."""
    page = f"HTTP {error}" if isinstance(error, StrangerError) else type(error).__name__
    return ServiceError(
        f"What answers in place of {asked.host} is not Azure Files ({page}).",
        remedy="Check the proxy (HTTPS_PROXY, NO_PROXY) or gateway in between, and "
        "--azure-endpoint if it is given.",
        transient=True,
    )


def _without_certificates(asked: Asked) -> ServiceError:
    """Return the error for a CA bundle that is not there; requests has a bare OSError for it."""
    named = {name: os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")}
    bundle = next((f"{path}, which {name} names," for name, path in named.items() if path), None)
    return ServiceError(
        f"{bundle or 'The CA bundle'} cannot be read: no certificate of {asked.host} is trusted.",
        remedy="Correct the variable, or mount the file.",
    )


def _answer(error: Exception) -> Answer | None:
    response: Any = getattr(error, "response", None)
    if response is None:
        return None
    found = getattr(error, "error_code", None)
    code = response.headers.get("x-ms-error-code") or getattr(found, "value", found)
    return Answer(response.status_code, code, response.headers, str(error))


def interrupted(asked: Asked) -> ServiceError:
    """Return the error for an answer that broke off or arrived damaged; trying again may help."""
    return ServiceError(
        f"{asked.host} did not finish its answer about {asked.path or asked.share}.",
        remedy="Check the network. A sidecar keeps trying; run a command again.",
        transient=True,
    )


def _not_answered(error: Exception, asked: Asked) -> ServiceError:
    """Return the error for a connection that was not made, or that broke."""
    causes = list(_causes(error))
    host = asked.host
    if any(isinstance(c, socket.gaierror) or "NameResolution" in type(c).__name__ for c in causes):
        return ServiceError(
            f"The host name {host} cannot be resolved here.",
            remedy="Check the account's name. In a private network, check that the DNS zone "
            "privatelink.file.core.windows.net is linked to it.",
            transient=True,
        )
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return ServiceError(
            f"The certificate of {host} is not trusted here.",
            remedy="Name the CA bundle of your proxy or endpoint in REQUESTS_CA_BUNDLE.",
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return ServiceError(
            f"The TLS connection to {host} failed.",
            remedy="Check --azure-endpoint, and the proxy if there is one.",
            transient=True,
        )
    # An answer that stalls half way is reported as an error of the connection.
    stalled = any("ReadTimeout" in type(cause).__name__ for cause in causes)
    if isinstance(error, ServiceRequestError) and not stalled:
        return ServiceError(
            f"{host} does not accept connections from here.",
            remedy="Check that the private endpoint or the account's firewall allows this network, "
            "that egress to port 443 is allowed, and --azure-endpoint if it is given.",
            transient=True,
        )
    return interrupted(asked)


def _answered(answer: Answer, asked: Asked) -> AgentError:
    what, remedy = sentences(answer, asked)
    if answer.code == FULL:
        return NoSpaceError(what, remedy=remedy)
    kind = ClockError if is_clock_skew(answer) else ServiceError
    return kind(
        what,
        remedy=remedy,
        code=answer.code,
        transient=answer.status in TRANSIENT_STATUS or answer.code in TRANSIENT_CODES,
        retry_after=retry_after(answer.headers.get("Retry-After", "")),
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes; the SDK, requests and urllib3 each wrap them differently."""
    pending: list[Any] = [error]
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        pending += [one.__cause__, one.__context__, *one.args]
        pending += [getattr(one, name, None) for name in ("inner_exception", "reason")]
