"""Looks at a hand-made tree: is it complete, and if not, where do its models lie instead?"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from time import monotonic as clock
from typing import TYPE_CHECKING, Final

from agent.doctor.judge import misplaced
from agent.doctor.judge.findings import Finding, fail, ok, skip, warn
from agent.errors import AgentError, ReleaseMissingError
from agent.files import stream
from agent.models.formats import onnx, whole
from agent.release import layout
from agent.release.layout import RELEASES
from agent.shares.base import LOCKS, STAGING
from agent.sync.locate import Catalogued

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from agent.doctor.case import Case
    from agent.publish.source import TreeSource
    from agent.release.adoption.plan import Plan
    from agent.release.tree import Node

DIAGNOSIS: Final = "wrong directory structure"
# Then the largest files are left to `init`.
_CONTENT_SECONDS: Final = 40.0
_SHOWN: Final = 3
_OURS: Final = (RELEASES, STAGING, LOCKS)


def structure(case: Case) -> Iterator[Finding]:
    """Check that each model of the catalog lies where its loader looks, with every file."""
    if case.complete and case.tree is None:
        return
    source = case.tree_source()
    plan = source.look()
    try:
        source.require(plan)
    except ReleaseMissingError as error:
        yield from _incomplete(case, source, plan, error)
        return
    if case.tree:
        case.plan, case.sizes = plan, source.sizes(plan)
        case.total = sum(case.sizes.values())
        case.largest = max(case.sizes.items(), key=lambda entry: entry[1])
    names = ", ".join(f"{ref.name} ({ref.loader})" for ref in plan.models)
    if plan.absent:  # pods would come up without them
        yield ok(f"The hand-made tree holds {names}.")
        tops, nodes = _others(case)
        wrong = _explained(source, plan, source.incomplete((), plan.absent), tops, nodes)
        yield warn(wrong.what, wrong.remedy, diagnosis=DIAGNOSIS)
    else:
        yield ok(f"The hand-made tree is complete: {names}.")
    if plan.strays:
        yield ok(_unread(plan.strays))


def content(case: Case) -> Iterator[Finding]:
    """Check the formats of the files that pods take of a hand-made tree, which has no digests."""
    if case.tree is None or case.plan is None:
        return
    sizes = case.sizes
    case.tree_source().refuse_holes({path: sizes[path] for path in case.plan.files.values()})
    ends, left = clock() + _CONTENT_SECONDS, sorted(case.plan.files.values(), key=sizes.__getitem__)
    count = len(left)
    while left:
        if clock() > ends:
            yield skip(f"No verdict on {', '.join(left)}: the share is slow. `init` looks at them.")
            return
        path = left.pop(0)
        with stream.opened(case.share, path, sizes[path]) as file:
            whole.check_file(file, path, partial(_beside, path, sizes))
            if path.endswith(".onnx"):
                folder = path.rpartition("/")[0]
                weights = (f"{folder}/{name}" for name in onnx.weight_files(file))
                left += [each for each in weights if each not in case.plan.files.values()]
    yield ok(f"{count} files are whole, as far as their formats tell; `init` runs the models.")


def _beside(path: str, sizes: Mapping[str, int], name: str) -> int | None:
    """Return the bytes of another file in the directory of `path`; None if there is none."""
    return sizes.get(f"{path.rpartition('/')[0]}/{name}")


def _unread(strays: Sequence[str]) -> str:
    shown = ", ".join(strays[:_SHOWN])
    more = f" and {len(strays) - _SHOWN} more" if len(strays) > _SHOWN else ""
    return f"No loader reads {shown}{more}: releases leave them out."


def _incomplete(
    case: Case, source: TreeSource, plan: Plan, error: ReleaseMissingError
) -> Iterator[Finding]:
    names, nodes = _others(case)
    wrong = _explained(source, plan, error, names, nodes) if nodes else error
    if not isinstance(case.served, Catalogued):
        yield fail(wrong, diagnosis=DIAGNOSIS if nodes else "")
    elif nodes:  # pods do without a tree, which somebody may have meant them to take
        yield warn(wrong.what, wrong.remedy, diagnosis=DIAGNOSIS)


def _explained(
    source: TreeSource,
    plan: Plan,
    error: ReleaseMissingError,
    names: list[str],
    nodes: Mapping[str, Node],
) -> ReleaseMissingError:
    """Return the error with the places where absent models lie, and where they should."""
    if not plan.absent:  # all are where they belong: what is wrong with them was said
        return error
    taken = {*plan.files.values()}
    free = {path: node for path, node in nodes.items() if path not in taken}
    places = misplaced.sentences(free, plan.absent, source.suffix)
    others = [name for name in names if _is_suffixed(name, source.suffix)]
    other = f"There is {others[0]}/, which the marker {_suffix(others[0])} names." if others else ""
    wants = "; ".join(misplaced.expected(want, source.suffix) for want in plan.absent)
    return ReleaseMissingError(
        " ".join(filter(None, (error.what, *places, other))),
        remedy=f"{wants}; move the files there, or publish a tree that is right.",
    )


def _others(case: Case) -> tuple[list[str], dict[str, Node]]:
    """Return everything on the share but its releases: the names at its root, and all nodes."""
    names = [name for name in case.reader.names("") if name not in _OURS]
    nodes: dict[str, Node] = {}
    for name in names:
        # A directory that cannot be listed is no help.
        with suppress(AgentError):
            nodes |= case.share.tree((name,)).nodes
    return names, nodes


def _is_suffixed(name: str, suffix: str) -> bool:
    return any(name.startswith(f"{root}-") and name != root + suffix for root in layout.ROOTS)


def _suffix(name: str) -> str:
    return name.partition("-")[2]
