"""Shared access signatures: what a token's signature is of, when it holds, and what it allows.

Source: "Create a service SAS" and "Create an account SAS" (Microsoft REST reference). Tokens that
name a stored access policy, and user delegation tokens, are refused: neither is modelled.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from tests.doubles.azure_files.moments import iso, parse_iso
from tests.doubles.azure_files.resterror import RestError, unauthentic
from tests.doubles.azure_files.signing import fits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tests.doubles.azure_files.permissions import Need

_OVERRIDES: Final = ("rscc", "rscd", "rsce", "rscl", "rsct")
OVERRIDDEN: Final = {
    "rscc": "Cache-Control",
    "rscd": "Content-Disposition",
    "rsce": "Content-Encoding",
    "rscl": "Content-Language",
    "rsct": "Content-Type",
}
_ENCRYPTION_SCOPES: Final = "2020-12-06"
_FILE_PREFIX: Final = "2015-02-21"


def check_sas(
    token: Mapping[str, str],
    *,
    account: str,
    key: bytes,
    path: str,
    need: Need,
    now: datetime,
    secure: bool,
    remote: str,
) -> None:
    """Let a token pass that is authentic, holds now, and allows what is asked.

    Args:
        token: The query parameters, names in lower case.
        account: The account's name.
        key: Its key.
        path: `SHARE` or `SHARE/dir/file` that the request is about, decoded.
        need: What the operation asks of a token.
        now: The service's time.
        secure: The request came over https.
        remote: The address that it came from.

    Raises:
        RestError: It does not.
    """
    text = _account_text(token, account) if "ss" in token else _service_text(token, account, path)
    if not fits(key, [text], token.get("sig", "")):
        raise unauthentic(f"Signature did not match. String to sign used was {text}")
    _check_time(token, now)
    _check_origin(token, secure=secure, remote=remote)
    if "ss" in token:
        _check_account_scope(token, need)
    elif not set(token.get("sp", "")) & need.service:
        raise RestError(
            "AuthorizationPermissionMismatch" if need.service else "AuthorizationFailure"
        )


def _account_text(token: Mapping[str, str], account: str) -> str:
    fields = ["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"]
    if token.get("sv", "") >= _ENCRYPTION_SCOPES:
        fields.append("ses")
    return "\n".join([account, *(token.get(name, "") for name in fields), ""])


def _service_text(token: Mapping[str, str], account: str, path: str) -> str:
    if "skoid" in token:
        raise unauthentic("User delegation tokens are not served by this double.")
    if "si" in token:
        raise unauthentic(f"The stored access policy {token['si']} does not exist.")
    if token.get("sr") not in {"s", "f"}:
        raise unauthentic("sr is mandatory. Cannot be empty, and must be s or f.")
    resource = path if token["sr"] == "f" else path.partition("/")[0]
    prefix = "/file" if token.get("sv", "") >= _FILE_PREFIX else ""
    before = [token.get(name, "") for name in ("sp", "st", "se")]
    after = [token.get(name, "") for name in ("si", "sip", "spr", "sv", *_OVERRIDES)]
    return "\n".join([*before, f"{prefix}/{account}/{resource}", *after])


def _check_time(token: Mapping[str, str], now: datetime) -> None:
    start, expiry = parse_iso(token.get("st", "0001-01-01")), parse_iso(token.get("se", ""))
    if start is None or expiry is None or not token.get("sv"):
        raise unauthentic("st, se or sv is missing or not in the correct format.")
    if not start <= now < expiry:
        raise unauthentic(
            "Signature not valid in the specified time frame: "
            f"Start [{iso(start)}] - Expiry [{iso(expiry)}] - Current [{iso(now)}]"
        )


def _check_origin(token: Mapping[str, str], *, secure: bool, remote: str) -> None:
    if token.get("spr", "https,http") == "https" and not secure:
        raise RestError("AuthorizationProtocolMismatch")
    if "sip" in token:
        first, _, last = token["sip"].partition("-")
        try:
            low, high = ipaddress.IPv4Address(first), ipaddress.IPv4Address(last or first)
            allowed = low <= ipaddress.IPv4Address(remote) <= high
        except ValueError:
            allowed = False
        if not allowed:
            raise RestError("AuthorizationSourceIPMismatch")


def _check_account_scope(token: Mapping[str, str], need: Need) -> None:
    if "f" not in token.get("ss", ""):
        raise RestError("AuthorizationServiceMismatch")
    if need.level not in token.get("srt", ""):
        raise RestError("AuthorizationResourceTypeMismatch")
    if not set(token.get("sp", "")) & need.account:
        raise RestError("AuthorizationPermissionMismatch")
