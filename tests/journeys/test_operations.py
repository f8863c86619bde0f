"""What docs/operations.md has an operator type, typed: each works and prints what is shown.

Azure Files and the Hub are the loopback doubles. One pod is `init`, the worker and the sidecar as
processes; a `kubectl` on the path runs what is executed in it here, and prints its sidecar's log.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support import agents, models
from tests.support.azure_double import KEY, running_double
from tests.support.hub_double import name_branch, running_hub
from tests.support.pods import Pod
from tests.support.shares import TestShare, flip
from tests.support.walkthrough import Terminal
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sidecars import Sidecar

PAGE: Final = agents.REPO / "docs" / "operations.md"
FIRST: Final = "5f1b8cd78bc4fb444dd171e59b18f3a3af89a079"
SECOND: Final = "8b3219a92973c328a8e22fadcfa821b5dc75636a"
# What writes manifests is tests/k8s/test_docs.py's.
MANIFESTS: Final = {"job", "job-back", "overlay", "real", "gpu", "room"}
# `kubectl exec … -- COMMAND`, `kubectl logs … --tail N`, `kubectl get pods … -o name`.
KUBECTL: Final = """#!/bin/bash
case "$1" in
  exec) set -- "${@:6}"; exec env $(cat "$ROOM/pod.env") "$@" ;;
  logs) exec tail -n "${@: -1}" "$ROOM/sidecar.log" ;;
  get) echo pod/embeddings-worker-msgs-1 ;;
esac
"""


class Page:
    """The page, at a terminal with a `kubectl` for one pod, whose share is on its double.

    Args:
        room: An empty directory.
        share: The share's files on the double's disk.
        endpoint: URL of the double of Azure Files.
        hub: URL of the Hub.
    """

    def __init__(self, room: Path, share: TestShare, endpoint: str, hub: str) -> None:
        self._room = room
        azure = {"AZURE_STORAGE_KEY": KEY, "MODEL_AGENT_AZURE_ENDPOINT": endpoint}
        told = {"MODEL_AGENT_STORE_LIMIT": "900Mi", "MODEL_AGENT_CATALOG": ""}
        address = {"MODEL_AGENT_SHARE": "azurefiles://mlstore/ml-models"}
        self.pod = Pod(room, share, env=azure | told | address)
        ours = {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        path = f"{room}/bin:{agents.PROGRAM.parent}:{os.environ['PATH']}"
        env = agents.environment(azure | ours | {"ROOM": str(room), "PATH": path})
        self.terminal = Terminal(PAGE, room, env, {"/mnt/models": str(self.pod.store)})

    @contextmanager
    def running(self) -> Iterator[Sidecar]:
        """Start the pod on what the marker names, while the block runs."""
        pod = self.pod
        assert pod.run("init").code == 0
        with pod.worker() as serving:
            pod.env["MODEL_AGENT_RELOAD_URL"] = serving.admin
            serving.wait("ready")
            lines = [f"{name}={value}" for name, value in pod.env.items()]
            (self._room / "pod.env").write_text("\n".join(lines))
            self.terminal.instead["http://127.0.0.1:8080"] = serving.serving
            with pod.sidecar(serving.admin) as sidecar:
                self.terminal.instead["http://127.0.0.1:9090"] = sidecar.url
                until(lambda: sidecar.status()["worker"]["state"] == "ready")
                yield sidecar

    def read(self, sidecar: Sidecar, name: str, event: str, **fields: Any) -> None:
        """Wait until the sidecar logged an event, then type a block that shows its log."""
        sidecar.wait_for(event, **fields)
        lines = [json.dumps(each, ensure_ascii=False) for each in sidecar.events]
        (self._room / "sidecar.log").write_text("\n".join(lines) + "\n")
        self.terminal.type(name)


@pytest.fixture
def page(tmp_path: Path, minilm_dir: Path) -> Iterator[Page]:
    """An empty share, and a Hub whose `main` is at the first commit."""
    catalog = tmp_path / "another-catalog.toml"
    share = TestShare(tmp_path / "azure" / "ml-models", catalog=catalog, bare=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/kubectl").write_text(KUBECTL)
    (tmp_path / "bin/kubectl").chmod(0o755)
    shutil.copytree(minilm_dir, tmp_path / "hub" / models.MINILM_REPO / FIRST)
    name_branch(tmp_path / "hub", models.MINILM_REPO, "main", FIRST)
    with (
        running_double("--account=mlstore", root=tmp_path / "azure") as double,
        running_hub(tmp_path / "hub") as hub,
    ):
        yield Page(tmp_path, share, double.url, hub.url)


@pytest.mark.slow
def test_from_nothing_to_a_hot_reload(page: Page, tmp_path: Path, minilm_fp16_dir: Path) -> None:
    """Each command of the page ends and prints as it says, and releases come and go as it says."""
    terminal, share = page.terminal, page.pod.share
    for name in ("names", "doctor-empty", "catalog", "pin", "publish", "promote"):
        terminal.type(name)
    with page.running() as sidecar:
        for name in ("status", "doctor", "request", "second"):
            terminal.type(name)
        page.read(sidecar, "log", "sync.done", version="v2")
        for name in ("every-pod", "metrics", "rollback"):
            terminal.type(name)
        page.read(sidecar, "log-back", "sync.done", version="v1")
        terminal.type("forward")
        shutil.copytree(minilm_fp16_dir, tmp_path / "hub" / models.MINILM_REPO / SECOND)
        name_branch(tmp_path / "hub", models.MINILM_REPO, "main", SECOND)
        terminal.type("third")
        weights = next(share.release("v3").rglob("model.onnx.data"))
        flip(weights, weights.stat().st_size // 2)
        terminal.type("bad")
        page.read(sidecar, "log-bad", "release.quarantined", version="v3")
        terminal.type("remedy")
        sidecar.wait_for("sync.done", version="v4")
    for name in ("prune", "missing"):
        terminal.type(name)
    shutil.copytree(share.release("v4"), tmp_path / "backup/v4")
    shutil.rmtree(share.release("v4"))
    terminal.type("restore")
    assert terminal.left == MANIFESTS
    assert (share.root / "VERSION").read_text().startswith("v4\n")
