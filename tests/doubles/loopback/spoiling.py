"""What a plan does to the bytes of a body on their way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.doubles.loopback.faults import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.doubles.loopback.faults import Plan, Rule

PIECE: Final = 256 * 1024


@dataclass
class Spoiler:
    """Applies a plan's rules to the bytes of one body.

    Attributes:
        plan: The rules.
        length: How long the body is.
        upload: It is a request's body, not an answer's.
    """

    plan: Plan
    length: int
    upload: bool = False
    _done: set[int] = field(default_factory=set)

    def _stops(self) -> Iterator[tuple[int, Rule]]:
        for rule in self.plan.of(Kind.TRUNCATE, Kind.STALL):
            yield min(rule.fields.get("after", self.length // 2), self.length), rule

    def until(self, offset: int) -> int:
        """How far one piece may reach from `offset`: to the next stop, at the slowest pace."""
        ends = [at for at, rule in self._stops() if at > offset and id(rule) not in self._done]
        paces = [rule.pace.slice for rule in self.plan.of(Kind.THROTTLE) if rule.pace]
        return min([offset + PIECE, self.length, *ends, *(offset + size for size in paces)])

    async def pause(self, offset: int) -> bool:
        """Stall where a rule says so; False where the body ends early."""
        for at, rule in self._stops():
            if at != offset or id(rule) in self._done:
                continue
            self._done.add(id(rule))
            if rule.kind is Kind.TRUNCATE:
                return False
            await wait(rule, rule.fields.get("seconds"))
        return True

    async def pass_through(self, offset: int, piece: bytes) -> bytes:
        """The piece as it comes out, once the pace lets it."""
        for rule in self.plan.of(Kind.THROTTLE):
            if rule.pace:
                await rule.pace.spend(len(piece))
        for rule in self.plan.of(Kind.FLIP):
            at = rule.fields.get("at", self.length // 2) % max(self.length, 1)
            if bool(rule.fields.get("upload")) is self.upload and 0 <= at - offset < len(piece):
                piece = flipped(piece, at - offset)
        return piece


def flipped(data: bytes, at: int) -> bytes:
    """`data` with the lowest bit of byte `at` inverted."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


async def wait(rule: Rule, seconds: float | None) -> None:
    """Wait that long, or (None) for ever; no longer than the rule is in force."""
    try:
        await asyncio.wait_for(rule.cleared.wait(), seconds)
    except TimeoutError:
        return
