"""The state of the store and the share, for people and programs: `model-agent status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import asdict

from agent.errors import AgentError, ConfigError
from agent.release import space
from agent.shares.reader import MalformedMarkerError
from agent.sync import record

if TYPE_CHECKING:
    from agent.context import Context
    from agent.release.manifest import Manifest
    from agent.shares.reader import ShareReader
    from agent.store.store import Store
    from agent.sync.state import Rot


def status(context: Context) -> dict[str, Any]:
    """Return the state of the store and, where one is set, of the share.

    Raises:
        ConfigError: There is no store, and no share is set.
    """
    store = context.store
    reader = context.reader if context.settings.share else None
    try:
        store.require()
    except ConfigError:
        if reader is None:
            raise
        # An operator's machine has none: what is on the share is worth a look from there, too.
        share = {"address": reader.address, **_share_status(reader)}
        return {"store": {"path": str(store.root)}, "share": share}
    known = record.load(store.agent)
    held: dict[str, Any] = {"state": asdict(known), "active": store.active()}
    held["releases"] = {version: store.digest(version) for version in store.versions()}
    found: dict[str, Any] = {"store": {"path": str(store.root), **held}}
    if reader:
        found["share"] = {"address": reader.address, **_share_status(reader)}
    wished = found["share"]["marker"] if reader else None
    if compared := _compared(store, reader, known.previous, wished or known.desired):
        found["space"] = compared
    return found


def as_json(found: dict[str, Any]) -> str:
    """Return what programs see of `status`."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def describe(seen: dict[str, Any]) -> str:
    """Return the lines that people see of `status`."""
    rows = _store_rows(seen["store"]) if "state" in seen["store"] else [("store", "none here")]
    rows += _space_rows(seen["space"]) if "space" in seen else []
    rows += _share_rows(seen["share"]) if "share" in seen else []
    return "\n".join(f"{name:<10}{value or '-'}" for name, value in rows)


def _store_rows(store: dict[str, Any]) -> list[tuple[str, str | None]]:
    known = store["state"]
    worker = known["worker"]
    return [
        ("store", store["path"]),
        ("active", store["active"]),
        ("desired", known["desired"]),
        ("worker", f"{worker.version or '-'} ({worker.state or 'unknown'})"),
        ("held", " ".join(store["releases"])),
        *(("refused", f"{v}: {entry.reason}") for v, entry in known["quarantined"].items()),
        *_rot_rows(known["rot"]),
        *([("error", known["last_error"])] if known["last_error"] else []),
        *_activity_rows(known),
    ]


def _activity_rows(known: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Return what the sidecar does and waits for, each with the time since when."""
    doing, waiting = known["doing"], known["waiting"]
    return [
        *([("doing", f"{doing}, since {known['doing_since']}")] if doing else []),
        *([("waiting", f"for {waiting.what}, since {waiting.since}")] if waiting else []),
    ]


def distances(old: Manifest, new: Manifest) -> list[str]:
    """Return lines for people that say, text by text, how far two releases' vectors are apart."""
    compared = space.compare(old, new)
    lines = [line for each in compared for line in space.describe(each)]
    return [f"{new.version} beside {old.version}:", *(lines or ["no model in common"])]


def _compared(
    store: Store, reader: ShareReader | None, previous: str | None, desired: str | None
) -> dict[str, Any] | None:
    """Compare the two releases that matter now; None if they are fewer, or one cannot be read.

    That is what is desired beside what is active; where they are one, beside what was before.
    """
    active = store.active()
    pair = (active, desired) if desired not in {None, active} else (previous, active)
    try:
        old, new = (_manifest(store, reader, version) for version in pair)
    except AgentError:
        return None
    if old is None or new is None or old.version == new.version:
        return None
    models = [each._asdict() for each in space.compare(old, new)]
    return {"old": old.version, "new": new.version, "models": models}


def _manifest(store: Store, reader: ShareReader | None, version: str | None) -> Manifest | None:
    """Return the manifest of a release, in the store or on the share."""
    if version is None or version in store.versions():
        return store.manifest(version) if version else None
    return reader.manifest(version) if reader else None


def _space_rows(compared: dict[str, Any]) -> list[tuple[str, str | None]]:
    models = [space.Compared(**model) for model in compared["models"]]
    lines = [line for model in models for line in space.describe(model)]
    return [
        ("space", f"{compared['new']} beside {compared['old']}"),
        *(("", line) for line in lines),
    ]


def _rot_rows(rot: Rot | None) -> list[tuple[str, str | None]]:
    if rot is None:
        return []
    why = rot.reason or "the sidecar repairs them"
    return [("corrupt", f"{path} of {rot.version}: {why}") for path in rot.files]


def _share_rows(share: dict[str, Any]) -> list[tuple[str, str | None]]:
    releases = share["releases"].items()
    return [
        ("share", share["address"]),
        ("marker", share["marker"] or share["marker_unknown"]),
        *(("release", f"{v} {digest or '(not complete)'}") for v, digest in releases),
        *([("error", share["error"])] if share["error"] else []),
    ]


def _share_status(reader: ShareReader) -> dict[str, Any]:
    marker: dict[str, Any] = {"marker": None, "marker_unknown": None, "previous": []}
    seen: dict[str, Any] = marker | {"releases": {}, "error": None}
    try:
        seen |= _marker(reader)
        seen["releases"] = {version: _digest(reader, version) for version in reader.releases()}
    except AgentError as error:
        seen["error"] = str(error)
    return seen


def _marker(reader: ShareReader) -> dict[str, Any]:
    """Return what the marker names, or the reason why it names nothing."""
    try:
        found = reader.sound()
    except MalformedMarkerError as error:
        return {"marker_unknown": error.what}
    return {"marker": found.version, "previous": list(found.previous)} if found else {}


def _digest(reader: ShareReader, version: str) -> str | None:
    try:
        return reader.manifest(version).digest
    except AgentError:
        return None
