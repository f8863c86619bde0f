"""What the real huggingface_hub is asked to do, each in a process of its own.

python -m tests.support.hub_calls CALL JSON

prints the result as JSON, or the error: its class and their bases, status, sentence. Tests start it
by `ask` in tests/support/hub_clients.py.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download, scan_cache_dir, snapshot_download


def info(repo: str, **options: Any) -> dict[str, Any]:
    """Model info with what its files are known by."""
    found = HfApi().model_info(repo, files_metadata=True, **options)
    siblings = [dataclasses.asdict(sibling) for sibling in found.siblings or []]
    about = {"id": found.id, "sha": found.sha, "private": found.private, "gated": found.gated}
    return about | {"siblings": siblings}


def brief_info(repo: str, **options: Any) -> dict[str, Any]:
    """Model info as it is without file metadata, every field that was sent."""
    return {
        name: value for name, value in vars(HfApi().model_info(repo, **options)).items() if value
    }


def tree(repo: str, **options: Any) -> list[dict[str, Any]]:
    """The entries of a tree, all pages."""
    return [vars(entry) for entry in HfApi().list_repo_tree(repo, **options)]


def download(repo: str, **options: Any) -> str:
    """One file, into the cache."""
    return str(hf_hub_download(repo, **options))


def snapshot(repo: str, **options: Any) -> dict[str, str]:
    """A snapshot: each file's path in it, and where its bytes lie in the cache."""
    top = Path(snapshot_download(repo, **options))
    files = (path for path in sorted(top.rglob("*")) if path.is_file())
    return {str(path.relative_to(top)): path.resolve().name for path in files}


def scan() -> dict[str, Any]:
    """What the cache holds, and what is wrong with it."""
    found = scan_cache_dir()
    revisions = [
        {"repo": repo.repo_id, "commit": revision.commit_hash, "refs": sorted(revision.refs)}
        for repo in found.repos
        for revision in repo.revisions
    ]
    return {"warnings": [str(warning) for warning in found.warnings], "revisions": revisions}


CALLS = {call.__name__: call for call in (info, brief_info, tree, download, snapshot, scan)}


def _error(error: Exception) -> dict[str, Any]:
    """An error in the words of whoever caught it."""
    kinds = [kind.__name__ for kind in type(error).__mro__]
    response = getattr(error, "response", None)
    status = response.status_code if response is not None else None
    return {"kinds": kinds, "status": status, "sentence": str(error)}


def main() -> None:
    """Do what the command line says."""
    options = json.loads(sys.argv[2])
    try:
        answer = {"result": CALLS[sys.argv[1]](**options)}
    except Exception as error:  # noqa: BLE001 - whatever the client raises is what is asked for
        answer = {"error": _error(error)}
    json.dump(answer, sys.stdout, default=str)


if __name__ == "__main__":
    main()
