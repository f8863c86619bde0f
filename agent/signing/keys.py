"""Signs releases and checks signatures, by OpenSSF's library model-signing (the extra `signing`).

A signature covers the manifest and, through it, every byte: nothing is hashed a second time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from agent.signing.library import Signer, Verifier

# A signature takes about 300 bytes for each file of its release.
MAX_BYTES: Final = 16 * 1024 * 1024
_MAX_KEY_BYTES: Final = 64 * 1024


def signer(key: Path) -> Signer:
    """Return the signer with a private key: P-256, P-384 or P-521, in PEM, without a password.

    Raises:
        ConfigError: It is no such key, or cannot be read, or the library is not installed.
    """
    made: Signer = _made("Signer", key, "private")
    return made


def verifier(key: Path) -> Verifier:
    """Return the verifier with a public key: P-256, P-384 or P-521, in PEM.

    Raises:
        ConfigError: It is no such key, or cannot be read, or the library is not installed.
    """
    made: Verifier = _made("Verifier", key, "public")
    return made


def check(*, sign_key: Path | None, verify_key: Path | None) -> None:
    """See that the keys can be used, before anything else is done.

    Raises:
        ConfigError: A key cannot be used, or the library is not installed.
    """
    if sign_key:
        signer(sign_key)
    if verify_key:
        verifier(verify_key)


def _made(name: str, key: Path, kind: str) -> Any:
    try:
        # 38 MiB and half a second, for those who use it.
        library = import_module("agent.signing.library")
    except ImportError as error:
        raise ConfigError(
            f"The {kind} key {key} is given, but the library for it is not installed: {error}.",
            remedy="Install it: pip install 'model-agent[signing]'.",
        ) from None
    try:
        with key.open("rb") as file:
            return getattr(library, name)(file.read(_MAX_KEY_BYTES))
    except OSError as error:
        what = f"The {kind} key {key} cannot be read: {error.strerror or error}."
        raise ConfigError(what, remedy="Check the path, and who may read it.") from None
    except Exception:  # noqa: BLE001 - whatever the library makes of a file that is no key
        raise ConfigError(
            f"{key} is no {kind} key that can be used.",
            remedy="Give a key of P-256, P-384 or P-521, in PEM, without a password.",
        ) from None
