"""Requests that end in an error answer, in the words and headers of the real Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# By status: what an injected fault says that has no words of its own.
_WORDS: Final = {
    401: "Invalid credentials in Authorization header",
    403: "Forbidden",
    404: "Repository not found",
    429: "We had to rate limit your IP. To continue using our service, create a HF account.",
    503: "Service Unavailable",
}


class HubError(Exception):
    """An error answer.

    Args:
        status: The HTTP status.
        message: Its words, in the body and in X-Error-Message.
        code: X-Error-Code, by which clients tell errors apart; empty: there is none.
        headers: Further headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        own = {"X-Error-Code": code} if code else {}
        self.headers = own | {"X-Error-Message": message} | (headers or {})


def entry_not_found(commit: str) -> HubError:
    """The revision is there, the file is not."""
    headers = {"X-Repo-Commit": commit}
    return HubError(404, "Entry not found", code="EntryNotFound", headers=headers)


def revision_not_found(revision: str) -> HubError:
    """The repository is there, the revision is not."""
    return HubError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def repo_not_found(*, anonymous: bool) -> HubError:
    """No such repository, or none that the caller may know of; strangers are told to log in."""
    if not anonymous:
        return HubError(404, "Repository not found", code="RepoNotFound")
    challenge = {"WWW-Authenticate": 'Bearer realm="Authentication required", charset="UTF-8"'}
    return HubError(401, "Invalid username or password.", headers=challenge)


def gated_repo(repo: str, *, anonymous: bool) -> HubError:
    """The repository's files are for those who were granted access."""
    restricted = f"Access to model {repo} is restricted"
    if anonymous:
        words = "You must have access to it and be authenticated to access it. Please log in."
        return HubError(401, f"{restricted}. {words}", code="GatedRepo")
    words = "and you are not in the authorized list"
    asking = f"Visit https://huggingface.co/{repo} to ask for access."
    return HubError(403, f"{restricted} {words}. {asking}", code="GatedRepo")


def bad_credentials() -> HubError:
    """The token is no one's."""
    return HubError(401, _WORDS[401])


def injected(rule: Mapping[str, Any]) -> HubError:
    """The answer of a `status` fault: its status, and `code` and `message` where it has them."""
    status: int = rule["status"]
    message = rule.get("message") or _WORDS.get(status, "Internal Error - We're working hard")
    headers = {}
    if status == 429:
        headers["RateLimit"] = f'"resolvers";r=0;t={rule.get("retry_after", 0)}'
        headers["RateLimit-Policy"] = '"fixed window";"resolvers";q=3000;w=300'
    return HubError(status, message, code=rule.get("code", ""), headers=headers)
