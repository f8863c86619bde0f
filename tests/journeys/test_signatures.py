"""Signatures: only what the owner of the key signed is activated, wherever it comes from."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from agent.release import manifest
from tests.support.agents import assert_failed
from tests.support.pods import NO_WORKER, Pod
from tests.support.rest import rest_share
from tests.support.shares import EXTERNAL, INLINE, snapshot, tree
from tests.support.signed import FILES
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.keys import Key
    from tests.support.signed import SignedPod


@pytest.mark.slow
def test_a_release_without_a_signature(pod: SignedPod, key: Key) -> None:
    """With a key alone it is taken, with a warning; where one is required, it is exit 5.

    That goes for every command, and none of them changes anything.
    """
    pod.signature.unlink()
    before = snapshot(pod.share.root)
    assert_failed(pod.init(*key.requiring), 5, "v1", "not signed", "--sign-key")
    pod.assert_nothing_came()
    for command in (("promote", "v1"), ("rollback", "v1"), ("verify", "v1", "--on", "share")):
        assert_failed(pod.run(*command, *key.requiring), 5, "not signed")
    assert snapshot(pod.share.root) == before
    done = pod.init(*key.checking)
    assert done.code == 0, done.lines
    assert done.named("release.unsigned")
    assert_failed(pod.run("verify", "v1", *key.requiring), 5, "in the store", "not signed")


def rebuild(pod: SignedPod) -> None:
    """As who may write to the share can: other bytes, and a manifest that is right for them."""
    shutil.rmtree(pod.share.release("v1"))
    pod.share.add_files("v1", FILES | {"model.onnx": b"evil" * 30_000})


def test_what_the_owner_of_the_key_did_not_sign(pod: SignedPod, key: Key) -> None:
    """What somebody else put there is exit 5 before a byte is staged, and is not tried again."""
    signature = pod.signature.read_bytes()
    rebuild(pod)
    pod.signature.write_bytes(signature)
    assert_failed(pod.init(*key.requiring), 5, "v1", "signature")
    pod.assert_nothing_came()
    assert set(pod.state()["quarantined"]) == {"v1"}
    assert_failed(pod.run("verify", "v1", "--on", "share", *key.checking), 5, "signature")
    assert pod.init().code == 0, "without a key nobody minds"


def test_a_bad_bump_falls_back_to_what_is_signed(pod: SignedPod, key: Key) -> None:
    """`init` comes up on the signed release before, and says so."""
    pod.share.add_files("v2", {"model.onnx": b"newer"})
    pod.share.mark("v2", "previous: v1")
    done = pod.init(*key.requiring)
    assert done.code == 0, done.lines
    assert "NOT the desired release v2" in "\n".join(done.lines)
    assert pod.active() == "v1"
    assert pod.held() == {"v1"}


@pytest.mark.slow
def test_a_store_that_was_rebuilt(pod: SignedPod, key: Key) -> None:
    """Other bytes in the store, with a manifest that is right for them, are found and replaced."""
    assert pod.init(*key.requiring).code == 0
    original = snapshot(pod.store / "releases/v1")
    signature = pod.signature.read_bytes()
    shutil.copytree(pod.share.root, pod.share.root.with_name("good"))
    rebuild(pod)
    shutil.rmtree(pod.store / "releases/v1")
    pod.share.release("v1").rename(pod.store / "releases/v1")
    (pod.store / "releases/v1" / manifest.SIGNATURE).write_bytes(signature)
    shutil.rmtree(pod.share.root)
    pod.share.root.with_name("good").rename(pod.share.root)
    assert_failed(pod.run("verify", "v1", *key.checking), 5, "in the store", "other content")
    done = pod.init(*key.requiring)
    assert done.code == 0, done.lines
    assert done.named("store.corrupt")
    assert snapshot(pod.store / "releases/v1") == original


def test_a_release_that_is_signed_later(pod: SignedPod, key: Key) -> None:
    """Stores that hold it already fetch the signature alone: no byte of the release moves."""
    signature = pod.signature.read_bytes()
    pod.signature.unlink()
    assert pod.init().code == 0
    held = pod.store / "releases/v1"
    before = {path: path.stat().st_ino for path in held.rglob("*")}
    assert_failed(pod.init(*key.requiring), 5, "not signed")
    pod.signature.write_bytes(signature)
    done = pod.init(*key.requiring)
    assert done.code == 0, done.lines
    assert {path: path.stat().st_ino for path in before} == before
    assert (held / manifest.SIGNATURE).read_bytes() == signature


@pytest.mark.slow
def test_the_sidecar_holds_what_is_active_to_the_rule(tmp_path: Path, key: Key) -> None:
    """What another pod made active in a shared store is not ready, nor asked for, until signed."""
    pod = Pod(tmp_path)
    pod.share.add("v1", INLINE)
    pod.share.mark("v1")
    assert pod.init().code == 0
    with pod.sidecar(NO_WORKER, *key.requiring, poll="200ms") as sidecar:
        said = sidecar.wait_for("release.refused", version="v1")
        assert "not a signed release" in said["error"] or "not signed" in said["error"]
        assert "sign" in sidecar.status()["doing"]
        assert sidecar.get("/readyz").status_code == 503
        assert sidecar.metric("model_agent_reload_attempts_total") == 0
        key.sign(pod.share, "v1")
        until(lambda: sidecar.get("/readyz").is_success)
        assert sidecar.status()["active"] == "v1"


@pytest.mark.slow
def test_the_sidecar_takes_signed_bumps_only(tmp_path: Path, key: Key) -> None:
    """A bump that is not signed is quarantined, one that is signed is taken.

    So is a release that the store held before anybody signed: going back to it is a bump, too.
    """
    pod = Pod(tmp_path, env={"MODEL_AGENT_KEEP": "4"})
    share = pod.share
    for version, kind in (("v1", INLINE), ("v2", EXTERNAL), ("v3", INLINE), ("v4", EXTERNAL)):
        share.add(version, kind)
    for version in ("v1", "v2"):
        share.mark(version)
        if version == "v2":
            key.sign(share, version)
        assert pod.init().code == 0
    flags = ("--reload-method", "none", *key.requiring)
    with pod.sidecar(NO_WORKER, *flags, poll="200ms") as sidecar:
        for version in ("v1", "v3"):
            share.mark(version)
            refused = sidecar.wait_for("release.quarantined", version=version)
            assert "not signed" in refused["reason"]
            assert pod.active() == "v2"
        key.sign(share, "v4")
        share.mark("v4")
        until(lambda: pod.active() == "v4")
        key.sign(share, "v1")
        share.mark("v1", "promoted again")
        until(lambda: pod.active() == "v1")
    held = {path.parent.name for path in pod.store.glob("releases/*/" + manifest.SIGNATURE)}
    assert held == {"v1", "v2", "v4"}


@pytest.mark.slow
def test_a_signed_upload_that_is_resumed(tmp_path: Path, key: Key) -> None:
    """What is signed is the manifest that is published, not the one a killed publisher left."""
    publish = ("publish", "--from", tree(tmp_path / "tree"), "--version", "v1")
    with rest_share(tmp_path / "root") as share:
        share.double.fault("forbidden", operation="RenameDirectory", count=None)
        assert share.run(*publish, "--sign-key", key.private).code == 3
        share.double.heal()
        (left,) = (share.disk.root / ".staging").glob("*/manifest.json")
        manifests = {manifest.parse(left.read_bytes()).created}
        done = share.run(*publish, "--sign-key", key.private)
        assert done.code == 0, done.sentence
        checked = share.run("verify", "v1", "--on", "share", *key.requiring)
        assert checked.code == 0, checked.sentence
        manifests.add(share.disk.manifest("v1").created)
        assert len(manifests) == 2, "both were made in the same second"


@pytest.mark.slow
def test_over_rest(tmp_path: Path, keys: tuple[Key, Key]) -> None:
    """On Azure Files releases are signed, signed anew and refused just the same."""
    key, other = keys
    source = tree(tmp_path / "tree")
    with rest_share(tmp_path / "root") as share:
        pod = Pod(tmp_path / "pod", share.disk, env=share.env())
        for signer in (other, key):
            done = pod.publish_tree("v1", source, "--sign-key", signer.private)
            assert done.code == 0, done.sentence
            assert f"signed with {signer.private}" in done.stdout
            assert pod.run("promote", "v1", *signer.requiring).code == 0
        assert_failed(pod.init(*other.requiring), 5, "signature")
        assert not (pod.store / "current").is_symlink()
        assert pod.init(*key.requiring).code == 0
        assert (pod.store / "current" / manifest.SIGNATURE).is_file()
        rebuilt = share.disk.manifest("v1").encoded.replace(b'"max_length":', b'"max_length":1')
        share.put("releases/v1/manifest.json", manifest.parse(rebuilt).encoded)
        done = pod.run("verify", "v1", "--on", "share", *key.checking)
        assert_failed(done, 5, "other content")
