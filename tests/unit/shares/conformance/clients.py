"""Shares as any process of the agent has them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.shares.directory import DirectoryShare

if TYPE_CHECKING:
    from agent.shares.base import Share


def connect(address: str, endpoint: str) -> Share:
    """Return a share in a directory, or, with an endpoint, over REST."""
    if not endpoint:
        return DirectoryShare(Path(address))
    from agent.shares.azurefiles.share import AzureFilesShare
    from tests.support.services import service

    return AzureFilesShare(service(endpoint, address))
