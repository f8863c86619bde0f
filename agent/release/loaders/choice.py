"""Chooses the files of a model by the rules of its loader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.release.loaders import fastembed, huggingface, sentence_transformers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agent.release.loaders.selection import Selection
    from agent.release.wanted import Wanted


def asks(want: Wanted, names: Collection[str]) -> list[str]:
    """Return the small files that must be read before `select` can choose."""
    if want.ref.loader == "fastembed":
        return []
    if want.ref.loader == "sentence-transformers":
        return sentence_transformers.asks(names)
    return huggingface.asks(names)


def select(want: Wanted, names: Collection[str], texts: Mapping[str, bytes]) -> Selection:
    """Return the files of a model that its loader reads.

    Args:
        want: The model.
        names: The files that are there, by their names in the model's directory.
        texts: The bytes of those of `asks`, by name.
    """
    if want.ref.loader == "fastembed":
        return fastembed.select(want, names)
    if want.ref.loader == "sentence-transformers":
        return sentence_transformers.select(names, texts)
    return huggingface.select(want, names, texts)
