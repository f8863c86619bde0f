"""Signs releases, while they are made and on the share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.release import manifest
from agent.release.layout import RELEASES
from agent.signing import keys, stored

if TYPE_CHECKING:
    from pathlib import Path

    from agent.context import Context
    from agent.release.manifest import Manifest
    from agent.shares.base import Share
    from agent.shares.reader import ShareReader
    from agent.signing.policy import Policy


@dataclass(frozen=True)
class Signing:
    """Signs new releases, and holds them to the rule about signatures.

    Attributes:
        key: The private key (`--sign-key`); None to sign nothing.
        policy: The rule.
    """

    key: Path | None
    policy: Policy

    @classmethod
    def of(cls, context: Context) -> Signing:
        """Return the one of a run."""
        return cls(context.settings.sign_key, context.policy)

    def put(self, release: Manifest, directory: Path) -> None:
        """Sign a new release, or let it keep the signature that it came with.

        Raises:
            VerificationError: It came with a wrong signature, or the rule would not let it in.
        """
        if self.key:
            # The old one is checked before it is written over: else a valid one would cover content
            # that came with a wrong one.
            came = stored.read(directory)
            if came is not None:
                self.policy.hold(release, came, where="as it came")
            stored.keep(directory, keys.signer(self.key).sign(release))
        self.policy.hold(release, stored.read(directory), where="on its way to the share")

    def is_due(self, reader: ShareReader, release: Manifest) -> bool:
        """Return whether a release on the share has yet to be signed with this key."""
        if self.key is None:
            return False
        there = reader.signature(release.version)
        return there is None or not keys.signer(self.key).has_signed(release, there)

    def add(self, share: Share, release: Manifest) -> None:
        """Sign a release on the share: readers see the old signature or the new one, whole."""
        if self.key:
            path = f"{RELEASES}/{release.version}/{manifest.SIGNATURE}"
            share.write(path, keys.signer(self.key).sign(release))
