"""The catalog, a TOML that says what one release must contain. Pure: text in, a value out."""

from __future__ import annotations

import tomllib
from typing import Final, Literal, get_args

import msgspec

from agent.errors import ConfigError
from agent.release.manifest import Repo, Revision  # noqa: TC001 - msgspec reads the annotations
from agent.release.model_ref import MAIN, ModelRef
from agent.release.version import is_version

Loader = Literal["fastembed", "sentence-transformers", "huggingface"]
_LOADERS: Final = " or ".join(get_args(Loader))


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Published numbers: the first of the vector that the model gives for `text`."""

    text: str
    first: tuple[float, ...]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model that a release must contain.

    Attributes:
        name: As the worker asks for it, e.g. `BAAI/bge-large-en-v1.5`.
        loader: Who reads it in the worker.
        repo: Where the Hub has it; for `fastembed` FastEmbed's own list says so.
        revision: The pinned commit, 40 hex digits.
        optimize: Whether ONNX weights are published as external data, which load faster.
        allow: Patterns of the files to take, for the loader `huggingface`; all, if there are none.
        expected: Numbers that its weights must give. Those of the built-in catalog hold for the
            Hub's weights only: a tree of one's own may mean another model under the name.
    """

    name: Repo
    loader: Loader
    repo: Repo | None = None
    revision: Revision | None = None
    optimize: bool | None = None
    allow: tuple[str, ...] = ()
    expected: Expected | None = None

    @property
    def ref(self) -> ModelRef:
        """The model that it names; where it names no repo, its name is taken for that."""
        repo, revision = self.repo or self.name, self.revision or MAIN
        return ModelRef(self.name, self.loader, repo, revision)


class Catalog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The models of one release, and what that release is called."""

    version: str
    model: tuple[Entry, ...]

    @property
    def expected(self) -> dict[tuple[str, str], Expected]:
        """Published numbers, by name and loader, that models must give."""
        return {(e.name, e.loader): e.expected for e in self.model if e.expected}


def parse(text: str, *, where: str) -> Catalog:
    """Check a catalog.

    Args:
        text: TOML.
        where: Names the catalog in errors.

    Raises:
        ConfigError: It breaks a rule; the sentence names the field.
    """
    try:
        catalog = msgspec.convert(tomllib.loads(text), Catalog)
        _check(catalog)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"The catalog {where} is refused: {error}.",
            remedy=f"Correct it; each [[model]] needs a name and a loader, {_LOADERS}.",
        ) from None
    return catalog


def _check(catalog: Catalog) -> None:
    if not is_version(catalog.version):
        raise ValueError(f"field version is {catalog.version[:80]!r}, not a version")
    if not catalog.model:
        raise ValueError("it has no [[model]]")
    for entry in catalog.model:
        if entry.allow and entry.loader != "huggingface":
            raise ValueError(f"model {entry.name!r}: allow is for the loader huggingface")
        if "" in entry.allow:
            raise ValueError(f"model {entry.name!r}: allow has an empty pattern")
        if entry.expected and not entry.expected.first:
            raise ValueError(f"model {entry.name!r}: expected.first has no numbers")
    # On the share, upper and lower case are one.
    names = [(entry.name.casefold(), entry.loader) for entry in catalog.model]
    twice = next(
        (e for e, name in zip(catalog.model, names, strict=True) if names.count(name) > 1), None
    )
    if twice:
        raise ValueError(f"model {twice.name!r} stands twice for the loader {twice.loader}")
