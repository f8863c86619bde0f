"""The address `azurefiles://ACCOUNT/SHARE[/PREFIX]`, parsed. Pure: no I/O."""

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


# As the portal shows a share, and as Windows and `mount` name it.
_ELSEWHERE = re.compile(
    r"(?:https?:|smb:)?[/\\]{2}(?P<account>[a-z0-9]{3,24})\.file\.[^/\\?@]+[/\\]+(?P<rest>[^?]+)"
)


@dataclass(frozen=True)
class Address:
    """One share, and the directory in it that holds the marker and the releases.

    Attributes:
        account: The storage account.
        share: The share in it.
        prefix: The directory in the share, without slashes around it; empty for the root.
    """

    account: str
    share: str
    prefix: str = ""

    def __str__(self) -> str:
        """Return the address in the form that `--share` takes."""
        return f"{SCHEME}{'/'.join(filter(None, (self.account, self.share, self.prefix)))}"

    @property
    def endpoint(self) -> str:
        """The account's URL in the public cloud."""
        return f"https://{self.account}.file.core.windows.net"

    def at(self, path: str) -> str:
        """Return the path in the share for `path` of the agent, with the prefix before it."""
        return "/".join(filter(None, (self.prefix, path)))


def meant(text: str) -> Address | None:
    """Return the share that is named by its URL or its UNC path; None for anything else."""
    if not (found := _ELSEWHERE.match(text)):
        return None
    try:
        return parse(f"{SCHEME}{found['account']}/{found['rest'].replace(chr(92), '/')}")
    except ConfigError:
        return None


def parse(text: str) -> Address:
    """Return the address that `--share` gives.

    Raises:
        ConfigError: It is not such an address, or a name in it cannot be an account's or share's.
    """
    text, query, _ = text.partition("?")
    if query:
        raise ConfigError(
            f"--share {text[:200]!r} is followed by a query ('?…').",
            remedy=f"Write {FORM}; a SAS goes into AZURE_STORAGE_SAS_TOKEN.",
        )
    account, _, rest = text.removeprefix(SCHEME).partition("/")
    share, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    problem = (
        (not _ACCOUNT.fullmatch(account) and f"{account!r} cannot be a storage account's name")
        or (not _SHARE.fullmatch(share) and f"{share!r} cannot be a share's name")
        or (prefix and (reason := paths.problem(prefix)) and f"the prefix {prefix!r} {reason}")
    )
    if problem:
        raise ConfigError(
            f"--share {text[:200]!r}: {problem}.",
            remedy=f"Write {FORM}.",
        )
    return Address(account, share, prefix)
