"""The plot of a cold start: a bar for each way, in its phases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH: Final = Path(__file__).parents[2] / "build" / "cold-start.png"
_INCHES: Final = (10, 4)


def cold_start(ways: Mapping[str, Mapping[str, float]]) -> str:
    """Draw the phases of each way, in seconds, and say where the picture is."""
    mpl.use("agg")
    figure, axes = plt.subplots(figsize=_INCHES, layout="constrained")
    names = [way.replace("`", "") for way in ways]
    left = [0.0] * len(names)
    for phase in dict.fromkeys(phase for each in ways.values() for phase in each):
        widths = [each.get(phase, 0.0) for each in ways.values()]
        axes.barh(names, widths, left=left, label=phase)
        left = [at + width for at, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("seconds from an empty store to the first embedding, bge-large, 1.34 GB")
    figure.legend(loc="outside upper center", ncols=8, frameon=False, fontsize="small")
    PATH.parent.mkdir(exist_ok=True)
    figure.savefig(PATH, dpi=120)
    plt.close(figure)
    return f"The cold start by phase is drawn in {PATH.relative_to(PATH.parents[1])}."
