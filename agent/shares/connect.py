"""Where releases come from."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.shares.directory import DirectoryShare

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from agent.settings import Settings
    from agent.shares.base import Share

_AZURE_FILES = "azurefiles://"


def connect(settings: Settings, log: FilteringBoundLogger) -> Share:
    """The share that the settings name.

    Raises:
        ConfigError: The address is of no known kind.
    """
    address = settings.share_address
    if address.startswith(_AZURE_FILES):
        return _azure_files(address, settings, log)
    if "://" in address:
        # Neither a SAS after a `?` nor a password before an `@` is anybody's business.
        shown = re.sub("//.*@", "//…@", address.partition("?")[0])
        raise ConfigError(
            f"--share {shown!r} is of no kind that this version reads.",
            remedy="Give a directory, such as the mount of the share, or "
            "azurefiles://ACCOUNT/SHARE[/PREFIX]; a SAS goes into AZURE_STORAGE_SAS_TOKEN.",
        )
    return DirectoryShare(Path(address))


def _azure_files(address: str, settings: Settings, log: FilteringBoundLogger) -> Share:
    # The SDK takes 20 MB and 0.2 s: only those who use it pay.
    from agent.shares.azurefiles import address as addresses  # noqa: PLC0415
    from agent.shares.azurefiles.credentials import Credentials  # noqa: PLC0415
    from agent.shares.azurefiles.service import Service  # noqa: PLC0415
    from agent.shares.azurefiles.share import AzureFilesShare  # noqa: PLC0415

    parsed = addresses.parse(address)
    credentials = Credentials(parsed, settings.azure_secret_dir, os.environ)
    return AzureFilesShare(Service(parsed, credentials, endpoint=settings.azure_endpoint, log=log))
