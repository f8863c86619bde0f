"""Downloads files with the SDK as it comes, eight requests at a time; checks and syncs nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.fileshare import ShareClient

from agent.shares.azurefiles import address
from tests.benchmarks.clients.clock import measured

_CONCURRENCY = 8


def main() -> None:
    """Download the files of all further arguments into the directory of the first."""
    target = Path(sys.argv[1])
    where = address.parse(os.environ["MODEL_AGENT_SHARE"])
    key = AzureNamedKeyCredential(where.account, os.environ["AZURE_STORAGE_KEY"])
    with measured():
        share = ShareClient(os.environ["MODEL_AGENT_AZURE_ENDPOINT"], where.share, credential=key)
        for path in sys.argv[2:]:
            _download(share, path, target / path)


def _download(share: ShareClient, path: str, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with to.open("wb") as file:
        share.get_file_client(path).download_file(max_concurrency=_CONCURRENCY).readinto(file)


if __name__ == "__main__":
    main()
