"""How long the worker's library takes to load a release: optimised, beside as the Hub has it."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from agent.models.formats import external_data
from agent.release import layout
from tests.benchmarks.measuring import medians
from tests.benchmarks.programs import sample
from tests.benchmarks.table import Row
from tests.support import models
from tests.support.shares import REVISION

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.release import Subject

HOW = {"stock FastEmbed": "stock", "bare session, as warm-up": "bare"}


def rows(subject: Subject) -> list[Row]:
    """Load and embed one short text, by stock FastEmbed and by the session of a warm-up."""
    served = subject.room / "served"
    models.write_bge_large(_snapshot(served))
    optimised = subject.room / "optimised"
    models.as_hub_cache(optimised, models.BGE_LARGE_REPO, REVISION, _snapshot(served))
    weights = _snapshot(optimised) / "model.onnx"
    external_data.externalize(weights.resolve(), weights.parent / "model.onnx")
    _refer(served)
    made = []
    for what, how in HOW.items():
        runs = [partial(sample, sys.executable, "load", how, each) for each in (optimised, served)]
        ours, theirs = medians(runs, between=lambda: None)
        limit = subject.ceilings.load(subject.release.size) if how == "stock" else None
        title = f"load and first embedding, {what}"
        made.append(Row(title, ours, "as the Hub has it", theirs, limit))
    return made


def _snapshot(cache: Path) -> Path:
    folder = layout.repo_folder(models.BGE_LARGE_REPO)
    return cache / folder / "snapshots" / REVISION


def _refer(cache: Path) -> None:
    ref = cache / layout.repo_folder(models.BGE_LARGE_REPO) / "refs" / "main"
    ref.parent.mkdir(parents=True)
    ref.write_text(REVISION)
