"""The credential for Azure Files: from a Secret, a variable or the pod's identity.

It is read again whenever a file of the Secret changes.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, unquote

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.utils import parse_connection_string

from agent.errors import ConfigError, MissingSecretError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from agent.shares.azurefiles.address import Address

Kind = Literal["connection-string", "account-key", "sas", "identity"]
Stamp = tuple[tuple[int, int, int], ...]

# Kind, variable and file name of each credential. The variables are those of the Azure CLI;
# `azurestorageaccountkey` is the key's name in the Secret of file.csi.azure.com. The first that
# exists is taken, as the Azure CLI does.
SOURCES: Final[tuple[tuple[Kind, str, str], ...]] = (
    ("connection-string", "AZURE_STORAGE_CONNECTION_STRING", "connectionstring"),
    ("account-key", "AZURE_STORAGE_KEY", "azurestorageaccountkey"),
    ("sas", "AZURE_STORAGE_SAS_TOKEN", "sastoken"),
)
_FILES: Final = ", ".join(file for _, _, file in SOURCES)


@dataclass(frozen=True)
class Credential:
    """A credential in the form that the SDK takes.

    Attributes:
        kind: The kind of credential.
        source: The variable or file that it came from, for the log; never the secret itself.
        value: For the SDK: a named key, a SAS token, or a token credential.
        endpoint: The URL that a connection string names; None if it names none.
    """

    kind: Kind
    source: str
    value: Any
    endpoint: str | None = None


class Credentials:
    """Finds the credential for a share.

    Args:
        address: The share that the credential is for.
        secret_dir: A mounted Secret, which may change while the agent runs; or None.
        environ: The environment variables.
    """

    def __init__(
        self, address: Address, secret_dir: Path | None, environ: Mapping[str, str]
    ) -> None:
        self._address = address
        self._secret_dir = secret_dir
        self._environ = environ

    def stamp(self) -> Stamp:
        """Return inode, size and mtime of the Secret's files; they differ once a file changes."""
        if self._secret_dir is None:
            return ()
        stamps = []
        for _, variable, file in SOURCES:
            for name in (file, variable):
                try:
                    seen = (self._secret_dir / name).stat()
                except OSError:
                    continue
                stamps.append((seen.st_ino, seen.st_size, seen.st_mtime_ns))
        return tuple(stamps)

    def read(self) -> Credential:
        """Return the current credential: a file of the Secret, a variable or the pod's identity.

        If there is a Secret, variables do not count; the identity is used if neither is given.

        Raises:
            MissingSecretError: The Secret has no credential.
            ConfigError: The Secret cannot be read, or its value or the variable's is malformed.
        """
        kind, source, secret = self._from_files() or self._from_environment()
        match kind:
            case "connection-string":
                return self._from_connection_string(secret, source)
            case "account-key":
                return Credential(kind, source, _named_key(self._address.account, secret, source))
            case "sas":
                return Credential(kind, source, _sas(secret, source))
            case "identity":
                return Credential(kind, source, _identity())

    def _from_files(self) -> tuple[Kind, str, str] | None:
        if self._secret_dir is None:
            return None
        for kind, variable, file in SOURCES:
            for path in (self._secret_dir / file, self._secret_dir / variable):
                try:
                    secret = _bare(path.read_text())
                except FileNotFoundError:
                    continue
                except (OSError, UnicodeDecodeError) as error:
                    raise ConfigError(
                        f"The storage secret {path} cannot be read: {error}.",
                        remedy="Mount it readable for this user.",
                    ) from None
                if secret:
                    return kind, str(path), secret
        raise MissingSecretError(
            f"The storage secret is missing: {self._secret_dir} has none of {_FILES}.",
            remedy="Create the Secret and mount it there, or leave --azure-secret-dir out to use "
            "the pod's identity.",
        )

    def _from_environment(self) -> tuple[Kind, str, str]:
        for kind, variable, _ in SOURCES:
            if secret := _bare(self._environ.get(variable, "")):
                return kind, variable, secret
        return "identity", "DefaultAzureCredential", ""

    def _from_connection_string(self, text: str, source: str) -> Credential:
        try:
            parts = parse_connection_string(text)
        except ValueError:
            raise _malformed(source, "is not a connection string") from None
        account = parts.get("accountname", self._address.account)
        if account != self._address.account:
            raise ConfigError(
                f"{source} is for the account {account} and --share names {self._address.account}.",
                remedy="Use the connection string of the share's account.",
            )
        endpoint = parts.get("fileendpoint", "").rstrip("/") or None
        value: Any
        if key := parts.get("accountkey"):
            value = _named_key(account, key, source)
        elif sas := parts.get("sharedaccesssignature"):
            value = _sas(sas, source)
        else:
            raise _malformed(source, "has neither AccountKey nor SharedAccessSignature")
        return Credential("connection-string", source, value, endpoint)


def _named_key(account: str, key: str, source: str) -> AzureNamedKeyCredential:
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed(source, "is not an account key: it is not base64") from None
    return AzureNamedKeyCredential(account, key)


def _bare(text: str) -> str:
    """Return a secret without what editors, shells and `az` put around it, or between its lines."""
    return "".join(text.removeprefix("\ufeff").split()).strip("\"'")


def _sas(text: str, source: str) -> str:
    """Return the token of a SAS, as the portal, `az` or a page of HTML gives it.

    A token may come as a whole URL, as a part of a connection string, and with its values
    decoded: a `+` in the signature would arrive as a space.
    """
    query = text.rpartition("?")[2].removeprefix("SharedAccessSignature=").replace("&amp;", "&")
    pairs = [part.partition("=") for part in query.split("&") if part]
    if not any(name == "sig" and value for name, _, value in pairs):
        raise _malformed(source, "is not a SAS token: it has no sig=")
    return "&".join(f"{quote(name)}={quote(unquote(value), safe='')}" for name, _, value in pairs)


def _malformed(source: str, what: str) -> ConfigError:
    return ConfigError(f"{source} {what}.", remedy="Copy it again from the storage account.")


def _identity() -> object:
    # The import costs 10 MB, so only those who use an identity pay for it.
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    return DefaultAzureCredential()
