"""Shapes of inference: the number of texts that run at once, and of tokens in each. Pure."""

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
        """Return texts of about this shape: one frequent word is one token in every vocabulary."""
        return [" ".join(["the"] * max(1, self.tokens - _AROUND))] * self.batch


# A GPU runs the shapes that a worker serves, its longest text included: kernels are chosen and
# memory is taken before the first request. A CPU chooses no kernels, a batch of 32 long texts takes
# bge-large minutes, and a pod's start waits for every run: it runs one short text, to tell a rate.
DEFAULTS: Final[Mapping[Kind, tuple[Shape, ...]]] = {
    "cpu": (Shape(1, 16),),
    "cuda": (Shape(1, 16), Shape(1, 512), Shape(32, 512), Shape(128, 512)),
}


def parse(text: str) -> tuple[Shape, ...] | None:
    """Return the shapes of `1x16,32x512` (texts x tokens); None for `auto`, the device's own."""
    if text == "auto":
        return None
    found = [_SHAPE.fullmatch(part) for part in text.split(",")]
    if None in found:
        raise ValueError("is neither auto nor shapes such as 1x16,32x512")
    return tuple(Shape(int(match[1]), int(match[2])) for match in found if match)
