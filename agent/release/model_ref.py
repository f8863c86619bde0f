"""A reference to a model: which one, for which loader, at which revision. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The branch that the Hub gives where no revision is named.
MAIN: Final = "main"


@dataclass(frozen=True)
class ModelRef:
    """One model at one revision, which is all that says where it stands in a release.

    Attributes:
        name: As the worker asks for it, e.g. `BAAI/bge-large-en-v1.5`.
        loader: Who reads it in the worker.
        repo: Where the Hub has it.
        revision: A commit of 40 hex digits, or the branch that is to be looked up.
    """

    name: str
    loader: str
    repo: str
    revision: str = MAIN
