"""Stages the release into an empty store: every byte verified, and synced to disk."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from agent import logs
from agent.shares import reader
from agent.shares.azurefiles import address
from agent.shares.azurefiles.credentials import Credentials
from agent.shares.azurefiles.service import Service
from agent.shares.azurefiles.share import AzureFilesShare
from agent.store import stage
from agent.store.store import Store
from tests.benchmarks.clients.clock import measured


def main() -> None:
    """Stage the version of the second argument into the directory of the first."""
    where = address.parse(os.environ["MODEL_AGENT_SHARE"])
    credentials = Credentials(where, None, os.environ)
    endpoint = os.environ["MODEL_AGENT_AZURE_ENDPOINT"]
    with measured():
        share = AzureFilesShare(Service(where, credentials, endpoint=endpoint, log=logs.get()))
        store = Store(Path(sys.argv[1]))
        store.prepare()
        release = reader.read_manifest(share, sys.argv[2])
        stage.stage(share, release, store, stop=threading.Event())


if __name__ == "__main__":
    main()
