"""Shared Key signatures: the string to sign of a request, and whether a signature fits it.

Source: "Authorize with Shared Key" (Microsoft REST reference), for versions 2015-02-21 and later.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_STANDARD: Final = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


@dataclass(frozen=True)
class SignedParts:
    """What of a request is signed.

    Attributes:
        method: The HTTP verb.
        path: The path as it stood in the request line, still encoded.
        query: The query parameters, decoded, in any order.
        headers: The headers, names in lower case.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]


def sign(key: bytes, text: str) -> str:
    """HMAC-SHA256 of `text`, in base64."""
    return base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode()


def fits(key: bytes, texts: Iterable[str], signature: str) -> bool:
    """Whether the signature is one of any of these texts."""
    given = signature.encode()
    return any(hmac.compare_digest(sign(key, text).encode(), given) for text in texts)


def strings_to_sign(parts: SignedParts, account: str) -> list[str]:
    """The strings that a signature may be of.

    The documentation sorts the `x-ms-` headers lexicographically; the service, and the SDKs,
    sort them as words, where hyphens hardly count. Both orders are accepted.
    """
    head = "\n".join([parts.method.upper(), *(_standard(parts, name) for name in _STANDARD)])
    resource = canonical_resource(parts, account)
    custom = {n: " ".join(v.split()) for n, v in parts.headers.items() if n.startswith("x-ms-")}
    strings = []
    for order in (sorted(custom), sorted(custom, key=_as_word)):
        lines = "".join(f"{name}:{custom[name]}\n" for name in order)
        strings.append(f"{head}\n{lines}{resource}")
    return strings


def canonical_resource(parts: SignedParts, account: str) -> str:
    """The account, the encoded path, and each query parameter on a line of its own."""
    values: dict[str, list[str]] = {}
    for name, value in parts.query:
        values.setdefault(name.lower(), []).append(value)
    lines = [f"\n{name}:{','.join(sorted(values[name]))}" for name in sorted(values)]
    return f"/{account}{parts.path}{''.join(lines)}"


def split_query(raw: str) -> tuple[tuple[str, str], ...]:
    """The parameters of a raw query, decoded; a plus sign is a plus sign."""
    pairs = (part.partition("=") for part in raw.split("&") if part)
    return tuple((unquote(name), unquote(value)) for name, _, value in pairs)


def _standard(parts: SignedParts, name: str) -> str:
    value = parts.headers.get(name, "")
    if name == "content-length" and value == "0":
        return ""
    if name == "date" and "x-ms-date" in parts.headers:
        return ""
    return value


def _as_word(name: str) -> tuple[list[tuple[int, str]], int]:
    """Sorts "_" before digits before letters, and hyphens last of all."""
    letters = [(0 if c == "_" else 1 if c.isdigit() else 2, c) for c in name if c != "-"]
    return letters, -name.find("-")
