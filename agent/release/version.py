"""What a release may be called: a pure rule, used wherever a name comes from outside."""

from __future__ import annotations

import re
from typing import Final

from agent.release import paths

PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
UNVERSIONED: Final = "unversioned"

_VERSION = re.compile(PATTERN)


def is_version(text: str) -> bool:
    """Whether `text` names a release: it is safe as one component of a path everywhere."""
    return _VERSION.fullmatch(text) is not None and paths.problem(text) is None
