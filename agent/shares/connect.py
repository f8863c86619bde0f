"""Creates the share that `--share` names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.shares.azurefiles import address as addresses
from agent.shares.azurefiles.address import FORM, SCHEME
from agent.shares.directory import DirectoryShare

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from agent.shares.base import Share


def connect(
    address: str,
    log: FilteringBoundLogger,
    *,
    secret_dir: Path | None = None,
    endpoint: str | None = None,
) -> Share:
    """Return the share at an address; no request is made yet.

    Args:
        address: A directory, or one of Azure Files; see `agent.shares.azurefiles.address`.
        log: Receives retries, and which credential is used.
        secret_dir: A directory with a mounted Secret, for Azure Files.
        endpoint: A URL to reach Azure Files at, instead of the public cloud's.

    Raises:
        ConfigError: The address is not of a known kind.
    """
    if is_azure_files(address):
        return _azure_files(address, log, secret_dir, endpoint)
    if not is_directory(address):
        # The error must show neither a SAS after a `?` nor a password before an `@`.
        shown = re.sub("//.*@", "//…@", address.partition("?")[0])
        raise ConfigError(
            f"--share {shown!r} is not a kind of address that this version supports.",
            remedy=f"Give a directory, such as the mount of the share, or {FORM}; a SAS goes into "
            "AZURE_STORAGE_SAS_TOKEN.",
        )
    return DirectoryShare(Path(address))


def is_azure_files(address: str) -> bool:
    """Return true if an address is that of an Azure Files share."""
    return address.startswith(SCHEME)


def is_directory(address: str) -> bool:
    """Return true if an address is a directory's path."""
    return "://" not in address


def _azure_files(
    address: str, log: FilteringBoundLogger, secret_dir: Path | None, endpoint: str | None
) -> Share:
    # The SDK costs 20 MB and 0.2 s, so it is imported only where it is used.
    from agent.shares.azurefiles.credentials import Credentials  # noqa: PLC0415
    from agent.shares.azurefiles.service import Service  # noqa: PLC0415
    from agent.shares.azurefiles.share import AzureFilesShare  # noqa: PLC0415

    parsed = addresses.parse(address)
    credentials = Credentials(parsed, secret_dir, os.environ)
    return AzureFilesShare(Service(parsed, credentials, endpoint=endpoint, log=log))
