"""Creates the share that `--share` names."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError, UnreachableError
from agent.machine.threads import Lane
from agent.shares.azurefiles import address as addresses
from agent.shares.azurefiles.address import FORM, SCHEME
from agent.shares.directory import DirectoryShare

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from agent.shares.base import Share


# A mount that hangs for longer is not a file.
_LOOK_SECONDS: Final = 2.0


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
        ConfigError: The address is not of a known kind, or leads to a file.
    """
    if is_azure_files(address):
        return _azure_files(address, log, secret_dir, endpoint)
    if not is_directory(address):
        raise _unknown_kind(address)
    _require_directory(address)
    return DirectoryShare(Path(address))


def _unknown_kind(address: str) -> ConfigError:
    # The error must show neither a SAS after a `?` nor a password before an `@`.
    shown = re.sub("//.*@", "//…@", address.partition("?")[0])
    other = addresses.meant(address)
    given = str(other) if other else f"a directory, such as the mount of the share, or {FORM}"
    return ConfigError(
        f"--share {shown!r} is not a kind of address that this version supports.",
        remedy=f"Give {given}; a SAS goes into AZURE_STORAGE_SAS_TOKEN.",
    )


def _require_directory(address: str) -> None:
    """Refuse a path that leads to a file; one that leads nowhere may be mounted later."""
    lane = Lane(f"The share {address}", seconds=_LOOK_SECONDS)
    try:
        mode = lane.call(os.stat, address).st_mode
    except (OSError, UnreachableError):
        return
    if not stat.S_ISDIR(mode):
        raise ConfigError(
            f"--share {address!r} is a file, not a directory.",
            remedy="Give the directory that holds the marker and releases/.",
        )


def is_azure_files(address: str) -> bool:
    """Return true if an address is that of an Azure Files share."""
    return address.startswith(SCHEME)


def is_directory(address: str) -> bool:
    """Return true if an address is a directory's path."""
    return "://" not in address and addresses.meant(address) is None


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
