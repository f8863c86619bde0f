"""The findings of the doctor, and their forms for people and for programs. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.errors import AgentError

Level = Literal["ok", "warn", "fail", "skip"]

_LEVEL_WIDTH: Final = 6
_NAME_WIDTH: Final = 13


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        level: How bad it is; `skip` means that a check was not possible.
        seen: What was seen, in a sentence.
        remedy: What to do about it, in a sentence; empty if nothing is wrong.
        diagnosis: The name of the trouble, as in docs/troubleshooting.md; empty without one.
        check: The name of the check.
        error: The error of a `fail`, which ends the command.
    """

    level: Level
    seen: str
    remedy: str = ""
    diagnosis: str = ""
    check: str = ""
    error: AgentError | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of its error; 0 without one."""
        return self.error.exit_code if self.error else 0


def ok(seen: str) -> Finding:
    """Return a finding that all is well."""
    return Finding("ok", seen)


def warn(seen: str, remedy: str, *, diagnosis: str = "") -> Finding:
    """Return a finding that it works, but somebody should look at it."""
    return Finding("warn", seen, remedy, diagnosis)


def fail(error: AgentError, *, diagnosis: str = "") -> Finding:
    """Return a finding that it does not work."""
    return Finding("fail", error.what, error.remedy, diagnosis, error=error)


def skip(seen: str) -> Finding:
    """Return a finding that a check was not possible, and why."""
    return Finding("skip", seen)


def line(finding: Finding) -> str:
    """Return one line for people, in columns; names from a share cannot break it."""
    named = f"{finding.diagnosis}: " if finding.diagnosis else ""
    text = " ".join(filter(None, (named + finding.seen, finding.remedy)))
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return f"{finding.level:<{_LEVEL_WIDTH}}{finding.check:<{_NAME_WIDTH}}{clean}"


def first_failure(found: Iterable[Finding]) -> AgentError | None:
    """Return the error of the first `fail`, which ends the command; None without one."""
    return next((each.error for each in found if each.error), None)


def as_json(found: Iterable[Finding]) -> str:
    """Return all findings as JSON: `{"exit_code": 0, "findings": [{"level": "ok", …}, …]}`."""
    listed = list(found)
    error = first_failure(listed)
    report = {
        "exit_code": error.exit_code if error else 0,
        "findings": [_plain(each) for each in listed],
    }
    return json.dumps(report, indent=2, ensure_ascii=False)


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "level": finding.level,
        "check": finding.check,
        "diagnosis": finding.diagnosis or None,
        "seen": finding.seen,
        "remedy": finding.remedy or None,
        "exit_code": finding.exit_code,
    }
