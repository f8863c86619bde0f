"""How the store and the share are, for people and programs: `model-agent status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import asdict

from agent import marking, state
from agent.errors import AgentError

if TYPE_CHECKING:
    from agent.context import Context


def status(context: Context) -> dict[str, Any]:
    """How the store and, where one is set, the share are."""
    store = context.store
    store.require()
    held = {"state": asdict(state.load(store.agent)), "active": store.active()}
    held["releases"] = {version: store.digest(version) for version in store.versions()}
    found: dict[str, Any] = {"store": {"path": str(store.root), **held}}
    if context.settings.share:
        found["share"] = {"address": context.share.address, **_share_status(context)}
    return found


def as_json(found: dict[str, Any]) -> str:
    """What programs see of `status`."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def describe(seen: dict[str, Any]) -> str:
    """The lines that people see of `status`."""
    store, known = seen["store"], seen["store"]["state"]
    worker = known["worker"]
    rows = [
        ("store", store["path"]),
        ("active", store["active"]),
        ("desired", known["desired"]),
        ("worker", f"{worker.version or '-'} ({worker.state or 'unknown'})"),
        ("held", " ".join(store["releases"])),
        *(("refused", f"{v}: {entry.reason}") for v, entry in known["quarantined"].items()),
        *([("error", known["last_error"])] if known["last_error"] else []),
        *(_share_rows(seen["share"]) if "share" in seen else []),
    ]
    return "\n".join(f"{name:<10}{value or '-'}" for name, value in rows)


def _share_rows(share: dict[str, Any]) -> list[tuple[str, str | None]]:
    releases = share["releases"].items()
    return [
        ("share", share["address"]),
        ("marker", share["marker"]),
        *(("release", f"{v} {digest or '(not complete)'}") for v, digest in releases),
        *([("error", share["error"])] if share["error"] else []),
    ]


def _share_status(context: Context) -> dict[str, Any]:
    seen: dict[str, Any] = {"marker": None, "previous": [], "releases": {}, "error": None}
    try:
        found = marking.understood(context)
        seen |= {"marker": found.version, "previous": list(found.previous)} if found else {}
        seen["releases"] = {v: _digest(context, v) for v in context.names("releases")}
    except AgentError as error:
        seen["error"] = str(error)
    return seen


def _digest(context: Context, version: str) -> str | None:
    try:
        return context.manifest(version).digest
    except AgentError:
        return None
