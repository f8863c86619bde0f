"""The manifests that the pages of docs/ have their readers write, written and checked like ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.k8s import pods
from tests.k8s.checks import agents, lifecycle, references, schema, security, sizes
from tests.k8s.rendering import K8S, render_directory
from tests.support.walkthrough import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.k8s.rendering import Manifest

DOCS: Final = K8S.parent / "docs"
REGISTRY: Final = "registry.example/"
CLIENTS: Final = {"PODS_CLIENT_ID": "1111-pods", "PUBLISHER_CLIENT_ID": "2222-publisher"}
KEY: Final = "  - ../model-agent/k8s/components/azure-"
# What a team has in its cluster that docs/migration.md says nothing of.
THEIRS: Final[list[dict[str, Any]]] = [
    {"kind": "ServiceAccount", "metadata": {"name": "default"}},
    {"kind": "PersistentVolumeClaim", "metadata": {"name": "ml-models"}, "spec": {}},
]


def written(page: str, room: Path, *blocks: str) -> Path:
    """Type blocks of a page beside a checkout; give the directory."""
    (room / "model-agent").symlink_to(K8S.parent)
    env = {"PATH": os.environ["PATH"], "HOME": str(room)} | CLIENTS
    terminal = Terminal(DOCS / page, room, env, {})
    for block in blocks:
        terminal.type(block)
    return room


def rendered(directory: Path, variant: str) -> list[Manifest]:
    """The manifests, whose images come from the reader's registry and then go by our names."""
    docs = render_directory(directory)
    for doc in pods.workloads(docs):
        for each in pods.containers(doc):
            assert each["image"].startswith(REGISTRY)
            each["image"] = each["image"].removeprefix(REGISTRY)
            if agents.is_agent(each) or agents.is_ours(each):
                assert each["image"].endswith(f":0.1.0-{variant}")
    return docs


def faults(docs: list[Manifest], cluster: list[Manifest] | None = None) -> list[str]:
    """What all the checks that manifests of our own must pass find in these."""
    return [
        *schema.invalid(docs, schema.NATIVE_SIDECARS[0]),
        *schema.invalid(docs, schema.NATIVE_SIDECARS[-1]),
        *schema.wrong_words(docs),
        *references.broken(docs, cluster),
        *agents.unfit(docs),
        *agents.unfit_workers(docs),
        *security.refused(docs),
        *security.lax(docs),
        *sizes.too_small(docs),
        *lifecycle.disorder(docs),
    ]


def settings(docs: list[Manifest]) -> dict[str, str]:
    """What the sidecar is given."""
    return pods.environment(docs, pods.container(pods.deployment(docs), "model-agent"))


@pytest.mark.parametrize(
    ("blocks", "variant", "model"),
    [
        (["overlay"], "cpu", "sentence-transformers/all-MiniLM-L6-v2"),
        (["overlay", "real", "gpu"], "gpu", "BAAI/bge-large-en-v1.5"),
    ],
    ids=["trial", "real"],
)
def test_the_overlays_of_the_walkthrough(
    blocks: list[str], variant: str, model: str, tmp_path: Path
) -> None:
    """They render, keep every rule, and have the reader's share, identity, model and namespace."""
    room = written("operations.md", tmp_path, "names", "catalog", *blocks)
    docs = rendered(room / "embeddings", variant)
    assert faults(docs) == []
    assert settings(docs)["MODEL_AGENT_SHARE"] == "azurefiles://mlstore/ml-models"
    account = pods.named(docs, "ServiceAccount", "embeddings-worker")
    assert account
    assert CLIENTS["PODS_CLIENT_ID"] in str(account["metadata"]["annotations"])
    assert f"--model={model}" in pods.container(pods.deployment(docs), pods.WORKER)["args"]
    assert {doc["metadata"]["namespace"] for doc in docs} == {"embeddings"}


def test_the_overlay_with_a_key(tmp_path: Path) -> None:
    """The one line more that the page names, and no patches, make it one for the account key."""
    room = written("operations.md", tmp_path, "names", "catalog", "overlay")
    path = room / "embeddings/kustomization.yaml"
    text = path.read_text().partition("patches:")[0]
    path.write_text(text.replace(f"{KEY}rest\n", f"{KEY}rest\n{KEY}key\n"))
    docs = rendered(room / "embeddings", "cpu")
    assert faults(docs) == []
    assert settings(docs)["MODEL_AGENT_AZURE_SECRET_DIR"] == "/secrets/azure"


def test_the_job_of_the_walkthrough(tmp_path: Path) -> None:
    """It publishes the reader's catalog as the identity that may write, and promotes that."""
    room = written("operations.md", tmp_path, "names", "catalog", "job")
    docs = rendered(room / "publish", "cpu")
    assert faults(docs) == []
    job = pods.of_kind(docs, "Job")[0]
    publish, promote = pods.containers(job)
    assert agents.catalog_of(docs, job, publish).version == "v1"
    assert pods.arguments(docs, promote) == ["model-agent", "promote", "v1"]
    account = pods.named(docs, "ServiceAccount", "model-agent-publisher")
    assert CLIENTS["PUBLISHER_CLIENT_ID"] in str(account)


def test_the_job_that_goes_back(tmp_path: Path) -> None:
    """It rolls the marker back and nothing else, with the rights and settings of the other Job."""
    room = written("operations.md", tmp_path, "names", "catalog", "job", "job-back")
    docs, publishing = rendered(room / "rollback", "cpu"), rendered(room / "publish", "cpu")
    assert faults(docs) == []
    job, other = pods.of_kind(docs, "Job")[0], pods.of_kind(publishing, "Job")[0]
    (rollback,) = pods.containers(job)
    assert pods.arguments(docs, rollback) == ["model-agent", "rollback"]
    assert job["metadata"]["name"] != other["metadata"]["name"]
    assert [doc for doc in docs if doc != job] == [doc for doc in publishing if doc != other]


def test_the_overlay_of_signed_releases(tmp_path: Path) -> None:
    """The reader's own public key is what init and the sidecar go by."""
    room = written("signing.md", tmp_path, "keys", "overlay")
    docs = rendered(room / "embeddings", "gpu")
    assert faults(docs) == []
    own = agents.settings_of(docs, pods.container(pods.deployment(docs), "model-agent"))
    assert own.verify_key
    assert own.require_signature
    assert (room / "verify.pub").read_text() in [
        text for config in pods.of_kind(docs, "ConfigMap") for text in config["data"].values()
    ]
    assert "BEGIN EC PRIVATE KEY" in (room / "sign.pem").read_text()
    assert "PRIVATE" not in str(docs)


def test_the_job_of_signed_releases(tmp_path: Path) -> None:
    """It signs with the reader's key what it publishes, and promotes only that."""
    room = written("signing.md", tmp_path, "keys", "job")
    docs = rendered(room / "publish", "cpu")
    assert faults(docs) == []
    publish, promote = pods.containers(pods.of_kind(docs, "Job")[0])
    assert agents.settings_of(docs, publish).sign_key
    assert not agents.settings_of(docs, promote).sign_key
    assert agents.settings_of(docs, promote).require_signature


def test_more_room(tmp_path: Path) -> None:
    """The limit, the volume and what is asked of the node grow together."""
    room = written("operations.md", tmp_path, "names", "catalog", "overlay", "real", "gpu", "room")
    docs = rendered(room / "more-room", "gpu")
    assert faults(docs) == []
    assert settings(docs)["MODEL_AGENT_STORE_LIMIT"] == "10Gi"


def test_the_agent_beside_a_worker_of_a_team(tmp_path: Path) -> None:
    """It changes the mount of a team's own worker, nothing else of it, and keeps our rules."""
    room = written("migration.md", tmp_path, "today", "with-agent")
    docs = rendered(room / "with-agent", "gpu")
    worker = pods.container(pods.deployment(docs), pods.WORKER)
    (room / "kustomization.yaml").write_text("resources: [deployment.yaml]\n")
    before = pods.container(pods.deployment(rendered(room, "gpu")), pods.WORKER)
    pods.mounts(before)["/mnt/models"]["name"] = "store"
    assert worker == before
    found = faults(docs, THEIRS)
    # How a team keeps its own container is its business; ours are of one user, whatever its is.
    ours = [f for f in found if "model-agent" in f and not f.endswith("runs as another user")]
    assert ours == []
    assert lifecycle.disorder(docs) + agents.unfit_workers(docs) + sizes.too_small(docs) == []


def test_its_worker_is_told_of_releases(tmp_path: Path) -> None:
    """The last step of the migration makes it a worker that is reloaded, and nothing else."""
    room = written("migration.md", tmp_path, "today", "with-agent", "hot")
    docs = rendered(room / "with-agent", "gpu")
    assert settings(docs)["MODEL_AGENT_RELOAD_METHOD"] == "http"
    assert pods.container(pods.deployment(docs), pods.WORKER)["image"] == "team/embeddings:1.5"
