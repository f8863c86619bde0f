"""Which file names a release may hold."""

from __future__ import annotations

import itertools
import posixpath
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.release import paths
from tests.support import strategies

HOSTILE = [
    pytest.param("", "has 0 characters", id="empty"),
    pytest.param("a/" * 512 + "a", "has 1025 characters", id="over-1024-characters"),
    pytest.param("/etc/passwd", "is absolute", id="absolute"),
    pytest.param("//server/share", "is absolute", id="unc"),
    pytest.param("..", "component '..'", id="parent"),
    pytest.param("../a", "component '..'", id="traversal"),
    pytest.param("a/../../b", "component '..'", id="traversal-inside"),
    pytest.param("a/..", "component '..'", id="traversal-at-the-end"),
    pytest.param(".", "component '.'", id="itself"),
    pytest.param("./a", "component '.'", id="dot-first"),
    pytest.param("a//b", "component ''", id="empty-component"),
    pytest.param("a/", "component ''", id="trailing-slash"),
    pytest.param("a\\..\\b", "Azure Files refuses", id="backslash"),
    pytest.param("C:/a", "Azure Files refuses", id="drive"),
    pytest.param("a:stream", "Azure Files refuses", id="alternate-stream"),
    *(
        pytest.param(f"a/b{char}c", "Azure Files refuses", id=f"char-{ord(char):02x}")
        for char in '"|<>*?\x00\x01\t\n\r\x1f\x7f'
    ),
    pytest.param("a./b", "ends in a dot or a space", id="trailing-dot-of-a-directory"),
    pytest.param("a/b.", "ends in a dot or a space", id="trailing-dot"),
    pytest.param("a/b ", "ends in a dot or a space", id="trailing-space"),
    pytest.param("...", "ends in a dot or a space", id="dots"),
    *(
        pytest.param(f"a/{name}/b", "reserved device name", id=f"device-{name}")
        for name in ("con", "PRN", "Aux", "nul", "COM1", "com9", "LPT1", "lpt9", "CLOCK$")
    ),
    pytest.param("nul.txt", "reserved device name", id="device-with-a-suffix"),
    pytest.param("Con.tar.gz", "reserved device name", id="device-with-suffixes"),
    pytest.param("e\u0301", "normal form C", id="decomposed"),
    pytest.param("a\ud800", "normal form C", id="lone-surrogate"),
    pytest.param("x" * 256, "over 255 bytes", id="long-component"),
    pytest.param("é" * 128, "over 255 bytes", id="long-in-bytes-only"),
]

GOOD = [
    "model.onnx",
    "fastembed/models--Qdrant--bge-large-en-v1.5-onnx/snapshots/0/model.onnx",
    "1_Pooling/config.json",
    ".gitattributes",
    "a b/c d",
    " leading",
    "..a/...b",
    "console",
    "com",
    "com10",
    "null.txt",
    "naïve/東京.txt",
    "x" * 255,
    "é" * 127,
    "a/" * 511 + "ab",
]


@pytest.mark.parametrize("path", GOOD)
def test_ordinary_names_may_stand_in_a_release(path: str) -> None:
    """What model trees are made of is accepted, up to the last byte of each limit."""
    assert paths.problem(path) is None


@pytest.mark.parametrize(("path", "reason"), HOSTILE)
def test_a_hostile_name_is_refused_with_its_reason(path: str, reason: str) -> None:
    """Each kind of name that could leave the tree, or not be stored, is refused by name."""
    assert reason in str(paths.problem(path))


@given(strategies.paths())
def test_drawn_names_may_stand_in_a_release(path: str) -> None:
    """The paths that other tests draw are accepted."""
    assert paths.problem(path) is None


@given(
    strategies.paths(),
    st.sampled_from(["..", ".", "", "a\\b", "c:", "nul", "x.", "x ", "\x00", "\x1f", "\ud800"]),
    st.data(),
)
def test_a_hostile_component_is_refused_wherever_it_stands(
    path: str, hostile: str, data: st.DataObject
) -> None:
    """One bad component spoils the path, in front, inside and at the end."""
    parts = path.split("/")
    parts.insert(data.draw(st.integers(0, len(parts))), hostile)
    assert paths.problem("/".join(parts))


@given(st.text() | st.text("./\\:a \x00\ud800\u0301e"))
@example("a/..")
@example("\ud800")
def test_whatever_is_accepted_stays_below_the_root(path: str) -> None:
    """An accepted path is encodable, in normal form, and leads nowhere but below its root."""
    if paths.problem(path) is None:
        assert posixpath.normpath(posixpath.join("/root", path)) == f"/root/{path}"
        assert unicodedata.normalize("NFC", path) == path
        assert path.encode().decode() == path
        assert not set(path) & set('"\\:|<>*?\x00\n\r\t\x7f')


COLLIDING = [
    pytest.param(["a", "a"], id="twice"),
    pytest.param(["a", "A"], id="case-of-a-file"),
    pytest.param(["a/x", "A/y"], id="case-of-a-directory"),
    pytest.param(["a/b/x", "a/B/y"], id="case-of-an-inner-directory"),
    pytest.param(["a", "a/b"], id="file-as-a-directory"),
    pytest.param(["a/b", "a"], id="directory-as-a-file"),
    pytest.param(["A", "a/b"], id="file-as-a-directory-but-for-case"),
    pytest.param(["a/b/c", "A/B"], id="directory-as-a-file-but-for-case"),
    pytest.param(["straße", "STRASSE"], id="case-of-another-length"),
]


@pytest.mark.parametrize("names", COLLIDING)
def test_names_that_cannot_stand_side_by_side_collide(names: list[str]) -> None:
    """Equal but for case, or one the directory of the other: both are named."""
    found = paths.collision(names)
    assert found is not None
    first, second = found
    assert second in names
    assert any(name == first or name.startswith(f"{first}/") for name in names)


def tangled(one: str, other: str) -> bool:
    """Whether two paths cannot stand beside each other, by the definition, the slow way."""
    pairs = [*zip(one.split("/"), other.split("/"), strict=False)]
    for a, b in pairs:
        if a.casefold() != b.casefold():
            return False
        if a != b:
            return True
    return one.count("/") != other.count("/") or one == other


@given(st.lists(st.text("aAb", min_size=1, max_size=2), max_size=3).flatmap(st.permutations))
def test_a_path_is_tangled_with_its_own_directory(parts: list[str]) -> None:
    """The slow definition that the next test goes by says what is meant."""
    path = "/".join([*parts, "x"])
    assert tangled(path, path)
    assert tangled(path, f"{path}/y")
    assert tangled(path, path.upper()) or path == path.upper()
    assert not tangled(path, f"{path}y")


NAMES = st.lists(st.sampled_from("aAbBc"), min_size=1, max_size=3).map("/".join)


@given(st.lists(NAMES, max_size=5))
def test_paths_collide_exactly_if_two_of_them_do(names: list[str]) -> None:
    """Neither the number nor the order of the other paths matters."""
    expected = any(tangled(a, b) for a, b in itertools.combinations(names, 2))
    assert (paths.collision(names) is not None) == expected
    assert (paths.collision(names[::-1]) is not None) == expected
