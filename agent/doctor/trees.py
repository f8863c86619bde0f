"""Looks at a tree made by hand: would it be adopted, and if not, what lies in the wrong place?"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from agent.doctor import misplaced
from agent.doctor.findings import Finding, fail, ok
from agent.errors import AgentError, ReleaseMissingError
from agent.publish.source import TreeSource
from agent.release import adoption, layout, tree
from agent.release.layout import RELEASES
from agent.shares.base import LOCKS, STAGING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.doctor.case import Case
    from agent.release.adoption import Plan
    from agent.release.tree import Node

DIAGNOSIS: Final = "wrong directory structure"
_OURS: Final = (RELEASES, STAGING, LOCKS)


def structure(case: Case) -> Iterator[Finding]:
    """Whether each model of the catalog lies where its loader looks for it, with every file."""
    if case.complete and case.tree is None:
        return
    context = case.context
    suffix = case.tree.suffix if case.tree else ""
    source = TreeSource(context.share, context.wanted, suffix, strict=context.strict)
    try:
        plan = source.plan()
    except ReleaseMissingError as error:
        yield _wrong(case, source, error)
        return
    _keep(case, plan)
    names = ", ".join(f"{ref.name} ({ref.loader})" for ref in plan.models)
    yield ok(f"The tree made by hand is whole: {names}.")


def _keep(case: Case, plan: Plan) -> None:
    """What later checks need of it, if it is what pods should serve."""
    if case.tree is None:
        return
    tops = tuple(sorted({path.split("/", 1)[0] for path in plan.files.values()}))
    nodes = case.context.share.tree(tops).nodes
    sizes = {path: nodes[path].size for path in plan.files.values()}
    case.total = sum(sizes.values())
    case.largest = max(sizes.items(), key=lambda entry: entry[1])


def _wrong(case: Case, source: TreeSource, error: ReleaseMissingError) -> Finding:
    names = [name for name in case.context.reader.names("") if name not in _OURS]
    nodes = _nodes(case, names)
    if not nodes:
        return fail(error)
    plan = adoption.plan(tree.Tree(nodes), source.wanted, suffix=source.suffix)
    taken = {*plan.files.values()}
    free = {path: node for path, node in nodes.items() if path not in taken}
    whole = {(ref.name, ref.loader) for ref in plan.models}
    lost = [want for want in source.wanted if (want.ref.name, want.ref.loader) not in whole]
    places = misplaced.sentences(free, lost, source.suffix)
    others = [name for name in names if _is_suffixed(name, source.suffix)]
    told = f"There is {others[0]}/, which the marker {_suffix(others[0])} names." if others else ""
    wants = "; ".join(misplaced.expected(want, source.suffix) for want in lost)
    told_all = ReleaseMissingError(
        " ".join(filter(None, (error.what, *places, told))),
        remedy=f"{wants}; move the files there, or publish a tree that is right.",
    )
    return fail(told_all, diagnosis=DIAGNOSIS)


def _nodes(case: Case, names: list[str]) -> dict[str, Node]:
    """All that lies on the share but its releases."""
    nodes: dict[str, Node] = {}
    for name in names:
        # Azure Files refuses to list what is a file; a directory that can't be listed is no help.
        with suppress(AgentError):
            nodes |= case.context.share.tree((name,)).nodes
    return nodes


def _is_suffixed(name: str, suffix: str) -> bool:
    return any(name.startswith(f"{root}-") and name != root + suffix for root in layout.ROOTS)


def _suffix(name: str) -> str:
    return name.partition("-")[2]
