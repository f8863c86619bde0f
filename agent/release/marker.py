"""The marker: a small file on the share that names the release that every pod should serve.

Line 1 is the version. Further lines start with `#`; of these `# previous: V …` and
`# allow-new-space` mean something. Pure: bytes in, decisions out.
"""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from typing import Final

from agent.errors import ReleaseMissingError
from agent.release.tree import LINK_MAGIC
from agent.release.version import is_version

MAX_BYTES: Final = 4096
RECORD_BYTES: Final = 512
CHAIN_LENGTH: Final = 3

_PREVIOUS: Final = "previous:"
_ALLOW_NEW_SPACE: Final = "allow-new-space"
_BOM: Final = "\ufeff"


class UnknownMarkerError(ValueError):
    """The bytes name no release. It means *unknown*, never *change*."""


@dataclass(frozen=True)
class Marker:
    """The content of a marker.

    Attributes:
        version: The release to serve.
        previous: The releases to fall back to, newest first.
        allow_new_space: Whether the operator accepts another embedding space.
        sha256: The digest of the marker's bytes: a quarantine ends when it changes.
    """

    version: str
    previous: tuple[str, ...] = ()
    allow_new_space: bool = False
    sha256: str = ""

    @property
    def chain(self) -> tuple[str, ...]:
        """The version and those to fall back to, in order, each once."""
        return tuple(dict.fromkeys((self.version, *self.previous)))


def digest(data: bytes) -> str:
    """Return the SHA-256 of a marker's bytes."""
    return hashlib.sha256(data).hexdigest()


def parse(data: bytes) -> Marker:
    """Read a marker as any editor or shell writes it.

    A byte order mark, UTF-16 after one, CRLF or CR, blank lines before the first and blanks after
    it do no harm.

    Raises:
        UnknownMarkerError: The bytes are empty, torn, binary, too many, or name no valid version.
    """
    if len(data) > MAX_BYTES:
        raise UnknownMarkerError(f"it has over {MAX_BYTES} bytes")
    text = _decode(data).replace("\r\n", "\n").replace("\r", "\n")
    first, *rest = text.lstrip().split("\n")
    version = first.strip()
    if data.startswith(LINK_MAGIC):
        raise UnknownMarkerError("it is a link, as it looks without the mount option mfsymlinks")
    if not is_version(version):
        raise UnknownMarkerError(
            f"its first line is {version[:80]!r}, not a version" if version else "it is empty"
        )
    comments = [line.strip()[1:].strip() for line in rest if line.strip().startswith("#")]
    return Marker(
        version,
        previous=_previous(comments),
        allow_new_space=_ALLOW_NEW_SPACE in comments,
        sha256=digest(data),
    )


def render(marker: Marker, *, by: str, at: str) -> bytes:
    """Return the bytes that `promote` writes: `RECORD_BYTES` of them, padded with newlines.

    A fixed size lets it be replaced by one range write, which no reader sees half done.

    Args:
        marker: The content.
        by: The person who promoted, for people.
        at: The time, for people, as UTC.
    """
    lines = [marker.version]
    if marker.previous:
        lines.append(f"# {_PREVIOUS} {' '.join(marker.previous)}")
    if marker.allow_new_space:
        lines.append(f"# {_ALLOW_NEW_SPACE}")
    record = "\n".join([*lines, f"# promoted: {at} by {_printable(by)}"]).encode()[
        : RECORD_BYTES - 1
    ]
    return record.decode(errors="ignore").encode().ljust(RECORD_BYTES, b"\n")


def promoted(old: Marker | None, version: str, *, allow_new_space: bool = False) -> Marker:
    """Return the marker that names `version`; the release of `old` becomes the chain's head."""
    chain = old.chain if old else ()
    previous = tuple(v for v in chain if v != version)[:CHAIN_LENGTH]
    return Marker(version, previous=previous, allow_new_space=allow_new_space)


def rolled_back(old: Marker, version: str | None = None) -> Marker:
    """Return the marker that goes back to `version`, by default to the head of the chain.

    The release that is rolled back does not enter the chain, since it is not wanted any more. A
    release of the chain was served before, so its embedding space is allowed.

    Raises:
        ReleaseMissingError: The chain is empty, and no version is given.
    """
    target = version or next((v for v in old.previous if v != old.version), None)
    if target is None:
        raise ReleaseMissingError(
            f"The marker names {old.version} and has no previous release to roll back to.",
            remedy="Name the release: model-agent promote VERSION.",
        )
    previous = tuple(v for v in old.previous if v not in {target, old.version})[:CHAIN_LENGTH]
    return Marker(target, previous=previous, allow_new_space=target in old.previous)


def _decode(data: bytes) -> str:
    # PowerShell's `>` writes UTF-16.
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        begins = data[:8].hex(" ")
        raise UnknownMarkerError(
            f"it is not {encoding.upper()} text: it begins with {begins}"
        ) from None
    if "\x00" in text:
        raise UnknownMarkerError("it holds NUL bytes, as a file does that was made but not written")
    return text.removeprefix(_BOM)


def _previous(comments: list[str]) -> tuple[str, ...]:
    chains = [line.removeprefix(_PREVIOUS) for line in comments if line.startswith(_PREVIOUS)]
    words = chains[0].split() if chains else []
    return tuple(dict.fromkeys(word for word in words if is_version(word)))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:200]
