"""Makes keys, and signs releases with them as `publish --sign-key` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from agent.release import manifest
from agent.signing import keys as signing

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from tests.support.shares import TestShare

CURVES: Final = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


@dataclass(frozen=True)
class Key:
    """A key pair, as two PEM files."""

    private: Path
    public: Path

    @property
    def checking(self) -> tuple[str, ...]:
        """The flags of a pod that goes by this key."""
        return ("--verify-key", str(self.public))

    @property
    def requiring(self) -> tuple[str, ...]:
        """The flags of a pod that takes nothing without a signature by this key."""
        return (*self.checking, "--require-signature")

    def sign(self, share: TestShare, version: str) -> bytes:
        """Sign a release of a share; give the signature."""
        signature = signing.signer(self.private).sign(share.manifest(version))
        (share.release(version) / manifest.SIGNATURE).write_bytes(signature)
        return signature


def make_key(directory: Path, name: str = "key", curve: str = "P-256") -> Key:
    """An elliptic key pair in `directory`."""
    return write_key(directory, name, ec.generate_private_key(CURVES[curve]))


def unusable_keys(directory: Path) -> dict[str, Key]:
    """Keys that no release can be signed with, by what they are."""
    return {
        "rsa": write_key(directory, "rsa", rsa.generate_private_key(65537, 2048)),
        "ed25519": write_key(directory, "ed25519", ed25519.Ed25519PrivateKey.generate()),
        "curve": write_key(directory, "curve", ec.generate_private_key(ec.SECP256K1())),
        "locked": write_key(
            directory, "locked", ec.generate_private_key(ec.SECP256R1()), password=b"secret"
        ),
    }


def write_key(
    directory: Path, name: str, key: PrivateKeyTypes, *, password: bytes | None = None
) -> Key:
    """Write both halves of a key."""
    made = Key(directory / f"{name}.pem", directory / f"{name}.pub")
    lock = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    made.private.write_bytes(key.private_bytes(pem, form, lock))
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    made.public.write_bytes(key.public_key().public_bytes(pem, public))
    return made
