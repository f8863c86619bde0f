"""What a request asks for, by its method and path. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote, unquote

UNKNOWN: Final = "Unknown"
_REPO: Final = r"(?P<repo>[^/]+(?:/[^/]+)?)"
_CDN: Final = "/_cdn"
# Path, and the operation of each method.
_ROUTES: Final = (
    (
        rf"{_CDN}/(?P<repo>[^/]+/[^/]+)/(?P<revision>\w+)/(?P<digest>\w+)/(?P<path>.+)",
        {"GET": "Content", "HEAD": "Content"},
    ),
    (rf"/api/models/{_REPO}(?:/revision/(?P<revision>[^/]+))?", {"GET": "ModelInfo"}),
    (rf"/api/models/{_REPO}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", {"GET": "Tree"}),
    (
        rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
        {"GET": "Resolve", "HEAD": "ResolveHead"},
    ),
)
_PATTERNS: Final = [(re.compile(path), methods) for path, methods in _ROUTES]


@dataclass(frozen=True)
class Asked:
    """A request, taken apart.

    Attributes:
        operation: Its name, as in counters and faults.
        repo: The repository, `ORG/NAME`.
        revision: Branch, tag or commit.
        path: A file or directory in it; empty: its root.
        digest: The SHA-256 that a CDN's address carries.
    """

    operation: str
    repo: str = ""
    revision: str = "main"
    path: str = ""
    digest: str = ""


def parse(method: str, raw_path: str) -> Asked:
    """What is asked for; the operation is `Unknown` where no rule fits.

    Args:
        method: The HTTP method.
        raw_path: The path as it was sent, percent-encoded, without the query.
    """
    found = _match(raw_path)
    if found is None or method not in found[1]:
        return Asked(UNKNOWN)
    match, methods = found
    given = {name: unquote(part) for name, part in match.groupdict().items() if part is not None}
    return replace(Asked(methods[method]), **given)


def cdn_path(repo: str, revision: str, digest: str, path: str) -> str:
    """Where the CDN has a file: an address that only those know who were let in."""
    return f"{_CDN}/{repo}/{revision}/{digest}/{quote(path)}"


def moved_path(raw_path: str, repo: str) -> str:
    """The same operation's path for another repository."""
    if found := _match(raw_path):
        start, end = found[0].span("repo")
        return raw_path[:start] + repo + raw_path[end:]
    return raw_path


def _match(raw_path: str) -> tuple[re.Match[str], dict[str, str]] | None:
    for pattern, methods in _PATTERNS:
        if match := pattern.fullmatch(raw_path):
            return match, methods
    return None
