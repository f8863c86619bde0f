"""The rule about signatures, to which releases on the share and in the store are held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agent.errors import VerificationError
from agent.signing import keys, stored

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from agent.release.manifest import Manifest


class Signatures(Protocol):
    """A place that may hold the signature of a release: the share."""

    @property
    def address(self) -> str:
        """The place, as people know it."""
        ...

    def signature(self, version: str) -> bytes | None:
        """Return the signature beside a release's manifest; None if there is none.

        Raises:
            VerificationError: Something else than a file stands there.
            UnreachableError: The place does not answer.
        """
        ...


@dataclass(frozen=True)
class Policy:
    """The rule about signatures.

    Attributes:
        key: The public key that releases must be signed for (`--verify-key`); None for no rule.
        required: Whether a release without any signature is refused.
        log: Told of unsigned releases that are let in.
    """

    key: Path | None
    required: bool
    log: FilteringBoundLogger

    def problem(self, release: Manifest, signature: bytes | None) -> str | None:
        """Return the reason to refuse a release, as the rest of a sentence, or None.

        Raises:
            ConfigError: The key cannot be used, or the library is not installed.
        """
        if self.key is None:
            return None
        if signature is None:
            return "it is not signed" if self.required else None
        wrong = keys.verifier(self.key).problem(release, signature)
        return wrong and f"its signature is wrong ({wrong})"

    def hold(self, release: Manifest, signature: bytes | None, *, where: str) -> bool:
        """Refuse a release that breaks the rule; return whether a right signature was seen.

        Raises:
            VerificationError: It is refused.
            ConfigError: The key cannot be used, or the library is not installed.
        """
        if wrong := self.problem(release, signature):
            raise VerificationError(
                f"The release {release.version} {where} is refused: {wrong}.",
                remedy="Sign it with the private key of --verify-key: model-agent publish "
                "--sign-key.",
            )
        if signature is None:
            self.hold_unsigned(release.version)
            return False
        return self.key is not None

    def hold_unsigned(self, version: str) -> None:
        """Refuse a release without a signature, or log that it is let in.

        Raises:
            VerificationError: Signatures are required.
        """
        if self.required:
            raise VerificationError(
                f"{version} is not a signed release, and --require-signature is set.",
                remedy="Publish it with model-agent publish --sign-key.",
            )
        if self.key:
            self.log.warning("release.unsigned", version=version)

    def hold_on(self, share: Signatures, release: Manifest) -> bytes | None:
        """Hold a release on the share to the rule, and return its signature.

        Raises:
            VerificationError: The release is refused.
            UnreachableError: The share does not answer.
        """
        try:
            signature = share.signature(release.version)
        except VerificationError:  # it is no file, which does not matter without a key
            if self.key:
                raise
            signature = None
        self.hold(release, signature, where=f"on the share {share.address}")
        return signature

    def hold_in_store(self, release: Manifest, directory: Path, share: Signatures) -> None:
        """Hold a release of the store to the rule; its signature is fetched if it has no right one.

        Args:
            release: The release.
            directory: Its directory in the store.
            share: The share, from which its signature is fetched.

        Raises:
            VerificationError: It is refused.
            UnreachableError: The share would have to be asked, and does not answer.
        """
        signature = stored.read(directory)
        if self.problem(release, signature):
            signature = self.hold_on(share, release)
            stored.keep(directory, signature)
        self.hold(release, signature, where="in the store")
