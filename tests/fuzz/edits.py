"""Manifests by few changes to a sound one: what no flipped byte makes of JSON that stays JSON."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final

from tests.support.manifests import FULL, HEX

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a field may be given; text comes from the fuzzer as well.
_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**64, 10**400, 0.0, -0.0, 1e308, 5e-324),
    *("", "..", "a/../b", "CON", "é", "e\u0301", "\ud800", "\x00", "A" * 300, HEX, [], {}, [[]]),
    *([0.0], [1e-200], [10**400], {"": None}, [FULL["files"][0]] * 2, [FULL["models"][0]] * 2),
)


class Bytes:
    """Choices, made by bytes.

    Args:
        data: The bytes; when they are used up, the first choice is taken.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    def number(self, below: int) -> int:
        """A number."""
        taken, self._data = self._data[:2], self._data[2:]
        return int.from_bytes(taken, "little") % below

    def text(self) -> str:
        """A short text."""
        size = self.number(40)
        taken, self._data = self._data[:size], self._data[size:]
        return taken.decode(errors="replace")


def made(data: bytes) -> bytes:
    """A manifest's bytes, after one to four changes that `data` chooses."""
    choices, document = Bytes(data), copy.deepcopy(FULL)
    for _ in range(1 + choices.number(4)):
        _change(document, choices)
    return encoded(document)


def encoded(document: object) -> bytes:
    """Any JSON, with what Python lets through."""
    return json.dumps(document).encode()


def names() -> set[str]:
    """The names of all fields."""
    return {key for _, key in _places(FULL) if isinstance(key, str)}


def _change(document: dict[str, Any], choices: Bytes) -> None:
    places = list(_places(document))
    holder, key = places[choices.number(len(places))]
    match choices.number(5):
        case 0:
            holder[key] = copy.deepcopy(_VALUES[choices.number(len(_VALUES))])
        case 1:
            holder[key] = choices.text()
        case 2:
            holder[key] = choices.number(2**16) - 2**8
        case 3:
            other, at = places[choices.number(len(places))]
            holder[key] = copy.deepcopy(other[at])
        case _:
            del holder[key]


def _places(value: Any) -> Iterator[tuple[Any, str | int]]:
    """Every place below a value: what holds it, and under which key."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])
