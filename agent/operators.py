"""What operators do: promote, roll back, verify, prune, and see how things are."""

from __future__ import annotations

import getpass
import socket
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import asdict

from agent import acquire, marker, marking, progress, retention, space, state, verified, verifying
from agent.acquire import Tree
from agent.errors import AgentError, ConfigError, NewSpaceError
from agent.staging import Moved
from agent.state import utc_now
from agent.trying import Record
from agent.version import is_version

if TYPE_CHECKING:
    from agent.context import Context
    from agent.manifest import Manifest
    from agent.marker import Marker


def promote(context: Context, version: str, *, allow_new_space: bool = False) -> Marker:
    """Have the marker name `version`, which must be complete on the share.

    Raises:
        ConfigError: It is no version.
        ReleaseMissingError: It is not on the share, or not complete.
        NewSpaceError: It embeds into another space than the one promoted now.
    """
    _require_version(version)
    found = acquire.locate(context, version)
    old = _marker(context)
    if old and not allow_new_space:
        _guard_space(context, old.version, found)
    return _write(context, marker.promoted(old, version, allow_new_space=allow_new_space))


def rollback(context: Context, version: str | None) -> Marker:
    """Have the marker name the release before, or `version`.

    Raises:
        ReleaseMissingError: There is no marker, nothing to go back to, or it is not on the share.
    """
    _require_version(version)
    old = marking.required(context.share, context.settings.marker)
    new = marker.rolled_back(old, version)
    acquire.locate(context, new.version)
    return _write(context, new)


def verify(context: Context, version: str | None, *, on: str) -> tuple[str, int]:
    """Hash every byte of a release where it lies; give its version and bytes.

    Raises:
        VerificationError: It is not what its manifest says.
        ReleaseMissingError: It is not there.
    """
    _require_version(version)
    moved = Moved()
    if on == "store":
        context.store.require()
        chosen = version or context.store.active()
        if chosen is None:
            raise ConfigError("Nothing is active in the store.", remedy="Name a version.")
        release = context.store.manifest(chosen)
        with progress.shown(context.log, "verify", moved, release.size):
            path = context.store.path(chosen)
            verified.verify(release, path, stop=context.stop, moved=moved, whole=True)
        return chosen, release.size
    chosen = version or marking.required(context.share, context.settings.marker).version
    release = context.manifest(chosen)
    with progress.shown(context.log, "verify", moved, release.size):
        prefix = f"releases/{chosen}/"
        verifying.verify(release, context.share, prefix, stop=context.stop, moved=moved, whole=True)
    return chosen, release.size


def prune(context: Context) -> tuple[str, ...]:
    """Delete what the store keeps beyond `--keep`; give what was deleted."""
    store = context.store
    store.prepare()
    with store.lock(context.stop):
        record = Record(store.agent, context.log)
        spare = retention.spare(
            store.versions(),
            keep=context.settings.keep,
            active=store.active(),
            previous=record.state.previous,
            desired=record.state.desired,
            quarantined=record.state.quarantined,
        )
        for version in spare:
            store.remove(version)
            record.removed(version)
    return spare


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
        found = _marker(context)
        seen |= {"marker": found.version, "previous": list(found.previous)} if found else {}
        seen["releases"] = {v: _digest(context, v) for v in context.names("releases")}
    except AgentError as error:
        seen["error"] = str(error)
    return seen


def _require_version(version: str | None) -> None:
    if version is not None and not is_version(version):
        raise ConfigError(f"{version!r} is not a version.", remedy="See model-agent status.")


def _digest(context: Context, version: str) -> str | None:
    try:
        return context.manifest(version).digest
    except AgentError:
        return None


def _marker(context: Context) -> Marker | None:
    try:
        return marking.current(context.share, context.settings.marker)
    except marker.UnknownMarkerError as error:
        context.log.warning("marker.unknown", reason=str(error))
        return None


def _guard_space(context: Context, active: str, found: Manifest | Tree) -> None:
    """Refuse what every pod would refuse."""
    try:
        old = context.manifest(active)
    except AgentError:
        return
    if isinstance(found, Tree):
        return
    refusal = space.refusal(old, found, min_cosine=context.settings.space_cosine)
    if refusal:
        raise NewSpaceError(refusal)


def _write(context: Context, new: Marker) -> Marker:
    record = marker.render(new, by=f"{_user()}@{socket.gethostname()}", at=utc_now())
    context.share.write(context.settings.marker, record)
    return new


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an arbitrary uid has no name
        return "unknown"
