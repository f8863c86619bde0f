"""What goes wrong on demand: rules that match requests, and what they do to one. No I/O.

A rule is a JSON object:

| field | default | meaning |
| --- | --- | --- |
| `kind` | required | what happens, see `Kind` |
| `operation` | any | the operation's name, or a list of names |
| `path` | any | a regular expression searched for in the decoded path |
| `method` | any | the HTTP method |
| `nth` | 1 | the first matching request that is hit |
| `count` | 1 | how many are hit from there on; `null`: all, until the rules are cleared |

All rules that hit a request apply together; of several answers, the first rule's is given.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from tests.doubles.loopback.pacing import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COMMON: Final = {"kind", "operation", "path", "method", "nth", "count"}
_STATUSES: Final = range(100, 600)


class Kind(StrEnum):
    """What a rule does to a request that it hits; in brackets, the fields it takes."""

    STATUS = "status"
    """An error answer instead of the work [`status`, `code`, `message`, `retry_after`, `headers`,
    `committed`: the work is done first]."""
    RESET = "reset"
    """The connection is reset before the work [`committed`: after it]."""
    LOST = "lost"
    """The work is done, but its answer never comes: the connection is closed."""
    DELAY = "delay"
    """The answer starts late [`seconds`]."""
    REPLACE = "replace"
    """A 200 with another body takes the answer's place, as a captive portal gives it [`body`: a
    text, in which `{size}` and `{sha256}` are those of the body that was there; `headers`: its own,
    none of the answer's are kept]."""
    TRUNCATE = "truncate"
    """The body ends early, and the connection with it [`after`: bytes sent, default half]."""
    FLIP = "flip"
    """One bit of the body is wrong: of the answer's, or with `upload` of the request's
    [`at`: which byte, from the end if negative, default the middle one; `upload`]."""
    STALL = "stall"
    """The body stops and waits [`after`: bytes sent, default half; `seconds`: default until the
    rules are cleared or the client leaves]."""
    THROTTLE = "throttle"
    """Bodies, both ways, at a rate that all requests hit by the rule share [`bytes_per_second`]."""


_FIELDS: Final = {
    Kind.STATUS: {"status", "code", "message", "retry_after", "headers", "committed"},
    Kind.RESET: {"committed"},
    Kind.LOST: set[str](),
    Kind.DELAY: {"seconds"},
    Kind.REPLACE: {"body", "headers"},
    Kind.TRUNCATE: {"after"},
    Kind.FLIP: {"at", "upload"},
    Kind.STALL: {"after", "seconds"},
    Kind.THROTTLE: {"bytes_per_second"},
}
_REQUIRED: Final = {
    Kind.STATUS: "status",
    Kind.DELAY: "seconds",
    Kind.REPLACE: "body",
    Kind.THROTTLE: "bytes_per_second",
}


class BadRuleError(ValueError):
    """A rule that says nothing, or something unknown."""


@dataclass
class Rule:
    """One rule, and how often it has matched and hit.

    Attributes:
        fields: The rule as it was given, presets filled in.
        seen: Requests that matched.
        hits: Requests that were hit.
        cleared: Set once the rule is gone; whatever it stalls goes on then.
    """

    fields: dict[str, Any]
    seen: int = 0
    hits: int = 0
    cleared: asyncio.Event = field(default_factory=asyncio.Event)
    pace: Pace | None = None

    @property
    def kind(self) -> Kind:
        """What the rule does."""
        return Kind(self.fields["kind"])

    def takes(self, *, operation: str, path: str, method: str) -> bool:
        """Whether this request is hit; counts it."""
        if not self._matches(operation=operation, path=path, method=method):
            return False
        self.seen += 1
        first, count = self.fields.get("nth", 1), self.fields.get("count", 1)
        hit = self.seen >= first and (count is None or self.hits < count)
        self.hits += hit
        return hit

    def _matches(self, *, operation: str, path: str, method: str) -> bool:
        wanted = self.fields.get("operation", operation)
        names = [wanted] if isinstance(wanted, str) else wanted
        return (
            operation in names
            and self.fields.get("method", method) == method
            and re.search(self.fields.get("path", ""), path) is not None
        )


def parse_rule(fields: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]]) -> Rule:
    """A rule from its JSON; `presets` are names that an application gives to whole rules.

    Raises:
        BadRuleError: A field is unknown, missing or of the wrong kind.
    """
    preset = presets.get(str(fields.get("kind")), {})
    whole = {**fields, **preset, **{k: v for k, v in fields.items() if k != "kind"}}
    try:
        rule = Rule(whole)
        kind = rule.kind
        re.compile(whole.get("path", ""))
    except (KeyError, ValueError, TypeError, re.error) as error:
        raise BadRuleError(f"not a rule: {error!r}") from error
    unknown = whole.keys() - _COMMON - _FIELDS[kind]
    if unknown:
        raise BadRuleError(f"{kind} takes no {', '.join(sorted(unknown))}")
    wanted, name = (str, "text") if kind is Kind.REPLACE else (int | float, "number")
    if (needed := _REQUIRED.get(kind)) and not isinstance(whole.get(needed), wanted):
        raise BadRuleError(f"{kind} needs a {name} as {needed}")
    if kind is Kind.STATUS and whole["status"] not in _STATUSES:
        raise BadRuleError(f"{whole['status']} is no HTTP status")
    if kind is Kind.THROTTLE:
        if whole["bytes_per_second"] <= 0:
            raise BadRuleError("throttle needs a rate above zero")
        rule.pace = Pace(whole["bytes_per_second"])
    return rule


@dataclass
class Plan:
    """What happens to one request: the rules that hit it."""

    rules: list[Rule] = field(default_factory=list)

    def of(self, *kinds: Kind) -> Iterator[Rule]:
        """The rules of these kinds."""
        return (rule for rule in self.rules if rule.kind in kinds)

    def cut_off(self, *, committed: bool) -> Rule | None:
        """The rule, if any, that takes the answer's place before or after the work."""
        for rule in self.of(Kind.STATUS, Kind.RESET, Kind.LOST):
            after = rule.kind is Kind.LOST or bool(rule.fields.get("committed"))
            if after is committed:
                return rule
        return None


class Rules:
    """All rules in force."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Put a rule in force, after those that are."""
        self._rules.append(rule)

    def clear(self) -> None:
        """End every rule, and whatever one holds up now."""
        for rule in self._rules:
            rule.cleared.set()
        self._rules.clear()

    def plan(self, *, operation: str, path: str, method: str) -> Plan:
        """What is to happen to this request; it counts as seen."""
        hit = [r for r in self._rules if r.takes(operation=operation, path=path, method=method)]
        return Plan(hit)

    def report(self) -> list[dict[str, Any]]:
        """Each rule as it was given, with `seen` and `hits`."""
        return [{**rule.fields, "seen": rule.seen, "hits": rule.hits} for rule in self._rules]
