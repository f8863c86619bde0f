"""The rule about signatures: only what the owner of the key signed is let in."""

from __future__ import annotations

import base64
import json
import shutil
from typing import TYPE_CHECKING, Any, Final

import pytest
from structlog.testing import capture_logs

from agent import logs
from agent.errors import ConfigError, UnreachableError, VerificationError
from agent.release import manifest
from agent.shares.directory import DirectoryShare
from agent.shares.reader import ShareReader
from agent.signing import stored
from agent.signing.policy import Policy
from tests.support.keys import make_key
from tests.support.shares import TestShare
from tests.support.signed import FILES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.release.manifest import Manifest
    from tests.support.keys import Key


class Signed:
    """A share with a release v1 that the operators' key signed.

    Attributes:
        key: The operators' key.
        other: Somebody else's.
    """

    def __init__(self, root: Path, key: Key, other: Key) -> None:
        self.root = root
        self.share = TestShare(root / "share")
        self.share.add_files("v1", FILES)
        self.key, self.other = key, other
        self.right = key.sign(self.share, "v1")

    @property
    def signature(self) -> Path:
        """The signature of v1 on the share."""
        return self.share.release("v1") / manifest.SIGNATURE

    @property
    def reader(self) -> ShareReader:
        """What reads the share."""
        return ShareReader(DirectoryShare(self.share.root), "VERSION", logs.get())

    @property
    def release(self) -> Manifest:
        """The manifest of v1 on the share."""
        return self.share.manifest("v1")

    def policy(self, *, required: bool = True, key: Key | None = None) -> Policy:
        """Return the rule of a pod that goes by the operators' key, or by another."""
        return Policy((key or self.key).public, required=required, log=logs.get())

    def rebuild(self) -> None:
        """Put other bytes there, with a manifest that is right for them, as any writer can."""
        shutil.rmtree(self.share.release("v1"))
        self.share.add_files("v1", FILES | {"model.onnx": b"evil" * 30_000})

    def held(self) -> Path:
        """Return the release's directory in a store, with what the share has of it now."""
        directory = self.root / "store" / "v1"
        shutil.copytree(self.share.release("v1"), directory)
        return directory


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, Key]:
    """The operators' key, and somebody else's."""
    directory = tmp_path_factory.mktemp("keys")
    return make_key(directory), make_key(directory, "other")


@pytest.fixture
def here(keys: tuple[Key, Key], tmp_path: Path) -> Signed:
    """A share with a signed release."""
    return Signed(tmp_path, *keys)


OPEN: Final = Policy(None, required=False, log=logs.get())


def keeping_signature(change: Callable[[Signed], object]) -> Callable[[Signed], None]:
    """Make a change, and have the signature stand as it was."""

    def attack(here: Signed) -> None:
        change(here)
        here.signature.write_bytes(here.right)

    return attack


def with_signature(make: Callable[[bytes], bytes]) -> Callable[[Signed], None]:
    """Have another signature stand there."""

    def attack(here: Signed) -> None:
        here.signature.write_bytes(make(here.right))

    return attack


def other_chunks(here: Signed) -> None:
    """Put other bytes there whose whole digest is claimed to be the old one."""
    old = {file.path: file.sha256 for file in here.release.files}
    here.rebuild()

    def claim(raw: dict[str, Any]) -> None:
        for file in raw["files"]:
            file["sha256"] = old[file["path"]]

    here.share.sign("v1", claim)


def another_release(here: Signed) -> None:
    """Have v1 be a copy of v2, its signature included, under the other name."""
    here.share.add_files("v2", {"model.onnx": b"older"})
    here.key.sign(here.share, "v2")
    shutil.rmtree(here.share.release("v1"))
    shutil.copytree(here.share.release("v2"), here.share.release("v1"))
    here.share.sign("v1", lambda raw: raw.update(version="v1"))


def sign_as_other(here: Signed) -> None:
    """Have somebody else's key sign what somebody else put there."""
    here.rebuild()
    here.other.sign(here.share, "v1")


def without_payload(data: bytes) -> bytes:
    """Return a bundle that is one, and says nothing."""
    return json.dumps(json.loads(data) | {"dsseEnvelope": {}}).encode()


def changed(field: str) -> Callable[[bytes], bytes]:
    """Flip one bit of the signature itself, or of what it is of."""

    def change(data: bytes) -> bytes:
        raw = json.loads(data)
        envelope = raw["dsseEnvelope"]
        holder = envelope["signatures"][0] if field == "sig" else envelope
        value = bytearray(base64.b64decode(holder[field]))
        value[len(value) // 2] ^= 1
        holder[field] = base64.b64encode(value).decode()
        return json.dumps(raw).encode()

    return change


CONTENT: Final = "it is of other content"
KEY: Final = "another key made it, or it was changed"

# By the reason that is given; of what is no signature at all, the library says one.
ATTACKS: Final[dict[str, tuple[Callable[[Signed], None], str]]] = {
    "rebuilt": (keeping_signature(Signed.rebuild), CONTENT),
    "other chunks": (keeping_signature(other_chunks), CONTENT),
    "other canary": (
        keeping_signature(
            lambda here: here.share.sign("v1", lambda raw: raw["models"][0].update(max_length=64))
        ),
        CONTENT,
    ),
    "fewer files": (
        keeping_signature(lambda here: here.share.sign("v1", lambda raw: raw["files"].pop())),
        CONTENT,
    ),
    "another release": (another_release, CONTENT),
    "another key": (sign_as_other, "Key mismatch"),
    "changed": (with_signature(changed("sig")), KEY),
    "changed payload": (with_signature(changed("payload")), KEY),
    "empty": (with_signature(lambda _: b""), ""),
    "garbage": (with_signature(lambda _: bytes(range(256))), "it has what no signature has"),
    "no bundle": (with_signature(lambda _: b'{"mediaType": 7}'), ""),
    "deep": (with_signature(lambda _: b"[" * 100_000), ""),
    "no payload": (with_signature(without_payload), ""),
    "cut off": (with_signature(lambda data: data[:-40]), ""),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_the_owner_of_the_key_did_not_sign(name: str, here: Signed) -> None:
    """Whatever who may write to the share does, it is refused: on the share and in a store.

    Without a key it is let in, as if there were no signatures.
    """
    attack, reason = ATTACKS[name]
    attack(here)
    policy, release, held = here.policy(required=False), here.release, here.held()
    with pytest.raises(VerificationError) as caught:
        policy.hold_on(here.reader, release)
    what = f"The release v1 on the share {here.share.root} is refused: its signature is wrong ("
    assert caught.value.what.startswith(what)
    assert reason in caught.value.what
    assert "--sign-key" in caught.value.remedy
    with pytest.raises(VerificationError, match="its signature is wrong"):
        policy.hold(release, stored.read(held), where="in the store")
    assert OPEN.hold_on(here.reader, release) == here.signature.read_bytes()


def test_what_is_signed(here: Signed) -> None:
    """It is let in, and its signature is given for the store to keep."""
    assert here.policy().hold_on(here.reader, here.release) == here.right
    assert here.policy().hold(here.release, here.right, where="anywhere")
    assert not OPEN.hold(here.release, here.right, where="anywhere"), "nobody checked it"


def test_what_is_not_signed(here: Signed) -> None:
    """Where signatures are required it is refused; with a key alone it is let in, and said."""
    here.signature.unlink()
    with pytest.raises(VerificationError, match="is refused: it is not signed"):
        here.policy().hold_on(here.reader, here.release)
    with capture_logs() as said:
        assert here.policy(required=False).hold_on(here.reader, here.release) is None
    assert said == [{"event": "release.unsigned", "log_level": "warning", "version": "v1"}]
    with capture_logs() as said:
        assert OPEN.hold_on(here.reader, here.release) is None
    assert said == []


def test_what_nobody_could_sign(here: Signed) -> None:
    """A hand-made tree, or a release that a pod makes, has no signature: the same holds."""
    with pytest.raises(VerificationError, match="and --require-signature is set"):
        here.policy().hold_unsigned("v1")
    with capture_logs() as said:
        here.policy(required=False).hold_unsigned("v1")
        OPEN.hold_unsigned("v1")
    assert [each["event"] for each in said] == ["release.unsigned"]


def test_no_file_in_the_signature_s_place(here: Signed) -> None:
    """With a key it is refused; without one nobody minds what stands there."""
    here.signature.unlink()
    here.signature.mkdir()
    with pytest.raises(VerificationError):
        here.policy(required=False).hold_on(here.reader, here.release)
    assert OPEN.hold_on(here.reader, here.release) is None
    assert stored.read(here.share.release("v1")) == b"", "in a store it is a wrong one"


def test_a_store_with_the_right_signature(here: Signed) -> None:
    """The share is not asked: it may be away."""
    held, release = here.held(), here.release
    here.share.root.rename(here.root / "away")
    here.policy().hold_in_store(release, held, here.reader)


@pytest.mark.parametrize("data", [None, b"", b"{}"], ids=["none", "empty", "wrong"])
def test_a_store_without_the_right_signature(data: bytes | None, here: Signed) -> None:
    """It is fetched from the share, if that has it; without the share nothing is let in."""
    held, release = here.held(), here.release
    stored.keep(held, data)
    here.share.root.rename(here.root / "away")
    with pytest.raises(UnreachableError):
        here.policy().hold_in_store(release, held, here.reader)
    (here.root / "away").rename(here.share.root)
    here.policy().hold_in_store(release, held, here.reader)
    assert stored.read(held) == here.right


def test_a_store_by_another_key(here: Signed) -> None:
    """A key that nobody signed with lets nothing in, and the share cannot help."""
    held = here.held()
    with pytest.raises(VerificationError, match="on the share"):
        here.policy(key=here.other).hold_in_store(here.release, held, here.reader)
    assert stored.read(held) == here.right


def test_a_release_that_lost_its_signature(here: Signed) -> None:
    """A wrong one in the store goes where the share has none, and none is required."""
    held = here.held()
    stored.keep(held, b"{}")
    here.signature.unlink()
    here.policy(required=False).hold_in_store(here.release, held, here.reader)
    assert stored.read(held) is None


def test_a_key_that_is_none(here: Signed, tmp_path: Path) -> None:
    """A key that cannot be used is a mistake of the operator's, not the release's."""
    wrong = tmp_path / "wrong.pub"
    wrong.write_text("no key")
    with pytest.raises(ConfigError, match="is no public key"):
        Policy(wrong, required=True, log=logs.get()).hold_on(here.reader, here.release)
