"""What hypothesis draws: versions, paths, manifests, and any JSON at all.

They are valid by how they are made, not by asking the code under test.
"""

from __future__ import annotations

import string
from typing import Any, Final

from hypothesis import strategies as st

_ALNUM: Final = string.ascii_letters + string.digits
# No uppercase of a letter that is here in lower case, and no way to spell CON, PRN, AUX, NUL, COM
# or LPT: neither case nor device names can collide by chance.
_SAFE: Final = "abdefgXYZ0189_-é東"

Json = dict[str, Any]


def versions() -> st.SearchStrategy[str]:
    """Names of releases, by the rule in the design document."""
    tail = st.text(_ALNUM + "._-", max_size=62).map(lambda text: text.rstrip("."))
    return st.builds(str.__add__, st.sampled_from(_ALNUM), tail)


def digests(digits: int = 64) -> st.SearchStrategy[str]:
    """Lower-case hexadecimal numbers of so many digits: 64 for SHA-256, 40 for a revision."""
    return st.integers(0, 16**digits - 1).map(f"{{:0{digits}x}}".format)


def repos() -> st.SearchStrategy[str]:
    """Repositories of the Hub: `ORG/NAME`."""
    part = st.builds(
        str.__add__, st.sampled_from(_ALNUM), st.text(_ALNUM + "_-", min_size=1, max_size=8)
    )
    return st.builds("{}/{}".format, part, part)


def paths() -> st.SearchStrategy[str]:
    """Paths that may stand in a release.

    Only the last component has a dot, so that no path is the directory of another.
    """
    component = st.text(_SAFE, min_size=1, max_size=8)
    suffix = st.sampled_from([".json", ".onnx", ".safetensors", ".txt"])
    name = st.builds(str.__add__, component, suffix)
    directories = st.lists(component, max_size=3)
    return st.builds(lambda parts, last: "/".join([*parts, last]), directories, name)


def json_values() -> st.SearchStrategy[Any]:
    """Any value that JSON has."""
    numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    leaves = st.none() | st.booleans() | numbers | st.text()
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )


@st.composite
def manifests(draw: st.DrawFn) -> Json:
    """Manifests that keep every rule, as the JSON that `manifest.json` holds."""
    chunk_size = draw(st.integers(1, 64 * 1024 * 1024))
    chosen = draw(st.lists(paths(), min_size=1, max_size=4, unique=True))
    loaders = st.sampled_from(["fastembed", "sentence-transformers", "huggingface"])
    names = draw(
        st.lists(st.tuples(repos(), loaders), min_size=1, max_size=3, unique=True),
    )
    return {
        "schema": 1,
        "version": draw(versions()),
        "created": draw(st.text()),
        "generator": draw(st.text()),
        "chunk_size": chunk_size,
        "files": [_file(draw, path, chunk_size) for path in chosen],
        "models": [_model(draw, name, loader) for name, loader in names],
    }


def _file(draw: st.DrawFn, path: str, chunk_size: int) -> Json:
    chunks = draw(st.lists(digests(), max_size=4))
    short = draw(st.integers(0, chunk_size - 1)) if chunks else 0
    file: Json = {
        "path": path,
        "size": len(chunks) * chunk_size - short,
        "sha256": draw(digests()),
        "chunks": chunks,
    }
    if draw(st.booleans()):
        file["upstream_sha256"] = draw(digests())
    return file


def _model(draw: st.DrawFn, name: str, loader: str) -> Json:
    dim = draw(st.integers(1, 4))
    model: Json = {
        "name": name,
        "loader": loader,
        "repo": draw(repos()),
        "revision": draw(digests(40)),
        "dim": dim,
        "max_length": draw(st.integers(1, 100_000_000)),
    }
    if draw(st.booleans()):
        number = st.floats(-1, 1, allow_subnormal=False).filter(bool)
        vector = st.lists(number, min_size=dim, max_size=dim)
        vectors = draw(st.lists(vector, min_size=1, max_size=2))
        model["canary"] = {
            "texts": [draw(st.text()) for _ in vectors],
            "vectors": vectors,
            "min_cosine": draw(st.floats(0, 1, exclude_min=True)),
        }
    return model
