"""The decisions of a publisher: make it, take what is there, sign that, or refuse."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from agent.errors import RefusedError, UnreachableError, VerificationError
from agent.publish import makers, populate
from agent.publish.adopted import ADOPTED
from agent.release import manifest
from agent.shares import lock
from tests.support.desks import Desk
from tests.support.keys import Key, make_key
from tests.support.shares import SNAPSHOT, flip, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from agent.publish.makers import Maker
    from agent.publish.publisher import Published


@pytest.fixture
def site(tmp_path: Path) -> Desk:
    """Another site, whose share has the bundles that are published here."""
    (tmp_path / "site").mkdir()
    return Desk(tmp_path / "site")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, Key]:
    """Our key, and somebody else's."""
    directory = tmp_path_factory.mktemp("keys")
    return make_key(directory), make_key(directory, "other")


def bundle(desk: Desk, site: Desk, version: str = "v1") -> Maker:
    """Return the maker for a release of the other site."""
    return makers.choose(desk.workshop(), site.share.release(version), None)


def publish(desk: Desk, site: Desk, **flags: str | Path) -> Published:
    """Publish v1 of the other site."""
    return desk.publisher(**flags).publish(bundle(desk, site))


def test_a_new_release(desk: Desk, site: Desk) -> None:
    """It is on the share with every byte, and nothing else is."""
    made = site.add("v1")
    done = publish(desk, site)
    assert (done.manifest, done.new, done.signed) == (made, True, False)
    assert snapshot(desk.share.release("v1")) == snapshot(site.share.release("v1"))
    assert {path.name for path in desk.share.root.iterdir()} == {"releases"}


def test_the_same_content_again(desk: Desk, site: Desk) -> None:
    """Nothing changes; vectors that another kind of CPU gave are no other content."""
    site.add("v1", 1.0, 0.0)
    publish(desk, site)
    before = snapshot(desk.share.root)
    site.add("v1", 1.0, 0.0001)
    done = publish(desk, site)
    assert (done.new, done.signed) == (False, False)
    assert done.manifest == desk.share.manifest("v1")
    assert snapshot(desk.share.root) == before


def test_a_release_with_more_files(desk: Desk, site: Desk, keys: tuple[Key, Key]) -> None:
    """An older agent took files along that no loader reads: it is the same, but never signed so."""
    site.share.add_files("v1", {"model.onnx": b"weights"})
    desk.share.add_files("v1", {"model.onnx": b"weights", "model_fp16.onnx": b"of no use"})
    before = snapshot(desk.share.root)
    done = publish(desk, site)
    assert (done.new, done.manifest) == (False, desk.share.manifest("v1"))
    with pytest.raises(RefusedError, match="v1 is on the share with other content"):
        publish(desk, site, sign_key=keys[0].private)
    assert snapshot(desk.share.root) == before


def test_a_version_in_other_letters(desk: Desk, site: Desk) -> None:
    """Azure Files and Windows take V1 for v1: it is refused."""
    site.add("v1")
    (desk.share.release("V1")).mkdir(parents=True)
    with pytest.raises(RefusedError, match="has a release V1, and v1 would be the same name"):
        publish(desk, site)


def test_other_content_under_the_version(desk: Desk, site: Desk) -> None:
    """It is refused, and the share stays as it was."""
    site.add("v1")
    publish(desk, site)
    before = snapshot(desk.share.root)
    site.share.add_files("v1", {"model.onnx": b"other"})
    with pytest.raises(RefusedError, match="v1 is on the share with other content"):
        publish(desk, site)
    assert snapshot(desk.share.root) == before


def test_a_directory_without_a_manifest(desk: Desk, site: Desk) -> None:
    """Somebody may be uploading it by hand: it is left alone."""
    site.add("v1")
    (desk.share.release("v1") / "fastembed").mkdir(parents=True)
    with pytest.raises(RefusedError, match="releases/v1 is on the share without a manifest"):
        publish(desk, site)
    assert snapshot(desk.share.release("v1")) == {"fastembed": "directory"}


def test_a_release_that_cannot_be_made(desk: Desk, site: Desk) -> None:
    """Nothing of it is on the share, nor is the tree there given a name."""
    site.add("v1")
    flip(site.share.release("v1") / SNAPSHOT / "model.onnx")
    (desk.share.root / "fastembed").mkdir()
    with pytest.raises(VerificationError, match=r"model\.onnx"):
        publish(desk, site)
    assert snapshot(desk.share.root) == {"fastembed": "directory"}


def test_the_first_release_beside_a_hand_made_tree(desk: Desk, site: Desk) -> None:
    """The tree keeps the name that the marker gives it; a second release changes nothing."""
    site.add("v1")
    (desk.share.root / "fastembed").mkdir()
    desk.share.mark("v0")
    publish(desk, site)
    assert (desk.share.root / ADOPTED).read_text() == "v0\n"
    desk.share.mark("v1")
    site.add("v2")
    desk.publisher().publish(bundle(desk, site, "v2"))
    assert (desk.share.root / ADOPTED).read_text() == "v0\n"


def test_another_publisher_of_the_version(desk: Desk, site: Desk) -> None:
    """It is waited for as long as `--lock-timeout` says; one of another version is not."""
    site.add("v1")
    site.add("v2")
    context = desk.context()
    file = context.share.lock_file("publish-v1")
    with lock.held(file, timeout=0, stop=context.stop, log=context.log):
        with pytest.raises(RefusedError, match="did not release it within 0 s"):
            publish(desk, site, lock_timeout="0s")
        assert desk.publisher().publish(bundle(desk, site, "v2")).new
    assert publish(desk, site).new


def test_a_share_that_is_away(desk: Desk, site: Desk) -> None:
    """No directory is made in its place."""
    site.add("v1")
    shutil.rmtree(desk.share.root)
    with pytest.raises(UnreachableError, match=str(desk.share.root)):
        publish(desk, site)
    assert not desk.share.root.exists()


def test_what_a_killed_publisher_left_is_tidied(desk: Desk) -> None:
    """One that was killed after its last step leaves `.staging`, which the next one takes away."""
    desk.add("catalogued")
    (desk.share.root / ".staging").mkdir()
    populate.into_share(desk.workshop(), desk.publisher())
    assert {path.name for path in desk.share.root.iterdir()} == {"releases"}


def test_a_pod_takes_what_another_one_made(desk: Desk) -> None:
    """With the catalog's release on the share the Hub is not asked, whatever the release holds."""
    made = desk.add("catalogued")
    assert populate.into_share(desk.workshop(), desk.publisher()) == made


def requiring(key: Key) -> dict[str, str | Path]:
    """The settings of a site that wants this key's signature on everything."""
    return {"verify_key": key.public, "require_signature": "true"}


def test_a_new_release_is_signed(desk: Desk, site: Desk, keys: tuple[Key, Key]) -> None:
    """The signature comes with the release."""
    site.add("v1")
    assert publish(desk, site, sign_key=keys[0].private, **requiring(keys[0])).signed
    assert (desk.share.release("v1") / manifest.SIGNATURE).is_file()


def test_signing_what_is_published(desk: Desk, site: Desk, keys: tuple[Key, Key]) -> None:
    """The same command with a key signs it, once; with another key it has that one's signature.

    Nothing else changes, and publishing it without a key leaves the signature.
    """
    site.add("v1")
    publish(desk, site)
    before = snapshot(desk.share.root)
    for key in keys:
        done = publish(desk, site, sign_key=key.private, verify_key=key.public)
        assert (done.new, done.signed) == (False, True)
        after = snapshot(desk.share.root)
        path = f"releases/v1/{manifest.SIGNATURE}"
        assert after == before | {path: after[path]}
        assert not publish(desk, site, sign_key=key.private).signed
        assert not publish(desk, site).signed
        assert snapshot(desk.share.root) == after


def not_run(raw: dict[str, Any], *, loader: str = "sentence-transformers", **more: object) -> None:
    """Have the first model as a publisher describes it who cannot run it."""
    raw["models"][0] |= {"canary": None, "loader": loader} | more
    del raw["models"][0]["canary"]


def run(raw: dict[str, Any], *, loader: str = "sentence-transformers") -> None:
    """Have the first model as a publisher describes it who can run it."""
    canary = {"texts": ["text"], "vectors": [[1.0, 0.0]], "min_cosine": 0.999}
    raw["models"][0] |= {"canary": canary, "loader": loader, "dim": 2}


def test_what_0_1_0_published_without_running_it(
    desk: Desk, site: Desk, keys: tuple[Key, Key]
) -> None:
    """The same files are the same release, which stays as it is; it can be signed."""
    for share, describe in ((desk.share, partial(not_run, dim=2)), (site.share, run)):
        share.add_files("v1", {"model.safetensors": b"the same"})
        share.sign("v1", describe)
    before = snapshot(desk.share.root)
    done = publish(desk, site)
    assert (done.new, done.manifest.models[0].canary) == (False, None)
    assert snapshot(desk.share.root) == before
    assert publish(desk, site, sign_key=keys[0].private).signed


@pytest.mark.parametrize(
    ("loader", "dim"), [("fastembed", 2), ("sentence-transformers", 3)], ids=["loader", "dim"]
)
def test_what_lacks_a_canary_for_another_reason_is_not_signed(
    loader: str, dim: int, desk: Desk, site: Desk, keys: tuple[Key, Key]
) -> None:
    """FastEmbed's models always have one; and a wrong dimension is published, but not signed."""
    for share, describe in (
        (desk.share, partial(not_run, loader=loader, dim=dim)),
        (site.share, partial(run, loader=loader)),
    ):
        share.add_files("v1", {"model.safetensors": b"the same"})
        share.sign("v1", describe)
    assert not publish(desk, site).new
    with pytest.raises(RefusedError, match="another canary"):
        publish(desk, site, sign_key=keys[0].private)


def test_what_people_are_told(desk: Desk, site: Desk, keys: tuple[Key, Key]) -> None:
    """Size, signature and digest, and a line for each model that was not run."""
    site.add("v1", 1.0, 0.0)
    done = publish(desk, site, sign_key=keys[0].private)
    release = done.manifest
    first, *more = done.lines("Published", keys[0].private)
    assert first == f"Published v1: {len(release.files)} files, {release.size} bytes."
    assert more == [f"signed with {keys[0].private}", f"digest {release.digest}"]
    site.share.add_files("v2", {"model.onnx": b"two"})
    told = [*desk.publisher().publish(bundle(desk, site, "v2")).lines("Published", None)]
    assert (len(told), "was not run, so it has no canary" in told[2]) == (3, True)


def change_canary(canary: dict[str, Any], raw: dict[str, Any]) -> None:
    """Give the first model another canary."""
    raw["models"][0]["canary"] = canary


def test_what_was_changed_on_the_share_is_not_signed(
    desk: Desk, site: Desk, keys: tuple[Key, Key]
) -> None:
    """A canary that the models here do not give is refused: somebody changed it there."""
    site.add("v1", 1.0, 0.0)
    publish(desk, site)
    for change in ({"min_cosine": 0.5}, {"vectors": [[0.0, 1.0]]}):
        canary = {"texts": ["text"], "vectors": [[1.0, 0.0]], "min_cosine": 0.999} | change
        desk.share.sign("v1", partial(change_canary, canary))
        before = snapshot(desk.share.root)
        with pytest.raises(RefusedError, match="another canary"):
            publish(desk, site, sign_key=keys[0].private)
        assert snapshot(desk.share.root) == before


def test_nothing_is_published_that_pods_would_refuse(
    desk: Desk, site: Desk, keys: tuple[Key, Key]
) -> None:
    """That goes for a new release, and for one that is there without the right signature."""
    ours, theirs = keys
    site.add("v1")
    wrong: dict[str, str | Path] = {"sign_key": theirs.private, "verify_key": ours.public}
    for flags in (requiring(ours), wrong):
        with pytest.raises(VerificationError, match="on its way to the share is refused"):
            publish(desk, site, **flags)
    assert snapshot(desk.share.root) == {}
    publish(desk, site)
    with pytest.raises(VerificationError, match="is refused: it is not signed"):
        publish(desk, site, **requiring(ours))


def test_a_release_is_taken_only_if_it_is_let_in(desk: Desk, keys: tuple[Key, Key]) -> None:
    """What a pod would make is not taken from the share without the signature that pods want."""
    ours = keys[0]
    desk.add("catalogued")
    with pytest.raises(VerificationError, match=r"on the share .* it is not signed"):
        populate.into_share(desk.workshop(), desk.publisher(**requiring(ours)))
    ours.sign(desk.share, "catalogued")
    taken = populate.into_share(desk.workshop(), desk.publisher(**requiring(ours)))
    assert taken == desk.share.manifest("catalogued")
