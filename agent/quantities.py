"""Parsers of settings' values, such as durations and sizes. Pure: no I/O.

Each raises `ValueError` for a malformed text; its message continues the sentence "--flag 'text' …".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# What the address of a socket file begins with.
UNIX: Final = "unix://"

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(Ki|Mi|Gi|Ti|k|M|G|T)?")
_BYTES: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12} | {
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_STEP: Final = 1024
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off", "")


def duration(text: str) -> float:
    """Return the seconds of `500ms`, `5s`, `10m`, `1h` or a sum such as `1m30s`."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("is not a duration such as 5s or 10m")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def positive_duration(text: str) -> float:
    """Return the seconds of a duration that is more than 0."""
    seconds = duration(text)
    if seconds <= 0:
        raise ValueError("must be more than 0s")
    return seconds


def size(text: str) -> int:
    """Return the bytes of a Kubernetes quantity such as `8Gi` or `500M`."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError("is not a size such as 8Gi")
    return int(float(match[1]) * _BYTES[match[2] or ""])


def amount(size: int) -> str:
    """Return bytes as people read them, such as `8.0 GiB`."""
    value, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < _STEP:
            break
        value, unit = value / _STEP, larger
    return f"{size} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def boolean(text: str) -> bool:
    """Return true for 1, true, yes or on, and false for 0, false, no, off or an empty text."""
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError("is neither true nor false")
    return text.lower() in _TRUE


def count(text: str) -> int:
    """Return a whole number from 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError("is not a whole number from 1")
    return int(text)


def cosine(text: str) -> float:
    """Return a number above 0 and up to 1."""
    value = float(text) if re.fullmatch(r"[0-9]*\.?[0-9]+", text) else 0.0
    if not 0 < value <= 1:
        raise ValueError("is not a number above 0 and up to 1")
    return value


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that accepts only one of `words`."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"is not one of {', '.join(words)}")
        return text

    return parse


def address(text: str) -> tuple[str, int]:
    """Return host and port of `0.0.0.0:9090` or `[::]:9090`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - the last port
        raise ValueError("is not HOST:PORT")
    return host.strip("[]"), int(port)


def worker_url(text: str) -> str:
    """Return a worker's URL, `http://HOST:PORT` or `unix:///PATH`, without a final slash."""
    if not re.fullmatch(rf"http://[^/\s]+/?|{UNIX}/\S+", text):
        raise ValueError(f"is neither http://HOST:PORT nor {UNIX}/PATH")
    return text if text.startswith(UNIX) else text.rstrip("/")


def endpoint(text: str) -> str:
    """Return a URL `https://HOST[:PORT]` without a final slash; http is allowed for own servers."""
    if not re.fullmatch(r"https?://[^/\s?#@]+/?", text):
        raise ValueError("is not https://HOST[:PORT]")
    return text.rstrip("/")


def marker_path(text: str) -> str:
    """Return a relative path without `..`."""
    if text.startswith("/") or not text or ".." in text.split("/"):
        raise ValueError("is not a path on the share")
    return text
