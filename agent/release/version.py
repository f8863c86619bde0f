"""The rule for names of releases, for every name that comes from outside. Pure."""

from __future__ import annotations

import re
from typing import Final

from agent.errors import ConfigError
from agent.release import paths

PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
UNVERSIONED: Final = "unversioned"

_VERSION = re.compile(PATTERN)


def is_version(text: str) -> bool:
    """Return whether `text` may name a release: it is a safe component of a path everywhere."""
    return _VERSION.fullmatch(text) is not None and paths.problem(text) is None


def require(text: str, *, remedy: str) -> None:
    """Refuse a name that no release can have.

    Raises:
        ConfigError: It is none.
    """
    if not is_version(text):
        raise ConfigError(f"{text!r} is not a version.", remedy=remedy)
