"""Looks at the share's releases, at the marker, and at the release that new pods take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.doctor.judge.findings import Finding, ok, warn
from agent.errors import AgentError, UnreachableError
from agent.quantities import amount
from agent.release import pickles
from agent.release.layout import RELEASES
from agent.release.manifest import Manifest
from agent.shares import reader
from agent.sync.locate import Catalogued

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.doctor.case import Case
    from agent.release.marker import Marker
    from agent.sync.locate import Found

_SHOWN: Final = 8


def releases(case: Case) -> Iterator[Finding]:
    """Find the releases that have a valid manifest, and say what is wrong with the others."""
    problems = {name: _problem(case, name) for name in case.reader.releases()}
    case.complete = tuple(name for name, problem in problems.items() if problem is None)
    if case.complete:
        yield ok(f"{len(case.complete)} with a manifest: {_listed(case.complete)}.")
    elif case.settings.require_manifest:
        what = f"The share {case.reader.address} has no release with a manifest."
        yield warn(what, "Publish one, or drop --require-manifest.")
    else:
        yield ok("None with a manifest: a hand-made tree is looked for.")
    for problem in filter(None, problems.values()):
        yield warn(problem.what, problem.remedy)


def named(case: Case) -> Iterator[Finding]:
    """Look at the marker, and at the release that it names; without one, as `init` does."""
    case.marker = case.reader.sound()
    if case.marker is None:
        yield _without_marker(case)
        return
    yield _named(case, case.marker.version)
    yield from _chain(case, case.marker)


def _problem(case: Case, version: str) -> AgentError | None:
    try:
        case.reader.manifest(version)
    except UnreachableError:
        raise
    except AgentError as error:
        return error
    return None


def _without_marker(case: Case) -> Finding:
    """Return the release that a new pod takes where there is no marker.

    Raises:
        AgentError: It takes none, as `init` says.
    """
    marker = case.settings.marker
    chosen = case.locator.default(marker)
    takes = f"a pod whose store is empty takes {chosen}"
    remedy = "Say what every pod should serve: model-agent promote VERSION."
    if isinstance(_served(case, chosen), Catalogued):
        takes += ", which it makes from the Hub"
        remedy = "Publish a release, then promote it."
    return warn(f"There is no marker {marker} on {case.reader.address}; {takes}.", remedy)


def _named(case: Case, version: str) -> Finding:
    """Return whether new pods can take the release that the marker names.

    Raises:
        AgentError: They cannot, as `init` says.
    """
    names = f"{case.settings.marker} names {version}"
    match _served(case, version):
        case Manifest(files=files, size=size):
            return ok(f"{names}, which is complete: {len(files)} files, {amount(size)}.")
        case Catalogued():
            return warn(
                f"{names}, which is not on the share; a new pod makes it from the Hub.",
                "Publish it, so that pods do not need the Hub: model-agent publish.",
            )
        case _:
            return ok(f"{names}, a hand-made tree.")


def _served(case: Case, version: str) -> Found:
    """Find the release that new pods take, as `init` does; later checks look at it, too.

    Raises:
        AgentError: Pods cannot take it.
    """
    found = case.locator.find(version)
    if isinstance(found, Manifest):
        pickles.refuse(version, found.pickles, allowed=case.settings.allow_pickle)
        reader.require_whole(case.share, found)
        biggest = max(found.files, key=lambda file: file.size)
        case.total = found.size
        case.largest = f"{RELEASES}/{version}/{biggest.path}", biggest.size
    case.served = found
    return found


def _chain(case: Case, found: Marker) -> Iterator[Finding]:
    for version in found.chain[1:]:
        try:
            case.locator.find(version)
        except UnreachableError:
            raise
        except AgentError as error:
            yield warn(
                f"The release to go back to cannot be used: {error.what}",
                f"Publish {version} again, or promote again so that the chain is right.",
            )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[-_SHOWN:]) + more
