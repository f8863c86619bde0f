"""Signatures: only what the owner of the key signed is activated, wherever it comes from."""

from __future__ import annotations

import base64
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from agent.release import manifest
from tests.support.agents import assert_failed
from tests.support.pods import NO_WORKER, Pod
from tests.support.rest import rest_share
from tests.support.shares import EXTERNAL, INLINE, snapshot, tree
from tests.support.signed import FILES
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.keys import Key
    from tests.support.signed import SignedPod

    Attack = Callable[[SignedPod, tuple[Key, Key]], None]


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


def keep_signature(change: Callable[[SignedPod], object]) -> Attack:
    """Make a change, and have the signature stand as it was."""

    def attack(pod: SignedPod, _: tuple[Key, Key]) -> None:
        signature = pod.signature.read_bytes()
        change(pod)
        pod.signature.write_bytes(signature)

    return attack


def with_signature(make: Callable[[bytes], bytes]) -> Attack:
    """Have another signature stand there."""

    def attack(pod: SignedPod, _: tuple[Key, Key]) -> None:
        pod.signature.write_bytes(make(pod.signature.read_bytes()))

    return attack


def other_chunks(pod: SignedPod) -> None:
    """Other bytes whose whole digest is claimed to be the old one."""
    old = {file.path: file.sha256 for file in pod.share.manifest("v1").files}
    rebuild(pod)

    def claim(raw: dict[str, Any]) -> None:
        for file in raw["files"]:
            file["sha256"] = old[file["path"]]

    pod.share.sign("v1", claim)


def another_release(pod: SignedPod, keys: tuple[Key, Key]) -> None:
    """v1 is a copy of v2, its signature included, under the other name."""
    pod.share.add_files("v2", {"model.onnx": b"older"})
    keys[0].sign(pod.share, "v2")
    shutil.rmtree(pod.share.release("v1"))
    shutil.copytree(pod.share.release("v2"), pod.share.release("v1"))
    pod.share.sign("v1", lambda raw: raw.update(version="v1"))


def sign_as_other(pod: SignedPod, keys: tuple[Key, Key]) -> None:
    """Somebody else's key signed what somebody else put there."""
    rebuild(pod)
    keys[1].sign(pod.share, "v1")


def without_payload(data: bytes) -> bytes:
    """A bundle that is one, and says nothing."""
    raw = json.loads(data)
    raw["dsseEnvelope"] = {}
    return json.dumps(raw).encode()


def changed(field: str) -> Callable[[bytes], bytes]:
    """One bit of the signature itself, or of what it is of, is another."""

    def change(data: bytes) -> bytes:
        raw = json.loads(data)
        envelope = raw["dsseEnvelope"]
        holder = envelope["signatures"][0] if field == "sig" else envelope
        value = bytearray(base64.b64decode(holder[field]))
        value[len(value) // 2] ^= 1
        holder[field] = base64.b64encode(value).decode()
        return json.dumps(raw).encode()

    return change


ATTACKS: dict[str, Attack] = {
    "rebuilt": keep_signature(rebuild),
    "other chunks": keep_signature(other_chunks),
    "other canary": keep_signature(
        lambda pod: pod.share.sign("v1", lambda raw: raw["models"][0].update(max_length=64))
    ),
    "fewer files": keep_signature(lambda pod: pod.share.sign("v1", lambda raw: raw["files"].pop())),
    "another release": another_release,
    "another key": sign_as_other,
    "unsigned": lambda pod, _: pod.signature.unlink(),
    "empty": with_signature(lambda _: b""),
    "garbage": with_signature(lambda _: bytes(range(256))),
    "no bundle": with_signature(lambda _: b'{"mediaType": 7}'),
    "deep": with_signature(lambda _: b"[" * 100_000),
    "no payload": with_signature(without_payload),
    "cut off": with_signature(lambda data: data[:-40]),
    "changed": with_signature(changed("sig")),
    "changed payload": with_signature(changed("payload")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_what_the_owner_of_the_key_did_not_sign(
    name: str, pod: SignedPod, keys: tuple[Key, Key]
) -> None:
    """Whatever who may write to the share does, it is exit 5 before a byte is staged."""
    key, _ = keys
    ATTACKS[name](pod, keys)
    assert_failed(
        pod.init(*key.requiring), 5, "v1", "signature" if name != "unsigned" else "signed"
    )
    pod.assert_nothing_came()
    assert set(pod.state()["quarantined"]) == {"v1"}
    if name != "unsigned":
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
def test_what_the_store_holds_is_held_to_the_rule(pod: SignedPod, keys: tuple[Key, Key]) -> None:
    """A hot restart checks the store's own copy, with the share away too."""
    key, other = keys
    assert pod.init(*key.requiring).code == 0
    pod.share.root.rename(pod.share.root.with_name("away"))
    assert pod.init(*key.requiring).code == 0
    assert pod.init(*other.requiring).code == 3, "only the share could have another signature"
    held = pod.store / "releases/v1" / manifest.SIGNATURE
    held.unlink()
    assert pod.init(*key.checking).code == 0, "none is required"
    assert pod.init(*key.requiring).code == 3
    pod.share.root.with_name("away").rename(pod.share.root)
    assert pod.init(*key.requiring).code == 0
    assert held.read_bytes() == pod.signature.read_bytes()


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


def test_a_tree_that_was_made_by_hand(tmp_path: Path, key: Key) -> None:
    """It has no manifest that could be signed: refused where a signature is required."""
    pod = Pod(tmp_path)
    tree(pod.share.root)
    assert_failed(pod.init(*key.requiring), 5, "signed")
    assert not (pod.store / "current").is_symlink()
    done = pod.init(*key.checking)
    assert done.code == 0, done.lines
    assert done.named("release.unsigned")


def test_no_pod_makes_what_it_could_not_sign(tmp_path: Path, key: Key) -> None:
    """Where a signature is required, a missing release is missing: the Hub is not asked."""
    pod = Pod(tmp_path)
    pod.share.mark("catalogued")
    for populate in ("store", "share"):
        done = pod.run("init", "--populate", populate, *key.requiring)
        assert_failed(done, 4, "missing on the share")


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
