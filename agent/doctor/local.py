"""Looks at the store: whether it is there, writable and large enough, and what is active in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent.doctor.judge.findings import Finding, fail, ok, skip, warn
from agent.errors import AgentError, ConfigError
from agent.quantities import amount
from agent.store import room, stage
from agent.sync import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.doctor.case import Case
    from agent.store.store import Store


def store(case: Case) -> Iterator[Finding]:
    """Look at the store without changing it."""
    if case.elsewhere:
        where = case.settings.store
        yield skip(f"There is no {where} here, so only the share was looked at.")
        return
    held = case.store
    held.require()
    if not os.access(held.root, os.W_OK | os.X_OK):
        what = f"The store {held.root} cannot be written from here."
        remedy = "Mount it writable for the agent's user (read-only is right for the worker's)."
        yield fail(ConfigError(what, remedy=remedy))
    yield _active(case, held)
    yield from _refused(case, held)
    yield _space(case, held)


def _active(case: Case, held: Store) -> Finding:
    version = held.active()
    desired = case.marker.version if case.marker else None
    if version is None:
        return warn(
            f"Nothing is active in {held.root}.", "Run model-agent init, or see why it failed."
        )
    if desired and desired != version:
        return warn(
            f"{version} is active, and the marker names {desired}.",
            "Normal while it is staged; if it lasts, see model-agent status and the agent's log.",
        )
    return ok(f"{version} is active in {held.root}.")


def _refused(case: Case, held: Store) -> Iterator[Finding]:
    """Warn if the marker's release was refused here before, and is not tried again."""
    entry = record.load(held.agent).quarantined.get(case.marker.version) if case.marker else None
    if entry and case.marker and entry.marker_sha256 == case.marker.sha256:
        yield warn(
            f"{case.marker.version} was refused at {entry.at}: {entry.reason}",
            "Publish it under a new version and promote that, or roll back.",
        )


def _space(case: Case, held: Store) -> Finding:
    needed = _needed(case, held)
    free = room.free_bytes(held)
    if needed is None:
        return ok(f"{amount(free)} are free.")
    if not needed:
        return ok(f"{amount(free)} are free, and what the marker names is here already.")
    try:
        room.require(held, needed, spare=_spare(case, held))
    except AgentError as error:
        return fail(error)
    return ok(f"{amount(free)} are free, and what the marker names needs {amount(needed)}.")


def _needed(case: Case, held: Store) -> int | None:
    """Return the bytes that staging the desired release needs, or None if unknown."""
    if case.release is None:
        return case.total + stage.OVERHEAD_BYTES if case.total else None
    if held.digest(case.release.version) == case.release.digest:
        return 0
    return stage.needed_bytes(held, case.release)


def _spare(case: Case, held: Store) -> tuple[str, ...]:
    """Return the releases that staging may delete for room."""
    desired = case.marker.version if case.marker else None
    return record.may_go(held, record.load(held.agent), keep=1, desired=desired)
