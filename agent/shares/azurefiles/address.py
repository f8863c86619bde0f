"""What `azurefiles://ACCOUNT/SHARE[/PREFIX]` says. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from agent.errors import ConfigError
from agent.release import paths

SCHEME: Final = "azurefiles://"
FORM: Final = f"{SCHEME}ACCOUNT/SHARE[/PREFIX]"

# "Naming and Referencing Shares", "Storage account overview" (Microsoft).
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_SHARE = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True)
class Address:
    """One share, and where in it the marker and the releases are.

    Attributes:
        account: The storage account.
        share: The share in it.
        prefix: The directory in the share, without slashes around it; empty for the root.
    """

    account: str
    share: str
    prefix: str = ""

    def __str__(self) -> str:
        """As `--share` takes it."""
        return f"{SCHEME}{'/'.join(filter(None, (self.account, self.share, self.prefix)))}"

    @property
    def endpoint(self) -> str:
        """Where the public cloud has the account."""
        return f"https://{self.account}.file.core.windows.net"

    def at(self, path: str) -> str:
        """`path` of the agent as a path in the share."""
        return "/".join(filter(None, (self.prefix, path)))


def parse(text: str) -> Address:
    """Take `--share` apart.

    Raises:
        ConfigError: It is no such address, or names what no account or share can be called.
    """
    text, query, _ = text.partition("?")
    if query:
        raise ConfigError(
            f"--share {text[:200]!r} is followed by a query.",
            remedy=f"Write {FORM}; a SAS goes into AZURE_STORAGE_SAS_TOKEN.",
        )
    account, _, rest = text.removeprefix(SCHEME).partition("/")
    share, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    problem = (
        (not _ACCOUNT.fullmatch(account) and f"{account!r} is no storage account's name")
        or (not _SHARE.fullmatch(share) and f"{share!r} is no share's name")
        or (prefix and (reason := paths.problem(prefix)) and f"the prefix {prefix!r} {reason}")
    )
    if problem:
        raise ConfigError(
            f"--share {text[:200]!r}: {problem}.",
            remedy=f"Write {FORM}.",
        )
    return Address(account, share, prefix)
