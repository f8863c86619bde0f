"""Runs all checks in order, each in a thread of its own with a deadline; none hides another."""

from __future__ import annotations

import os
import sys
import traceback
from concurrent.futures import wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import structlog

from agent.doctor import access, azure, local, releases, serving, speed, trees
from agent.doctor.case import Case
from agent.doctor.judge import findings
from agent.doctor.judge.findings import Finding, fail, skip
from agent.errors import AgentError, UnreachableError
from agent.machine import threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.context import Context

_CRITICAL: Final = 50


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: Its name, as people see it.
        look: Yields findings, and notes in the case what later checks need.
        seconds: Its deadline.
        needs: Checks that must not have failed before it.
    """

    name: str
    look: Callable[[Case], Iterator[Finding]]
    seconds: float
    needs: tuple[str, ...] = ()


def run(context: Context, *, say: Callable[[str], None], as_json: bool) -> None:
    """Make every check, and say each finding as it comes, or all of them as JSON.

    Raises:
        AgentError: The error of the first check that failed: its exit code is the command's.
    """
    found = []
    for each in examine(context):
        found.append(each)
        if not as_json:
            say(findings.line(each))
    if as_json:
        say(findings.as_json(found))
    if error := findings.first_failure(found):
        raise error


def examine(context: Context) -> Iterator[Finding]:
    """Make every check that applies, and yield the findings; nothing is written anywhere."""
    _silence()
    case = Case(context, os.environ)
    failed: set[str] = set()
    for check in _checks(case):
        lacking = next((name for name in check.needs if name in failed), None)
        found = [skip(f"Not looked at: see {lacking}.")] if lacking else _made(check, case)
        if lacking or any(each.error for each in found):
            failed.add(check.name)
        yield from (replace(each, check=check.name) for each in found)


def _checks(case: Case) -> Iterator[Check]:
    """Yield the checks that apply here. A caller may have to wait for the sum of the deadlines."""
    if case.is_rest:
        yield Check("credentials", azure.credentials, 10)
    yield Check("share", access.share, 60, ("credentials",))
    if case.is_directory:
        yield Check("mount", access.mount, 10)
    yield Check("releases", releases.releases, 60, ("share",))
    yield Check("marker", releases.named, 60, ("share", "releases"))
    if not case.settings.require_manifest:
        yield Check("layout", trees.structure, 60, ("share", "releases"))
        yield Check("content", trees.content, 60, ("share", "releases", "layout"))
    yield Check("speed", speed.speed, 40, ("share",))
    yield Check("store", local.store, 30)
    if not case.elsewhere:
        if case.settings.reload_method != "none":
            yield Check("worker", serving.worker, 10)
        yield Check("environment", serving.environment, 10)


def _made(check: Check, case: Case) -> list[Finding]:
    found: list[Finding] = []
    future = threads.start(_collect, check, case, found)
    wait([future], check.seconds)
    if not future.done():
        # The thread may go on and find more, which is not shown.
        return [*found, fail(_late(check))]
    error = future.exception()
    if error is None:
        return found
    if not isinstance(error, AgentError):
        traceback.print_exception(error)
        remedy = "Please report it, with what is on stderr."
        error = AgentError(f"Internal error: {error!r}.", remedy=remedy)
    return [*found, fail(error)]


def _collect(check: Check, case: Case, found: list[Finding]) -> None:
    found.extend(check.look(case))


def _late(check: Check) -> UnreachableError:
    return UnreachableError(
        f"Looking at the {check.name} took over {check.seconds:g} s.",
        remedy="Check the mount and the network; if reads hang, mount the share again.",
    )


def _silence() -> None:
    """Keep log lines off a terminal, where they would stand between the findings."""
    if sys.stderr.isatty():
        silent = structlog.make_filtering_bound_logger(_CRITICAL)
        structlog.configure(wrapper_class=silent)
