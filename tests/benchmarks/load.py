"""How long the worker's library takes to load a release: optimised, beside as the Hub has it."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from agent import layout, optimizing
from tests.azure_files.doubles import ROOT
from tests.benchmarks.measuring import Sample, medians
from tests.benchmarks.table import Row
from tests.support import agents, models
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
    optimizing.externalize(weights.resolve(), weights.parent / "model.onnx")
    _refer(served)
    made = []
    for what, how in HOW.items():
        ours, theirs = medians(
            [partial(_load, how, optimised), partial(_load, how, served)], between=lambda: None
        )
        made.append(Row(f"load and first embedding, {what}", ours, "as the Hub has it", theirs))
    return made


def _snapshot(cache: Path) -> Path:
    folder = layout.repo_folder(models.BGE_LARGE_REPO)
    return cache / folder / "snapshots" / REVISION


def _refer(cache: Path) -> None:
    ref = cache / layout.repo_folder(models.BGE_LARGE_REPO) / "refs" / "main"
    ref.parent.mkdir(parents=True)
    ref.write_text(REVISION)


def _load(how: str, cache: Path) -> Sample:
    """A process of its own, which says itself what it took."""
    command = [sys.executable, "-m", "tests.benchmarks.clients.load", how, str(cache)]
    done = subprocess.run(
        command, env=agents.environment(), cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    return Sample(**json.loads(done.stdout.splitlines()[-1]))
