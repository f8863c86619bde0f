"""Names that a release may hold, and that a URL or a file system may get wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.release import paths
from agent.release.tree import Node
from tests.unit.shares.conformance.releases import contents, publication

if TYPE_CHECKING:
    from tests.unit.shares.conformance.places import Place

LONG: Final = "x" * 200
NAMES: Final = (
    "Mixed  Case.TXT",
    "100%",
    "%2e%2e",
    "a%20b",
    "a#b+c&d=e;f",
    "it's (1) [2] {3}",
    "$x,@y!~`^",
    "-rf",
    "..dots",
    "grün ß 日本語 😀",
    LONG,
)


def test_they_are_names_of_releases() -> None:
    """Each of these names is one that a manifest may list, all in one directory."""
    assert [name for name in NAMES if paths.problem(name)] == []
    assert paths.collision(NAMES) is None


def test_files_with_such_names(place: Place) -> None:
    """A file is found under exactly the name that another client gave it."""
    for name in NAMES:
        place.put(f"top/{name}", name.encode())
    assert place.share.names("top") == tuple(sorted(NAMES))
    sizes = {name: Node("file", len(name.encode())) for name in NAMES}
    assert place.share.tree(("top",)).under("top") == sizes
    for name in NAMES:
        assert place.share.read(f"top/{name}", 1000) == name.encode()
        assert contents(place.share, f"top/{name}") == name.encode()


def test_directories_with_such_names(place: Place) -> None:
    """A directory with such a name is found, and so is a file in it."""
    for name in NAMES:
        place.put(f"{name}/file", name.encode())
    assert place.share.names("") == tuple(sorted(NAMES))
    nodes = place.share.tree(NAMES).nodes
    assert {path for path in nodes if path.endswith("/file")} == {f"{n}/file" for n in NAMES}
    for name in NAMES:
        assert place.share.names(name) == ("file",)
        assert place.share.read(f"{name}/file", 1000) == name.encode()


def test_files_are_written_with_such_names(place: Place) -> None:
    """A file is written under exactly that name."""
    place.make_directory("top")
    for name in NAMES:
        place.share.write(f"top/{name}", name.encode())
        assert (place.root / "top" / name).read_bytes() == name.encode()
    assert place.share.names("top") == tuple(sorted(NAMES))


def test_a_release_with_such_names(place: Place) -> None:
    """A release of such files is published as it was made, and removed."""
    files = {f"{name}/{name}": name.encode() for name in NAMES if name != LONG}
    place.share.publish(publication(files))
    for path, data in files.items():
        assert (place.root / "releases/v1" / path).read_bytes() == data
    place.share.remove("releases/v1")
    assert place.share.names("releases") == ()
    assert place.share.names("") == ("releases",)
