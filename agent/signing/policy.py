"""The rule about signatures: which releases are let in, on the share as in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import VerificationError
from agent.files import durable
from agent.files.durable import writing
from agent.release import manifest
from agent.release.layout import RELEASES
from agent.signing import keys as signing

if TYPE_CHECKING:
    from pathlib import Path

    from agent.context import Context
    from agent.release.manifest import Manifest


def prepare(context: Context) -> None:
    """See that there is all that the settings need, before anything else is done.

    Raises:
        ConfigError: A key cannot be used, or the library is not installed.
    """
    if key := context.settings.sign_key:
        signing.signer(key)
    if key := context.settings.verify_key:
        signing.verifier(key)


def problem(context: Context, release: Manifest, signature: bytes | None) -> str | None:
    """Why the rule does not let a release in, as the rest of a sentence; None if it does."""
    if context.settings.verify_key is None:
        return None
    if signature is None:
        return "it is not signed" if context.settings.require_signature else None
    wrong = signing.verifier(context.settings.verify_key).problem(release, signature)
    return wrong and f"its signature is wrong ({wrong})"


def hold(context: Context, release: Manifest, signature: bytes | None, *, where: str) -> bool:
    """Hold a release to the rule; give whether its signature was seen to be right.

    Raises:
        VerificationError: It is not let in.
        ConfigError: The key cannot be used, or the library is not installed.
    """
    if wrong := problem(context, release, signature):
        raise VerificationError(
            f"The release {release.version} {where} is refused: {wrong}.",
            remedy="Sign it with the key that belongs to --verify-key: model-agent publish "
            "--sign-key.",
        )
    if signature is None:
        unsigned(context, release.version)
        return False
    return context.settings.verify_key is not None


def unsigned(context: Context, version: str) -> None:
    """Say that something without any signature is let in, or refuse it.

    Raises:
        VerificationError: Signatures are required.
    """
    if context.settings.require_signature:
        raise VerificationError(
            f"{version} is not a signed release, and --require-signature is set.",
            remedy="Publish it with model-agent publish --sign-key.",
        )
    if context.settings.verify_key:
        context.log.warning("release.unsigned", version=version)


def on_share(context: Context, release: Manifest) -> bytes | None:
    """The signature that stands beside a release on the share, held to the rule.

    Raises:
        VerificationError: The release is not let in.
        UnreachableError: The share does not answer.
    """
    try:
        signature = context.signature(release.version)
    except VerificationError:  # it is no file, which is nobody's business without a key
        if context.settings.verify_key:
            raise
        signature = None
    hold(context, release, signature, where=f"on the share {context.share.address}")
    return signature


def read(directory: Path) -> bytes | None:
    """The signature in the directory of a release, if there is one; empty if it cannot be read."""
    try:
        with (directory / manifest.SIGNATURE).open("rb") as file:
            return file.read(signing.MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError:  # it is no right one
        return b""


def in_store(context: Context, release: Manifest) -> None:
    """Hold a release of the store to the rule; one that was signed since has its signature fetched.

    Raises:
        VerificationError: It is not let in.
        UnreachableError: The share would have to be asked, and does not answer.
    """
    home = context.store.path(release.version)
    signature = read(home)
    if problem(context, release, signature):
        signature = on_share(context, release)
        keep(home, signature)
    hold(context, release, signature, where="in the store")


def keep(directory: Path, signature: bytes | None) -> None:
    """Have a signature, or none, stand in the directory of a release."""
    path = directory / manifest.SIGNATURE
    with writing(path.name):
        if signature is None:
            path.unlink(missing_ok=True)
        else:
            durable.write(path, signature)


def put(context: Context, release: Manifest, directory: Path) -> None:
    """Sign a new release, or let it keep the signature that it came with; hold it to the rule.

    Raises:
        VerificationError: It came with a wrong signature, or as it is now it would be refused.
    """
    if key := context.settings.sign_key:
        # Before it is written over: a right signature would vouch for what a wrong one came with.
        came = read(directory)
        if came is not None:
            hold(context, release, came, where="as it came")
        keep(directory, signing.signer(key).sign(release))
    hold(context, release, read(directory), where="on its way to the share")


def is_due(context: Context, release: Manifest) -> bool:
    """Whether a release on the share is to be signed, and this key has not done so."""
    if context.settings.sign_key is None:
        return False
    there = context.signature(release.version)
    signer = signing.signer(context.settings.sign_key)
    return there is None or not signer.has_signed(release, there)


def add(context: Context, release: Manifest, key: Path) -> None:
    """Sign a release that is on the share: readers see the old signature or the new one, whole."""
    path = f"{RELEASES}/{release.version}/{manifest.SIGNATURE}"
    context.share.write(path, signing.signer(key).sign(release))
