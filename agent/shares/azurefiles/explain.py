"""Turns an error of the SDK into one sentence about what happened and one about what to do."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from agent.retry import TRANSIENT_STATUS, RemoteError, retry_after
from agent.shares.azurefiles.sentences import TRANSIENT_CODES, Answer, is_clock_skew, sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.core.exceptions import AzureError
    from requests.exceptions import RequestException

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


def explain(error: AzureError | RequestException, asked: Asked) -> ServiceError:
    """Return the error to raise for `error`, without the SDK's own text: that may hold secrets."""
    if answer := _answer(error):
        return _answered(answer, asked) if answer.status >= _ERROR else interrupted(asked)
    if isinstance(error, ClientAuthenticationError):
        return NoCredentialError(
            f"There is no credential for {asked.share}: no key, no SAS, and no identity that gives "
            "a token.",
            remedy="Give the pod a workload identity, set AZURE_STORAGE_KEY or "
            "AZURE_STORAGE_SAS_TOKEN, or mount a Secret for --azure-secret-dir.",
        )
    return _not_answered(error, asked)


def _answer(error: AzureError | RequestException) -> Answer | None:
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


def _not_answered(error: AzureError | RequestException, asked: Asked) -> ServiceError:
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


def _answered(answer: Answer, asked: Asked) -> ServiceError:
    what, remedy = sentences(answer, asked)
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
