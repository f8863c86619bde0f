"""What a Kubernetes API server holds Events to, as its own code says.

The rules are those of `ValidateEventCreate` and `ValidateEventUpdate` for events.k8s.io/v1
(kubernetes/pkg/apis/core/validation/events.go) and of `MicroTime`, which wants six digits; what
fields there are is in Kubernetes' published schemas.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, Final

Object = dict[str, Any]

_MICRO: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_VERSION: Final = "1.37"
_IMMUTABLE: Final = (
    *("regarding", "reason", "note", "type", "eventTime", "action", "related"),
    *("reportingController", "reportingInstance"),
)
_LIMITS: Final = {"reportingInstance": 128, "action": 128, "reason": 128, "note": 1024}
_REQUIRED: Final = ("eventTime", "reportingController", "reportingInstance", "action", "reason")


def created(event: Object) -> list[str]:
    """What is wrong with a new Event."""
    faults = [f"{name}: Required value" for name in _REQUIRED if not event.get(name)]
    faults += [
        f"{name}: can have at most {limit} characters"
        for name, limit in _LIMITS.items()
        if len(event.get(name, "").encode()) > limit
    ]
    if event.get("type") not in {"Normal", "Warning"}:
        faults.append(f"type: has invalid value: {event.get('type')}")
    if event.get("regarding", {}).get("namespace") != event["metadata"].get("namespace"):
        faults.append("involvedObject.namespace: does not match event.namespace")
    if not _NAME.fullmatch(event["metadata"].get("name", "")):
        faults.append("metadata.name: a lowercase RFC 1123 subdomain must consist of ...")
    deprecated = [name for name in event if name.startswith("deprecated")]
    faults += [f"{name}: needs to be unset" for name in deprecated]
    return [*faults, *_series(event), *_times(event), *_fields(event)]


def updated(new: Object, old: Object) -> list[str]:
    """What is wrong with a change of an Event."""
    changed = [name for name in _IMMUTABLE if new.get(name) != old.get(name)]
    faults = [f"{name}: field is immutable" for name in changed]
    return [*faults, *_series(new), *_times(new), *_fields(new)]


def merged(old: Any, patch: Any) -> Any:
    """What a JSON merge patch makes of an object (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    made = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merged(made.get(name), value)
    return made


def _series(event: Object) -> list[str]:
    series = event.get("series")
    if series is None:
        return []
    faults = [] if series.get("count", 0) >= 2 else ["series.count: should be at least 2"]
    return faults + ([] if series.get("lastObservedTime") else ["lastObservedTime: Required value"])


def _times(event: Object) -> list[str]:
    times = [event.get("eventTime"), event.get("series", {}).get("lastObservedTime")]
    return [f"parsing time {t!r}" for t in times if t and not _MICRO.fullmatch(t)]


def _fields(event: Object) -> list[str]:
    validator = importlib.import_module("kubernetes_validate")
    try:
        validator.validate(event, _VERSION, strict=True)
    except validator.ValidationError as error:
        return [error.message]
    return []
