"""Explains errors of huggingface_hub, and what to do. Only the child imports this."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Final

import httpx
from huggingface_hub import errors as hub

from agent.errors import AgentError, ReleaseMissingError, VerificationError
from agent.retry import TRANSIENT_STATUS, RemoteError, retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN: Final = "Set HF_TOKEN to a token of somebody who may read it"  # noqa: S105 - no secret


def explain(error: Exception, *, repo: str, about: str, endpoint: str) -> AgentError:
    """Return our error for one that came while `about` was asked of `repo`."""
    known = _missing(error, repo=repo, about=about)
    if known:
        return known
    response = next((r for e in _causes(error) if (r := getattr(e, "response", None))), None)
    if response is not None:
        return _answered(response, repo=repo, about=about, endpoint=endpoint)
    if settled := _set_up(error, endpoint):
        return settled
    if isinstance(error, hub.OfflineModeIsEnabled):
        return RemoteError(
            f"The Hub is not asked for {repo}: HF_HUB_OFFLINE is set.",
            remedy="Unset it, or publish the release from where the Hub can be reached.",
        )
    if isinstance(error, KeyError | ValueError):
        return _misread(error, repo=repo, endpoint=endpoint)
    return RemoteError(
        f"The Hub at {endpoint} does not answer about {about} of {repo}.",
        remedy="Check the network, the proxy and HF_ENDPOINT.",
        transient=True,
    )


def _misread(error: KeyError | ValueError, *, repo: str, endpoint: str) -> AgentError:
    """Return the error for an answer that is no Hub's, or leaves out a field of a large file."""
    if isinstance(error, KeyError):
        return undigested(f"{error.args[0]} for a large file", repo=repo, endpoint=endpoint)
    return RemoteError(
        f"{endpoint} does not answer as a Hub does.",
        remedy="Check HF_ENDPOINT, and whether a proxy asks to sign in.",
        transient=True,
    )


def undigested(what: str, *, repo: str, endpoint: str) -> VerificationError:
    """Return the error for a file whose digest is left out, as mirrors and caching proxies may.

    No release is made of bytes that nobody vouches for.
    """
    return VerificationError(
        f"{endpoint} gives no {what} of {repo}, so its bytes cannot be verified.",
        remedy="Set HF_ENDPOINT to the Hub, or to a mirror that passes on the Hub's digests; or "
        "publish a tree that you trust: model-agent publish --from DIR.",
    )


def _set_up(error: Exception, endpoint: str) -> RemoteError | None:
    """Return the error for what no further try mends: certificates, a proxy, an address."""
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return RemoteError(
            f"The certificate of {endpoint} is not trusted here.",
            remedy="Name the CA bundle of your proxy or mirror in SSL_CERT_FILE.",
        )
    bundle = os.environ.get("SSL_CERT_FILE")
    if bundle and any(isinstance(cause, FileNotFoundError) for cause in causes):
        return RemoteError(
            f"{bundle}, which SSL_CERT_FILE names, cannot be read.",
            remedy="Correct the variable, or mount the file.",
        )
    if refused := next((cause for cause in causes if isinstance(cause, httpx.ProxyError)), None):
        return RemoteError(
            f"The proxy refuses to connect to {endpoint} ({refused}).",
            remedy="Check HTTPS_PROXY, its user and password, NO_PROXY, and what the proxy allows.",
        )
    if any(isinstance(cause, httpx.UnsupportedProtocol) for cause in causes):
        return RemoteError(
            f"HF_ENDPOINT is {endpoint!r}, which does not begin with https:// or http://.",
            remedy="Write the address of the mirror in full.",
        )
    return None


def _missing(error: Exception, *, repo: str, about: str) -> AgentError | None:
    if isinstance(error, hub.GatedRepoError):
        return RemoteError(
            f"The model {repo} is gated: its terms must be accepted first.",
            remedy=f"Accept them on the model's page. {_TOKEN}.",
            transient=False,
        )
    if isinstance(error, hub.RevisionNotFoundError):
        return ReleaseMissingError(
            f"The model {repo} has no {about}.",
            remedy="Pin one that it has: model-agent catalog pin FILE.",
        )
    if isinstance(error, hub.EntryNotFoundError) and not isinstance(
        error, hub.LocalEntryNotFoundError
    ):
        return ReleaseMissingError(
            f"{repo} has no file {about} at that revision.", remedy="Pin another revision."
        )
    if isinstance(error, hub.RepositoryNotFoundError):
        return ReleaseMissingError(
            f"The Hub has no model {repo}, or it is private.",
            remedy=f"Check its name in the catalog. {_TOKEN} if it is private.",
        )
    return None


def _answered(response: httpx.Response, *, repo: str, about: str, endpoint: str) -> RemoteError:
    status = response.status_code
    if status in {401, 403}:
        return RemoteError(
            f"The Hub refuses {about} of {repo} ({status}).", remedy=f"{_TOKEN}.", transient=False
        )
    return RemoteError(
        f"The Hub at {endpoint} is busy or throttles ({status}) about {about} of {repo}.",
        remedy="Wait, or set HF_TOKEN: known users are throttled less.",
        transient=status in TRANSIENT_STATUS,
        retry_after=retry_after(response.headers.get("Retry-After", "")),
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes: huggingface_hub hides a refusal behind 'not in the cache'."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
