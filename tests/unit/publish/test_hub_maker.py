"""Releases of the catalog's models, and revisions of today, by a Hub that listens."""

from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from agent.errors import ReleaseMissingError, VerificationError
from agent.publish.hub_maker import HubMaker
from agent.publish.pin import Pinned, pin
from tests.support.desks import CATALOG, PLAIN, Desk, plain_files
from tests.support.hub_double import Hub, name_branch, running_hub, write_repo
from tests.support.keys import make_key
from tests.support.shares import REVISION, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEWER: Final = "f" * 40
PINNED: Final = f'{CATALOG}revision = "{REVISION}"\n'


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that has the plain model at two revisions; `main` is the newer one."""
    repos = tmp_path / "hub"
    write_repo(repos, PLAIN, REVISION, plain_files())
    write_repo(repos, PLAIN, NEWER, plain_files(b"newer..."))
    name_branch(repos, PLAIN, "main", NEWER)
    for name in ("tmp", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with running_hub(repos) as hub:
        env = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        for name, value in (env | {"HF_HOME": str(tmp_path / "home")}).items():
            monkeypatch.setenv(name, value)
        yield hub


def publish(desk: Desk, **flags: str | Path) -> tuple[bool, bool]:
    """Publish the catalog's models as v1; return whether that is new, and newly signed."""
    done = desk.publisher(**flags).publish(HubMaker(desk.workshop(), "v1"))
    return done.new, done.signed


def fetched(hub: Hub) -> int:
    """Requests for the bytes of files, and not for what they are."""
    counted = hub.counters()["operations"]
    return sum(counted.get(name, {}).get("requests", 0) for name in ("Resolve", "Content"))


def test_models_are_fetched_once(hub: Hub, desk: Desk) -> None:
    """The same catalog again asks the Hub what there is, and fetches nothing.

    With a key the release is made once more, since only that is signed; nothing stays in TMPDIR.
    """
    desk.share.catalog.write_text(PINNED)
    assert publish(desk) == (True, False)
    (model,) = desk.share.manifest("v1").models
    assert (model.name, model.repo, model.revision) == (PLAIN, PLAIN, REVISION)
    before = snapshot(desk.share.root)
    hub.reset_counters()
    assert publish(desk) == (False, False)
    assert (fetched(hub), snapshot(desk.share.root)) == (0, before)
    assert publish(desk, sign_key=make_key(desk.root).private) == (False, True)
    assert fetched(hub) > 0
    assert not [path for path in (desk.root / "tmp").rglob("*") if path.is_file()]


def test_another_revision_is_another_release(hub: Hub, desk: Desk) -> None:
    """It is not what the share has; without a pin it is what `main` is now."""
    desk.share.catalog.write_text(PINNED)
    made = desk.add("v1")
    assert not HubMaker(desk.workshop(), "v1").would_make(made)
    model = {"name": PLAIN, "loader": "huggingface", "repo": PLAIN, "revision": REVISION}
    made = desk.share.sign("v1", lambda raw: raw["models"][0].update(model))
    assert HubMaker(desk.workshop(), "v1").would_make(made)
    desk.share.catalog.write_text(CATALOG)
    assert not HubMaker(desk.workshop(), "v1").would_make(made)
    assert fetched(hub) == 0


@pytest.mark.parametrize(
    ("name", "left_out", "said"),
    [
        ("config.json", "blobId", "digest for config.json"),
        ("model.safetensors", "sha256", "sha256 for a large file"),
    ],
)
def test_a_mirror_that_gives_no_digest(
    name: str, left_out: str, said: str, hub: Hub, desk: Desk
) -> None:
    """The file is named, and nothing is fetched of which nobody says what it should be."""
    desk.share.catalog.write_text(PINNED)
    about = httpx.get(f"{hub.url}/api/models/{PLAIN}/revision/{REVISION}?blobs=true").json()
    (file,) = (each for each in about["siblings"] if each["rfilename"] == name)
    del (file if left_out in file else file["lfs"])[left_out]
    hub.fault(kind="replace", operation="ModelInfo", body=json.dumps(about), count=None)
    with pytest.raises(VerificationError) as raised:
        publish(desk)
    assert f"{hub.url} gives no {said} of {PLAIN}" in raised.value.what
    assert "HF_ENDPOINT" in raised.value.remedy
    assert fetched(hub) == 0
    assert not (desk.share.root / "releases").exists()


def test_a_catalog_is_pinned(hub: Hub, desk: Desk) -> None:
    """Today's revision is written, once; comments and all else stay as they are."""
    path, context = desk.share.catalog, desk.context()
    path.write_text(f"# Ours\n{CATALOG}")
    for new in (True, False):
        assert pin(path, context.hub) == (Pinned(PLAIN, PLAIN, NEWER, new),)
        assert path.read_text() == f'# Ours\n{CATALOG}revision = "{NEWER}"\n'


def test_a_pinned_model_stays(hub: Hub, desk: Desk) -> None:
    """It moves only if that is asked for; a revision that the Hub lacks changes nothing."""
    path, context = desk.share.catalog, desk.context()
    path.write_text(PINNED)
    assert pin(path, context.hub) == (Pinned(PLAIN, PLAIN, REVISION, new=False),)
    assert pin(path, context.hub, update=True) == (Pinned(PLAIN, PLAIN, NEWER, new=True),)
    assert path.read_text() == PINNED.replace(REVISION, NEWER)
    missing = PINNED.replace(REVISION, "0" * 40)
    path.write_text(missing)
    with pytest.raises(ReleaseMissingError, match="0000"):
        pin(path, context.hub)
    assert path.read_text() == missing
