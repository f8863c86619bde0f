"""Looks at what the share holds: its releases, and the one that the marker names."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from agent.doctor.findings import Finding, fail, ok, warn
from agent.errors import AgentError, ReleaseMissingError, UnreachableError
from agent.quantities import amount
from agent.release import marker, pickles
from agent.release.layout import RELEASES
from agent.shares import reader
from agent.sync.locate import HandMadeTree, Locator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.doctor.case import Case
    from agent.release.manifest import Manifest
    from agent.release.marker import Marker

_SHOWN: Final = 8


def releases(case: Case) -> Iterator[Finding]:
    """Which releases have a sound manifest, and what is wrong with the others."""
    problems = {name: _problem(case, name) for name in case.context.reader.releases()}
    case.complete = tuple(name for name, problem in problems.items() if problem is None)
    if case.complete:
        yield ok(f"{len(case.complete)} with a manifest: {_listed(case.complete)}.")
    elif case.context.settings.require_manifest:
        what = f"The share {case.context.share.address} has no release with a manifest."
        yield fail(ReleaseMissingError(what, remedy="Publish one, or drop --require-manifest."))
    else:
        yield ok("None with a manifest: a tree made by hand is looked for.")
    for problem in filter(None, problems.values()):
        yield warn(problem.what, problem.remedy)


def named(case: Case) -> Iterator[Finding]:
    """Whether the marker is sound, and what it names is there with every file."""
    try:
        data = case.context.reader.marker_bytes()
        case.marker = marker.parse(data) if data is not None else None
    except marker.UnknownMarkerError as error:
        raise _no_marker(case, str(error)) from None
    if case.marker is None:
        yield _without(case)
        return
    yield ok(_looked_at(case, case.marker.version))
    yield from _chain(case, case.marker)


def _problem(case: Case, version: str) -> AgentError | None:
    try:
        case.context.reader.manifest(version)
    except UnreachableError:
        raise
    except AgentError as error:
        return error
    return None


def _without(case: Case) -> Finding:
    """Return what a new pod takes where there is no marker, as `init` does.

    Raises:
        ReleaseMissingError: It takes nothing.
    """
    settings, locator = case.context.settings, Locator.of(case.context)
    chosen = locator.default(settings.marker)
    with suppress(ReleaseMissingError):  # `init` makes it, and needs no share for that
        _looked_at(case, chosen)
    return warn(
        f"There is no marker {settings.marker} on {case.context.share.address}; a pod whose store "
        f"is empty takes {chosen}.",
        "Say what every pod should serve: model-agent promote VERSION.",
    )


def _looked_at(case: Case, version: str) -> str:
    """What `version` is on the share; what later checks need of it is kept.

    Raises:
        AgentError: Pods could not take it.
    """
    marks, found = case.context.settings.marker, Locator.of(case.context).locate(version)
    if isinstance(found, HandMadeTree):
        case.tree = found
        return f"{marks} names {version}, a tree made by hand."
    pickles.refuse(found, allowed=case.context.settings.allow_pickle)
    reader.require_whole(case.context.share, found)
    _keep(case, found)
    size = f"{len(found.files)} files, {amount(found.size)}"
    return f"{marks} names {version}, which is complete: {size}."


def _keep(case: Case, release: Manifest) -> None:
    biggest = max(release.files, key=lambda file: file.size)
    case.release, case.total = release, release.size
    case.largest = f"{RELEASES}/{release.version}/{biggest.path}", biggest.size


def _chain(case: Case, found: Marker) -> Iterator[Finding]:
    for version in found.chain[1:]:
        try:
            Locator.of(case.context).locate(version)
        except UnreachableError:
            raise
        except AgentError as error:
            yield warn(
                f"The release to go back to cannot be used: {error.what}",
                f"Publish {version} again, or promote anew so that the chain is right.",
            )


def _no_marker(case: Case, reason: str) -> ReleaseMissingError:
    where = f"The marker {case.context.settings.marker} on {case.context.share.address}"
    return ReleaseMissingError(
        f"{where} names no release: {reason}.",
        remedy="Write one: model-agent promote VERSION.",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[-_SHOWN:]) + more
