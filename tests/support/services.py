"""What the agent asks a double of Azure Files with, in a test's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent import logs
from agent.shares.azurefiles import address
from agent.shares.azurefiles.credentials import Credentials
from agent.shares.azurefiles.service import Service
from tests.support.azure_double import ACCOUNT, KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYED: Final = {"AZURE_STORAGE_KEY": KEY}


def service(endpoint: str, share: str, environ: Mapping[str, str] = KEYED) -> Service:
    """A share at `endpoint`, asked with the account's key, or with what `environ` has instead."""
    where = address.parse(f"azurefiles://{ACCOUNT}/{share}")
    return Service(where, Credentials(where, None, environ), endpoint=endpoint, log=logs.get())
