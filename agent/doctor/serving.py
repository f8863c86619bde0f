"""Looks at the worker: whether it is up, what it serves, and where its variables lead."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.doctor.judge import variables
from agent.doctor.judge.findings import Finding, fail, ok, warn
from agent.doctor.judge.variables import DIRECTORIES, Process
from agent.errors import ReloadError
from agent.machine import children
from agent.sidecar.worker_client import WorkerClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.doctor.case import Case
    from agent.sidecar.reconcile import WorkerView

_PROC: Final = Path("/proc")
_AGENT: Final = "model-agent"
_ANSWER_SECONDS: Final = 5.0


def worker(case: Case) -> Iterator[Finding]:
    """Ask the worker what it serves."""
    url = case.settings.reload_url
    view = asyncio.run(WorkerClient(url, timeout=_ANSWER_SECONDS).view())
    if view is None:
        yield warn(
            f"No worker answers at {url}.",
            "Normal until it has started; later, see its log and --reload-url.",
        )
    else:
        yield _judged(case, view)


def environment(case: Case) -> Iterator[Finding]:
    """Check where the worker's variables lead, in each process of the pod that can be seen."""
    store = case.settings.store.absolute()
    own = _process("this environment", case.environ, _PROC / "self/root", store)
    # Outside a pod other processes are other people's.
    others = list(_others(store)) if case.in_pod else []
    yield from variables.judge(others, own, str(store))


def _judged(case: Case, view: WorkerView) -> Finding:
    active = case.store.active()
    serving = view.serving.version if view.serving else "nothing"
    target = view.target.version if view.target else None
    if view.state == "failed":
        what = f"The worker serves {serving} and failed to load {target or 'a release'}: "
        what += f"{view.reason}."
        remedy = "See the worker's log, then publish a release that loads, or roll back."
        return fail(ReloadError(what, remedy=remedy))
    if view.state == "loading":
        return warn(f"The worker serves {serving} and loads {target}.", "Wait, and look again.")
    same = view.serving and view.serving.digest == case.store.digest(view.serving.version)
    if serving != active or not same:
        return warn(
            f"The worker serves {serving}, and {active or 'nothing'} is active in the store.",
            "The sidecar tells it; if this lasts, see the sidecar's log and model-agent status.",
        )
    return ok(f"The worker serves {serving}, which is active.")


def _others(store: Path) -> Iterator[Process]:
    """Yield the other processes of this pod whose environment may be read."""
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            pairs = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            command = (entry / "comm").read_text(errors="replace").strip()
        except OSError:  # it is another user's, or it is gone
            continue
        found = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
        # The variables of the sidecar and of its children are not the worker's.
        if len(pairs) > 1 and command != _AGENT and children.PARENT not in found:
            yield _process(f"process {entry.name} ({command})", found, entry / "root", store)


def _process(name: str, environ: Mapping[str, str], root: Path, store: Path) -> Process:
    found = {each: environ[each] for each in DIRECTORIES if each in environ}
    same = (each for each, value in found.items() if _is_same(root, value, store, each))
    return Process(name, found, frozenset(same))


def _is_same(root: Path, value: str, store: Path, name: str) -> bool:
    """Return whether a path of another container leads to the store's directory.

    The two containers may mount the store at different places.
    """
    there, here = root / value.strip("/"), store / DIRECTORIES[name]
    # Nothing may be there yet: then the store's own directory decides.
    named_so = there.name == here.name and _is_one(there.parent, store)
    return named_so or _is_one(there, here)


def _is_one(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
