"""Signing: what `publish --sign-key` gives, and what it takes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import ConfigError
from agent.release import manifest
from agent.signing import keys as signing
from tests.support import agents
from tests.support.agents import assert_failed
from tests.support.keys import CURVES, Key, make_key, unusable_keys
from tests.support.pods import NO_SHARE, Pod
from tests.support.shares import EXTERNAL, INLINE, SNAPSHOT, TestShare, snapshot, tree
from tests.support.signed import checked_by_the_tool

if TYPE_CHECKING:
    from tests.support.signed import SignedPod

# Prints by how many bytes one check raised the most memory that the process has had, then why not.
_CHECK = """
import sys
from pathlib import Path
from agent.signing import keys as signing
from agent.release import manifest
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
key, release, signature = map(Path, sys.argv[1:])
checker, data = signing.verifier(key), signature.read_bytes()
listed = manifest.parse(release.read_bytes())
before = peak()
wrong = checker.problem(listed, data)
print(peak() - before)
print(wrong)
"""
_MIB = 1024 * 1024
_MUCH = signing.MAX_BYTES - 1024
# Each as long as a signature may be; what is in it is what Python's `json` takes most memory for.
_HUGE = {
    "fields": b'{"verificationMaterial":{},"y":[%b0]}' % (b'{"":0},' * (_MUCH // 7)),
    "fields and an emoji": b'{"verificationMaterial":{"x":"\xf0\x9f\x98\x80"},"y":[%b0]}'
    % (b'{"":0},' * (_MUCH // 7)),
    "an emoji": b'{"verificationMaterial":{"x":"\xf0\x9f\x98\x80%b"}}' % (b"a" * _MUCH),
    "an emoji in ASCII": b'{"verificationMaterial":{"x":"\\uD83D\\ude00%b"}}' % (b"a" * _MUCH),
    "letters": b'{"verificationMaterial":{"x":"%b"}}' % (b"a" * _MUCH),
    "brackets": b"[" * _MUCH,
}


@pytest.fixture
def site(tmp_path: Path) -> Pod:
    """A pod whose share is empty."""
    return Pod(tmp_path)


@pytest.mark.slow
def test_a_signed_release_from_publish_to_the_store(site: Pod, tmp_path: Path, key: Key) -> None:
    """What `publish --sign-key` signs passes every command that wants a signature.

    It passes those that know of none, too, and model-signing's own tool on the share.
    """
    done = site.publish_tree("v1", tree(tmp_path / "tree"), "--sign-key", key.private)
    assert done.code == 0, done.sentence
    assert f"signed with {key.private}" in done.stdout
    release = site.share.release("v1")
    listed = {f.path for f in site.share.manifest("v1").files} | {"manifest.json", "model.sig"}
    assert {p for p, c in snapshot(release).items() if c != "directory"} == listed
    for name, flags in (("strict", key.requiring), ("plain", ())):
        pod = site.another(name)
        commands: list[tuple[str, ...]] = [("init", "--no-warm")]
        if flags:
            commands += [("promote", "v1"), ("verify",)]
        for command in commands:
            done = pod.run(*command, *flags)
            assert done.code == 0, (name, command, done.lines)
        held = (pod.store / "current" / manifest.SIGNATURE).read_bytes()
        assert held == (release / manifest.SIGNATURE).read_bytes()
    assert checked_by_the_tool(release, key).returncode == 0
    (release / "fastembed/more").touch()
    assert "Extra files" in checked_by_the_tool(release, key).stderr


@pytest.mark.slow
def test_a_signed_bundle(site: Pod, tmp_path: Path, keys: tuple[Key, Key]) -> None:
    """Its signature goes along to the share of the other site, where it is checked first."""
    share, source, bundle = site.share, tree(tmp_path / "tree"), tmp_path / "bundle"
    key, other = keys
    flags = ("--bundle", bundle, "--sign-key", key.private)
    done = site.publish_tree("v1", source, *flags, env=NO_SHARE)
    assert done.code == 0, done.sentence
    assert checked_by_the_tool(bundle, key).returncode == 0
    assert_failed(site.publish_tree("v1", bundle, *other.requiring), 5, "signature")
    assert snapshot(share.root) == {}
    done = site.publish_tree("v1", bundle, *key.requiring)
    assert done.code == 0, done.sentence
    assert snapshot(share.release("v1")) == snapshot(bundle)


def test_keys_that_cannot_be_used(tmp_path: Path) -> None:
    """Each is exit 2 and named, with what a key must be."""
    unusable = unusable_keys(tmp_path)
    for name, key in unusable.items():
        with pytest.raises(ConfigError, match=f"{name}.pem is no private key .* without a pass"):
            signing.signer(key.private)
        if name != "locked":  # whose public half is as good as any
            with pytest.raises(ConfigError, match=f"{name}.pub is no public key .* P-256"):
                signing.verifier(key.public)
    swapped = make_key(tmp_path)
    for use, path in ((signing.signer, swapped.public), (signing.verifier, swapped.private)):
        with pytest.raises(ConfigError, match="key that can be used"):
            use(path)
    with pytest.raises(ConfigError, match="nowhere cannot be read: No such file"):
        signing.verifier(tmp_path / "nowhere")


def test_wrong_keys_are_said_before_anything_is_done(tmp_path: Path, pod: SignedPod) -> None:
    """A key that is not there, or a requirement without one, is exit 2, and nothing changed."""
    before = snapshot(tmp_path)
    gone = str(tmp_path / "nowhere")
    assert_failed(pod.init("--verify-key", gone), 2, gone)
    assert_failed(pod.publish_tree("v2", tmp_path, "--sign-key", gone), 2, gone)
    assert_failed(pod.init("--require-signature"), 2, "needs --verify-key")
    assert snapshot(tmp_path) == before


@pytest.mark.slow
def test_without_the_extra(pod: SignedPod, key: Key, tmp_path: Path) -> None:
    """Who gives a key is told what to install: exit 2. Who gives none needs nothing."""
    blocker = tmp_path / "blocker"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text("import sys\nsys.modules['model_signing'] = None\n")
    pod.env["PYTHONPATH"] = f"{blocker}:{agents.REPO}"
    for flags in (
        ("init", *key.checking),
        ("sidecar", *key.checking),
        ("verify", "v1", "--on", "share", *key.checking),
        ("publish", "--sign-key", str(key.private)),
    ):
        assert_failed(pod.run(*flags), 2, "pip install 'model-agent[signing]'")
    assert pod.init().code == 0


@pytest.mark.parametrize("name", _HUGE)
def test_a_signature_that_would_take_memory(name: str, tmp_path: Path, key: Key) -> None:
    """Whatever stands in the place of a signature, it is refused in 200 MiB at most."""
    share = TestShare(tmp_path / "share")
    share.add_files("v1", {"model.onnx": b"weights"})
    path = tmp_path / "model.sig"
    path.write_bytes(_HUGE[name])
    release = share.release("v1") / manifest.FILE_NAME
    done = agents.run("-c", _CHECK, key.public, release, path, program=Path(sys.executable))
    assert done.code == 0, done.lines
    taken, wrong = done.stdout.splitlines()[:2]
    assert int(taken) < 200 * _MIB
    assert wrong != "None"


@pytest.mark.slow
@pytest.mark.parametrize("curve", CURVES)
def test_every_curve_and_every_model(curve: str, tmp_path: Path) -> None:
    """What any of these keys signs is right for its other half, and for no other release."""
    key = make_key(tmp_path, curve=curve)
    share = TestShare(tmp_path / "share")
    one, other = share.add("v1", INLINE), share.add("v2", EXTERNAL)
    signature = key.sign(share, "v1")
    checker = signing.verifier(key.public)
    assert checker.problem(one, signature) is None
    assert checker.problem(other, signature) == "it is of other content"
    assert checked_by_the_tool(share.release("v1"), key).returncode == 0
    (share.release("v1") / SNAPSHOT / "model.onnx").write_bytes(b"")
    assert checked_by_the_tool(share.release("v1"), key).returncode != 0
