"""Signs and checks by the library model-signing. Only `agent.signing.keys` imports this module."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from model_signing import hashing, signing, verifying
from model_signing import manifest as listing
from model_signing._hashing.hashing import Digest  # what public signatures ask for has no other way

from agent.release import manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.release.manifest import Manifest

# Parameters that the library records in a signature, and compares.
_FILES: Final = {
    "method": "files",
    "hash_type": "sha256",
    "allow_symlinks": False,
    "ignore_paths": [manifest.SIGNATURE],
}
_MOST_COMMAS: Final = 1000
# Half of a character beyond the first plane, as JSON has it in ASCII.
_WIDE: Final = re.compile(rb"\\u[dD]")
_SHOWN: Final = 160


class Signer:
    """Signs releases.

    Args:
        pem: A private key.
    """

    def __init__(self, pem: bytes) -> None:
        with _in_memory(pem) as path:
            self._config = signing.Config().use_elliptic_key_signer(private_key=path)
        public = serialization.load_pem_private_key(pem, None).public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        self._own = Verifier(public.public_bytes(serialization.Encoding.PEM, form))

    def sign(self, release: Manifest) -> bytes:
        """Return the signature of a release."""
        self._config.set_hashing_config(_Listed(release))
        with _in_memory() as path:
            self._config.sign(release.version, path)
            return path.read_bytes()

    def has_signed(self, release: Manifest, signature: bytes) -> bool:
        """Return whether this is a signature of the release by this very key."""
        return self._own.problem(release, signature) is None


class Verifier:
    """Checks signatures of releases.

    Args:
        pem: The public key to check with.
    """

    def __init__(self, pem: bytes) -> None:
        with _in_memory(pem) as path:
            self._config = verifying.Config().use_elliptic_key_verifier(public_key=path)

    def problem(self, release: Manifest, signature: bytes) -> str | None:
        """Return what is wrong with a signature, as the rest of a sentence; None if it is right."""
        if _takes_memory(signature):
            return "it has what no signature has"
        listed = _Listed(release)
        self._config.set_hashing_config(listed)
        try:
            with _in_memory(signature) as path:
                self._config.verify(Path(release.version), path)
        except InvalidSignature:
            return "another key made it, or it was changed"
        except Exception as error:  # noqa: BLE001 - whatever the library makes of foreign bytes
            # It asks for the content once the key is right, and then only compares.
            if listed.was_asked:
                return "it is of other content"
            return str(error)[:_SHOWN].strip(" .") or type(error).__name__
        return None


def _takes_memory(signature: bytes) -> bool:
    r"""Return whether parsing a signature would take many times its size in memory.

    The library parses it whatever it is. A real one has a dozen fields, and every long one is
    base64, which is ASCII without a comma. 16 MiB of short fields would become 500 to 700 MiB of
    objects. One character beyond Unicode's first plane, as it is or as `\ud83d…`, makes each string
    that it stands in take four bytes a character: 250 MiB. Without these it is 150 MiB at most.
    """
    return (
        signature.count(b",") > _MOST_COMMAS
        or not signature.isascii()
        or _WIDE.search(signature) is not None
    )


class _Listed(hashing.Config):
    """Lists the files of a release by the digests in its manifest, to which every byte is held.

    These are the release's files and its manifest, each by its SHA-256: the same list that
    `model_signing verify key` makes when it hashes the directory.

    Attributes:
        was_asked: Whether the library has asked for the list.
    """

    def __init__(self, release: Manifest) -> None:
        super().__init__()
        self._release = release
        self.was_asked = False

    def hash(self, *_: Any, **__: Any) -> listing.Manifest:
        self.was_asked = True
        digests = {file.path: file.sha256 for file in self._release.files}
        digests[manifest.FILE_NAME] = hashlib.sha256(self._release.encoded).hexdigest()
        items = [
            listing.FileManifestItem(
                path=PurePosixPath(path), digest=Digest("sha256", bytes.fromhex(digest))
            )
            for path, digest in digests.items()
        ]
        kind = listing.SerializationType.from_args(_FILES)
        return listing.Manifest(self._release.version, items, kind)


@contextmanager
def _in_memory(data: bytes = b"") -> Iterator[Path]:
    """Yield the path of a file in memory: the library takes paths, and a pod may be read-only."""
    with os.fdopen(os.memfd_create("model-agent"), "wb") as file:
        file.write(data)
        file.flush()
        yield Path(f"/proc/self/fd/{file.fileno()}")
