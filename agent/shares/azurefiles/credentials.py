"""Who the agent is to Azure Files: what was given, where, and anew once a file of it changes."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.utils import parse_connection_string

from agent.errors import ConfigError, MissingSecretError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from agent.shares.azurefiles.address import Address

Kind = Literal["connection-string", "account-key", "sas", "identity"]
Stamp = tuple[tuple[int, int, int], ...]

# The variables are those of the Azure CLI; `azurestorageaccountkey` is what the Secret of
# file.csi.azure.com calls the key. The first that is there is taken, as the Azure CLI does.
SOURCES: Final[tuple[tuple[Kind, str, str], ...]] = (
    ("connection-string", "AZURE_STORAGE_CONNECTION_STRING", "connectionstring"),
    ("account-key", "AZURE_STORAGE_KEY", "azurestorageaccountkey"),
    ("sas", "AZURE_STORAGE_SAS_TOKEN", "sastoken"),
)
_FILES: Final = ", ".join(file for _, _, file in SOURCES)


@dataclass(frozen=True)
class Credential:
    """What the SDK is given.

    Attributes:
        kind: What it is.
        source: The variable or file that it came from, for the log; the secret itself never is.
        value: For the SDK: a named key, a SAS token, or a token credential.
        endpoint: What a connection string says, if it says so.
    """

    kind: Kind
    source: str
    value: Any
    endpoint: str | None = None


class Credentials:
    """Where a credential is looked for.

    Args:
        address: The share that it is for.
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
        """Changes whenever a file of the Secret does."""
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
        """What is given now: a file of the Secret, else a variable, else the pod's identity.

        Raises:
            MissingSecretError: The Secret has no credential in it.
            ConfigError: The Secret cannot be read, or what is given cannot be a credential.
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
                    secret = path.read_text().strip()
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
            if secret := self._environ.get(variable, "").strip():
                return kind, variable, secret
        return "identity", "DefaultAzureCredential", ""

    def _from_connection_string(self, text: str, source: str) -> Credential:
        try:
            parts = parse_connection_string(text)
        except ValueError:
            raise _malformed(source, "is no connection string") from None
        account = parts.get("accountname", self._address.account)
        if account != self._address.account:
            raise ConfigError(
                f"{source} is for the account {account} and --share names {self._address.account}.",
                remedy="Take the connection string of the share's account.",
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
        raise _malformed(source, "is no account key: it is not base64") from None
    return AzureNamedKeyCredential(account, key)


def _sas(text: str, source: str) -> str:
    token = text.removeprefix("?")
    if "sig=" not in token:
        raise _malformed(source, "is no SAS token: it has no sig=")
    return token


def _malformed(source: str, what: str) -> ConfigError:
    return ConfigError(f"{source} {what}.", remedy="Copy it again from the storage account.")


def _identity() -> object:
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - 10 MB, for those who use it

    return DefaultAzureCredential()
