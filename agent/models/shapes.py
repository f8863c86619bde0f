"""Shapes of inference: how many texts of how many tokens run at once. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.release.canary import Kind

_SHAPE: Final = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,5})")
# [CLS] and [SEP], or whatever a tokenizer puts around a text.
_AROUND: Final = 2


class Shape(msgspec.Struct, frozen=True):
    """`batch` texts of `tokens` tokens each."""

    batch: int
    tokens: int

    def __str__(self) -> str:
        return f"{self.batch}x{self.tokens}"

    def texts(self) -> list[str]:
        """Texts of about this shape: one frequent word is one token in every vocabulary."""
        return [" ".join(["the"] * max(1, self.tokens - _AROUND))] * self.batch


# On a GPU what the worker serves, the longest text included, so that its first requests find their
# kernels chosen and its memory taken. On a CPU there is nothing to choose, a batch of 32 long texts
# takes bge-large minutes, and a pod's start waits for every run: one short text, to be told a rate.
DEFAULTS: Final[Mapping[Kind, tuple[Shape, ...]]] = {
    "cpu": (Shape(1, 16),),
    "cuda": (Shape(1, 16), Shape(1, 512), Shape(32, 512), Shape(128, 512)),
}


def parse(text: str) -> tuple[Shape, ...] | None:
    """Shapes, of `1x16,32x512` (texts x tokens); None, of `auto`, for the device's own."""
    if text == "auto":
        return None
    found = [_SHAPE.fullmatch(part) for part in text.split(",")]
    if None in found:
        raise ValueError("is neither auto nor shapes such as 1x16,32x512")
    return tuple(Shape(int(match[1]), int(match[2])) for match in found if match)
