"""The report of a warm-up: what programs read keeps its form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from agent.models.shapes import Shape
from agent.release import manifest
from agent.warmup import report
from agent.warmup.protocol import Measured, Timing
from tests.support.manifests import FULL

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = manifest.parse(manifest.canonical(FULL))
MEASURED = Measured(
    RELEASE.models[0].ref,
    dim=32,
    max_length=256,
    precision="fp32",
    device="cpu",
    provider="CPUExecutionProvider",
    load_seconds=1.5,
    first_seconds=0.25,
    share_on_device=1.0,
    timings=(Timing(Shape(2, 16), 0.5, 0.25),),
    canary_seconds=2.0,
    cosines=(1.0, 0.5),
    peak_rss_bytes=7,
    vectors=((1.0,),),
    answer=(1.0,),
)


def test_a_report_is_read_again(tmp_path: Path) -> None:
    """What was measured is known to whoever starts later; what cannot be read is no report."""
    assert report.read(tmp_path) == ()
    assert report.write(tmp_path, RELEASE, [MEASURED])
    (seen,) = report.read(tmp_path)
    assert seen == report.Warmed("BAAI/bge", "cpu", 1.5, 0.25, 0.5)
    for data in (b"", b"[]", b'{"models": [{"name": 1}]}', b"\xff"):
        (tmp_path / "warmup.json").write_bytes(data)
        assert report.read(tmp_path) == ()


def test_the_form_of_the_report() -> None:
    """Each key is where it always was, and nothing that is large is in it."""
    document = json.loads(report.as_json(RELEASE, [MEASURED]))
    assert list(document) == ["schema", "version", "digest", "at", "ground", "models"]
    assert list(document["models"][0].items()) == [
        ("name", "BAAI/bge"),
        ("loader", "fastembed"),
        ("dim", 32),
        ("max_length", 256),
        ("precision", "fp32"),
        ("device", "cpu"),
        ("provider", "CPUExecutionProvider"),
        ("not_run", None),
        ("load_seconds", 1.5),
        ("first_seconds", 0.25),
        ("share_on_device", 1.0),
        ("canary_seconds", 2.0),
        ("peak_rss_bytes", 7),
        ("peak_device_bytes", None),
        ("steady_seconds", 0.25),
        ("canary_cosine", 0.5),
        ("canary_cosines", [1.0, 0.5]),
        (
            "shapes",
            [
                {
                    "texts": 2,
                    "tokens": 16,
                    "first_seconds": 0.5,
                    "steady_seconds": 0.25,
                    "texts_per_second": 8.0,
                }
            ],
        ),
    ]
