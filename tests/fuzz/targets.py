"""What is fuzzed: each parser gives a value that keeps its promises, or its documented error."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import tomlkit

from agent.errors import ConfigError, ReleaseMissingError, VerificationError
from agent.release import catalog, manifest, marker
from agent.release.marker import Marker, UnknownMarkerError
from agent.release.version import is_version
from tests.fuzz import edits
from tests.support import stores
from tests.support.manifests import FULL

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.release.manifest import Manifest

AT: Final = "2026-11-23T15:00:00Z"


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        check: Raises if the parser does with some bytes what it must not.
        seeds: Bytes to begin with, some of them real files.
        words: What its language is made of.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[str, ...] = ()


def check_manifest(data: bytes) -> None:
    """What is read is read again the same; it leads nowhere but into its release."""
    try:
        read = manifest.parse(data)
    except VerificationError as error:
        _check_sentence(error)
        return
    assert manifest.parse(read.encoded) == read
    assert is_version(read.version)
    for file in read.files:
        assert Path(os.path.normpath(f"/release/{file.path}")) == Path("/release", file.path)
        assert len(file.chunks) == manifest.chunk_count(file.size, read.chunk_size)
    assert len({file.path.casefold() for file in read.files}) == len(read.files)
    _check_built(read)


def _check_built(read: Manifest) -> None:
    """Built out of its parts it has the same ones, in order."""
    fields = {name: getattr(read, name) for name in manifest.Document.__annotations__}
    built = manifest.build(**fields | {"files": list(read.files), "models": list(read.models)})
    assert manifest.parse(built.encoded) == built
    assert built.files == tuple(sorted(read.files, key=lambda file: file.path))
    assert built.models == read.models


def check_marker(data: bytes) -> None:
    """What is read names versions only, and can be promoted over and rolled back from."""
    try:
        read = marker.parse(data)
    except UnknownMarkerError as error:
        _check_sentence(error)
        return
    assert all(map(is_version, read.chain))
    for made in (marker.promoted(read, "v9"), _rolled_back(read)):
        record = marker.render(made, by=data.decode(errors="replace"), at=AT)
        assert len(record) == marker.RECORD_BYTES
        assert replace(marker.parse(record), sha256="") == made


def _rolled_back(read: Marker) -> Marker:
    try:
        return marker.rolled_back(read)
    except ReleaseMissingError:
        return Marker(read.version)


def check_catalog(data: bytes) -> None:
    """What is read says the same to the library that pins it, which gives it back to the letter."""
    text = data.decode(errors="surrogateescape")
    try:
        read = catalog.parse(text, where="here")
    except ConfigError as error:
        _check_sentence(error)
        return
    assert is_version(read.version)
    document = tomlkit.parse(text)
    assert tomlkit.dumps(document) == text
    assert [table["name"] for table in document.unwrap()["model"]] == [m.name for m in read.model]


def _check_sentence(error: Exception) -> None:
    """It is one line that can be written."""
    assert len(str(error).splitlines()) == 1
    assert str(error).encode()


def manifests() -> list[bytes]:
    """A release's own manifest, and one with all that may be in it."""
    with tempfile.TemporaryDirectory() as directory:
        files = {"fastembed/a/model.onnx": b"weights", "fastembed/a/empty": b""}
        written = stores.write_release(Path(directory), files, [stores.a_model()], version="v1")
    return [written.encoded, edits.encoded(FULL)]


def markers() -> list[bytes]:
    """By hand, by an editor of Windows, by `promote`."""
    promoted = Marker("2026-11-23", previous=("v2", "v1"), allow_new_space=True)
    record = marker.render(promoted, by="ops@host", at=AT)
    return [b"v2\n", b"\xef\xbb\xbfv2\r\n# previous: v1\r\n", record]


def catalogs() -> list[bytes]:
    """The built-in one, and one with all that may be in it."""
    built_in = (resources.files("agent.release") / "catalog.toml").read_bytes()
    return [built_in, _CATALOG.encode()]


_CATALOG: Final = """\
version = "v1"
[[model]]
name = "Org/name"
loader = "huggingface"
repo = 'Org/other'
revision = "0123456789abcdef0123456789abcdef01234567"
optimize = true
allow = ["*.json", '''x''']
expected = { text = "hello", first = [0.5, -1e-3, 1] }
"""
_FIELDS: Final = tuple(f'"{name}":' for name in edits.names())
_MARKER_WORDS: Final = ("# previous:", "# allow-new-space", "\r\n", "\ufeff", "#")
_TOML_WORDS: Final = (
    *("[[model]]", "version", "name", "loader", "repo", "revision", "optimize", "allow"),
    *("expected", "text", "first", '"""', "'''", "true", "inf", "nan", "1979-05-27", "\\u"),
)

TARGETS: Final = {
    "manifest": Target(check_manifest, manifests, (*_FIELDS, "null", "1e", "\\u")),
    "manifest-values": Target(
        lambda data: check_manifest(edits.made(data)), lambda: [bytes([n] * 8) for n in range(9)]
    ),
    "marker": Target(check_marker, markers, _MARKER_WORDS),
    "catalog": Target(check_catalog, catalogs, _TOML_WORDS),
}
