"""Who may see a repository, and who may have its files."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from tests.doubles.hub.huberror import bad_credentials, gated_repo, repo_not_found


class Caller(Enum):
    """Whom a request is from."""

    ANONYMOUS = auto()
    OUTSIDER = auto()
    OWNER = auto()

    @property
    def anonymous(self) -> bool:
        """Whether it came without a token."""
        return self is Caller.ANONYMOUS


@dataclass(frozen=True)
class Door:
    """What tokens open.

    Attributes:
        token: The owner's; where there is one, repositories that are not gated are private. None:
            every token is the owner's.
        outsider: The token of an account that has been granted nothing.
        gated: Repositories that all may look at, and whose files the owner alone may have.
    """

    token: str | None
    outsider: str | None
    gated: frozenset[str]

    def caller(self, authorization: str | None) -> Caller:
        """Whom a request with this Authorization header is from.

        Raises:
            HubError: Its token is no one's.
        """
        if authorization is None:
            return Caller.ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or not token:
            raise bad_credentials()
        if token == self.outsider:
            return Caller.OUTSIDER
        if self.token in {None, token}:
            return Caller.OWNER
        raise bad_credentials()

    def is_private(self, repo: str) -> bool:
        """Whether the repository is for its owner only."""
        return self.token is not None and repo not in self.gated

    def check_repo(self, caller: Caller, repo: str) -> None:
        """Let the caller know of the repository.

        Raises:
            HubError: It is private, which looks as if it were not there.
        """
        if self.is_private(repo) and caller is not Caller.OWNER:
            raise repo_not_found(anonymous=caller.anonymous)

    def check_files(self, caller: Caller, repo: str) -> None:
        """Let the caller have the repository's files.

        Raises:
            HubError: It is gated.
        """
        if repo in self.gated and caller is not Caller.OWNER:
            raise gated_repo(repo, anonymous=caller.anonymous)
