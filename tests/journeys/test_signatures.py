"""Signatures: only what the owner of the key signed is activated, wherever it comes from."""

from __future__ import annotations

import base64
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from agent.release import manifest
from tests.support import agents
from tests.support.cluster import running_sidecar
from tests.support.rest import rest_share
from tests.support.shares import EXTERNAL, INLINE, TestShare, snapshot, tree
from tests.support.signed import FILES, Pod, assert_refused
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.keys import Key

    Attack = Callable[[Pod, tuple[Key, Key]], None]


@pytest.mark.slow
def test_a_release_without_a_signature(pod: Pod, key: Key) -> None:
    """With a key alone it is taken, with a warning; where one is required, it is exit 5.

    That goes for every command, and none of them changes anything.
    """
    pod.signature.unlink()
    before = snapshot(pod.share.root)
    assert_refused(pod.init(*key.requiring), "v1", "not signed", "--sign-key")
    pod.assert_nothing_came()
    roots = ("--share", str(pod.share.root))
    for command in (("promote", "v1"), ("rollback", "v1"), ("verify", "v1", "--on", "share")):
        assert_refused(agents.run(*command, *roots, *key.requiring), "not signed")
    assert snapshot(pod.share.root) == before
    done = pod.init(*key.checking)
    assert done.code == 0, done.lines
    assert done.named("release.unsigned")
    assert_refused(pod.run("verify", "v1", *key.requiring), "in the store", "not signed")


def rebuild(pod: Pod) -> None:
    """As who may write to the share can: other bytes, and a manifest that is right for them."""
    shutil.rmtree(pod.share.release("v1"))
    pod.share.add_files("v1", FILES | {"model.onnx": b"evil" * 30_000})


def keep_signature(change: Callable[[Pod], object]) -> Attack:
    """Make a change, and have the signature stand as it was."""

    def attack(pod: Pod, _: tuple[Key, Key]) -> None:
        signature = pod.signature.read_bytes()
        change(pod)
        pod.signature.write_bytes(signature)

    return attack


def with_signature(make: Callable[[bytes], bytes]) -> Attack:
    """Have another signature stand there."""

    def attack(pod: Pod, _: tuple[Key, Key]) -> None:
        pod.signature.write_bytes(make(pod.signature.read_bytes()))

    return attack


def other_chunks(pod: Pod) -> None:
    """Other bytes whose whole digest is claimed to be the old one."""
    old = {file.path: file.sha256 for file in pod.share.manifest("v1").files}
    rebuild(pod)

    def claim(raw: dict[str, Any]) -> None:
        for file in raw["files"]:
            file["sha256"] = old[file["path"]]

    pod.share.sign("v1", claim)


def another_release(pod: Pod, keys: tuple[Key, Key]) -> None:
    """v1 is a copy of v2, its signature included, under the other name."""
    pod.share.add_files("v2", {"model.onnx": b"older"})
    keys[0].sign(pod.share, "v2")
    shutil.rmtree(pod.share.release("v1"))
    shutil.copytree(pod.share.release("v2"), pod.share.release("v1"))
    pod.share.sign("v1", lambda raw: raw.update(version="v1"))


def sign_as_other(pod: Pod, keys: tuple[Key, Key]) -> None:
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
def test_what_the_owner_of_the_key_did_not_sign(name: str, pod: Pod, keys: tuple[Key, Key]) -> None:
    """Whatever who may write to the share does, it is exit 5 before a byte is staged."""
    key, _ = keys
    ATTACKS[name](pod, keys)
    assert_refused(pod.init(*key.requiring), "v1", "signature" if name != "unsigned" else "signed")
    pod.assert_nothing_came()
    state = json.loads((pod.store / ".agent/state.json").read_bytes())
    assert set(state["quarantined"]) == {"v1"}
    if name != "unsigned":
        assert_refused(pod.run("verify", "v1", "--on", "share", *key.checking), "signature")
    assert pod.init().code == 0, "without a key nobody minds"


def test_a_bad_bump_falls_back_to_what_is_signed(pod: Pod, key: Key) -> None:
    """`init` comes up on the signed release before, and says so."""
    pod.share.add_files("v2", {"model.onnx": b"newer"})
    pod.share.mark("v2", "previous: v1")
    done = pod.init(*key.requiring)
    assert done.code == 0, done.lines
    assert "NOT the desired release v2" in "\n".join(done.lines)
    assert pod.active() == "v1"
    assert [path.name for path in (pod.store / "releases").iterdir()] == ["v1"]


@pytest.mark.slow
def test_what_the_store_holds_is_held_to_the_rule(pod: Pod, keys: tuple[Key, Key]) -> None:
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


def test_a_store_that_was_rebuilt(pod: Pod, key: Key) -> None:
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
    assert_refused(pod.run("verify", "v1", *key.checking), "in the store", "other content")
    done = pod.init(*key.requiring)
    assert done.code == 0, done.lines
    assert done.named("store.corrupt")
    assert snapshot(pod.store / "releases/v1") == original


def test_a_release_that_is_signed_later(pod: Pod, key: Key) -> None:
    """Stores that hold it already fetch the signature alone: no byte of the release moves."""
    signature = pod.signature.read_bytes()
    pod.signature.unlink()
    assert pod.init().code == 0
    held = pod.store / "releases/v1"
    before = {path: path.stat().st_ino for path in held.rglob("*")}
    assert_refused(pod.init(*key.requiring), "not signed")
    pod.signature.write_bytes(signature)
    done = pod.init(*key.requiring)
    assert done.code == 0, done.lines
    assert {path: path.stat().st_ino for path in before} == before
    assert (held / manifest.SIGNATURE).read_bytes() == signature


def test_a_tree_that_was_made_by_hand(tmp_path: Path, key: Key) -> None:
    """It has no manifest that could be signed: refused where a signature is required."""
    share, store = TestShare(tmp_path / "share"), tmp_path / "store"
    (share.root / "releases").rmdir()
    store.mkdir()
    tree(share.root)
    flags = ("--share", share.root, "--catalog", share.catalog, "--no-warm")
    done = agents.run("init", *flags, "--store", store, *key.requiring)
    assert_refused(done, "signed")
    assert not (store / "current").is_symlink()
    done = agents.run("init", *flags, "--store", store, *key.checking)
    assert done.code == 0, done.lines
    assert done.named("release.unsigned")


def test_no_pod_makes_what_it_could_not_sign(tmp_path: Path, key: Key) -> None:
    """Where a signature is required, a missing release is missing: the Hub is not asked."""
    share, store = TestShare(tmp_path / "share"), tmp_path / "store"
    store.mkdir()
    share.mark("catalogued")
    flags = ("--share", share.root, "--catalog", share.catalog, "--store", store)
    for populate in ("store", "share"):
        done = agents.run("init", *flags, "--populate", populate, *key.requiring)
        assert_refused(done, "missing on the share", code=4)


@pytest.mark.slow
def test_the_sidecar_holds_what_is_active_to_the_rule(tmp_path: Path, key: Key) -> None:
    """What another pod made active in a shared store is not ready, nor asked for, until signed."""
    share, store = TestShare(tmp_path / "share"), tmp_path / "store"
    store.mkdir()
    share.add("v1", INLINE)
    share.mark("v1")
    env = {"MODEL_AGENT_SHARE": str(share.root), "MODEL_AGENT_STORE": str(store)}
    env |= {"MODEL_AGENT_DEVICE": "cpu"}
    assert agents.run("init", "--no-warm", env=env).code == 0
    env, worker = agents.environment(env), "http://127.0.0.1:9"
    with running_sidecar(env, worker, *key.requiring, poll="200ms") as sidecar:
        said = sidecar.wait_for("release.refused", version="v1")
        assert "not a signed release" in said["error"] or "not signed" in said["error"]
        assert "sign" in sidecar.status()["doing"]
        assert sidecar.get("/readyz").status_code == 503
        assert sidecar.metric("model_agent_reload_attempts_total") == 0
        key.sign(share, "v1")
        until(lambda: sidecar.get("/readyz").is_success)
        assert sidecar.status()["active"] == "v1"


@pytest.mark.slow
def test_the_sidecar_takes_signed_bumps_only(tmp_path: Path, key: Key) -> None:
    """A bump that is not signed is quarantined, one that is signed is taken.

    So is a release that the store held before anybody signed: going back to it is a bump, too.
    """
    share, store = TestShare(tmp_path / "share"), tmp_path / "store"
    store.mkdir()
    for version, kind in (("v1", INLINE), ("v2", EXTERNAL), ("v3", INLINE), ("v4", EXTERNAL)):
        share.add(version, kind)
    env = {"MODEL_AGENT_SHARE": str(share.root), "MODEL_AGENT_STORE": str(store)}
    env |= {"MODEL_AGENT_DEVICE": "cpu", "MODEL_AGENT_KEEP": "4"}
    for version in ("v1", "v2"):
        share.mark(version)
        if version == "v2":
            key.sign(share, version)
        assert agents.run("init", "--no-warm", env=env).code == 0
    flags = ("--reload-method", "none", *key.requiring)
    env = agents.environment(env)

    def active() -> str:
        return (store / "current").readlink().name

    with running_sidecar(env, "http://127.0.0.1:9", *flags, poll="200ms") as sidecar:
        for version in ("v1", "v3"):
            share.mark(version)
            refused = sidecar.wait_for("release.quarantined", version=version)
            assert "not signed" in refused["reason"]
            assert active() == "v2"
        key.sign(share, "v4")
        share.mark("v4")
        until(lambda: active() == "v4")
        key.sign(share, "v1")
        share.mark("v1", "promoted again")
        until(lambda: active() == "v1")
    held = {path.parent.name for path in store.glob("releases/*/" + manifest.SIGNATURE)}
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
    source, store = tree(tmp_path / "tree"), tmp_path / "store"
    store.mkdir()
    with rest_share(tmp_path / "root") as share:
        publish = ("publish", "--from", source, "--version", "v1", "--sign-key")
        init = ("init", "--no-warm", "--store", store)
        for signer in (other, key):
            done = share.run(*publish, signer.private)
            assert done.code == 0, done.sentence
            assert f"signed with {signer.private}" in done.stdout
            assert share.run("promote", "v1", *signer.requiring).code == 0
        assert_refused(share.run(*init, *other.requiring), "signature")
        assert not (store / "current").is_symlink()
        assert share.run(*init, *key.requiring).code == 0
        assert (store / "current" / manifest.SIGNATURE).is_file()
        rebuilt = share.disk.manifest("v1").encoded.replace(b'"max_length":', b'"max_length":1')
        share.put("releases/v1/manifest.json", manifest.parse(rebuilt).encoded)
        done = share.run("verify", "v1", "--on", "share", *key.checking)
        assert_refused(done, "other content")
