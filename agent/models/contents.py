"""The contents that a release must have: the catalog, and the files that its names stand for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.models import fastembed_list
from agent.release import catalog

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.catalog import Catalog, Expected
    from agent.release.wanted import Wanted


@dataclass(frozen=True)
class Contents:
    """A catalog, which is read when it is first asked for, and only once.

    Attributes:
        file: The operator's catalog (`--catalog`); None for the one that is built in.
    """

    file: Path | None = None

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog.

        Raises:
            ConfigError: It cannot be read, or is refused.
        """
        if self.file is None:
            text = (resources.files("agent.release") / "catalog.toml").read_text()
            return catalog.parse(text, where="built in")
        try:
            return catalog.parse(self.file.read_text(), where=str(self.file))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The catalog {self.file} cannot be read: {error}.", remedy="Check --catalog."
            ) from None

    @cached_property
    def wanted(self) -> tuple[Wanted, ...]:
        """The catalog's models, with the files that their loaders need.

        Raises:
            ConfigError: The catalog is refused, or FastEmbed does not know a name.
        """
        return fastembed_list.wanted(self.catalog)

    @property
    def expected(self) -> dict[tuple[str, str], Expected]:
        """Published numbers that a tree's models must give: those that the operator wrote."""
        return self.catalog.expected if self.strict else {}

    @property
    def strict(self) -> bool:
        """Return whether a tree must hold all models: only if the operator wrote the catalog."""
        return self.file is not None
