"""A release is measured in a child process: what ran, what could not be run, and why."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from agent import logs
from agent.errors import ModelError, WarmupError
from agent.release import layout
from agent.warmup import warmer
from agent.warmup.protocol import Measured, Subject
from agent.warmup.warmer import Warmer
from tests.support import sentences
from tests.support.stores import a_model, write_release

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.manifest import Manifest

MODEL = a_model(loader="sentence-transformers", dim=32)
HOME = layout.snapshot_directory(MODEL.ref)
OTHER = a_model(loader="huggingface", repo="Org/name", dim=8)


def on(device: str) -> Warmer:
    """A warmer for a device."""
    return Warmer(device, None, 60, threading.Event(), logs.get())


def unrun(directory: Path) -> Manifest:
    """A release of which nothing can be run here, or anywhere."""
    config = b'{"hidden_size": 8, "vocab_size": 1}'
    files = {f"{layout.snapshot_directory(OTHER.ref)}/config.json": config}
    return write_release(directory, files, [OTHER])


def test_a_model_of_sentence_transformers_without_it(tmp_path: Path) -> None:
    """It is run by onnxruntime, and gives the vectors of the canary's texts and of another."""
    sentences.write(tmp_path / HOME)
    (found,) = on("cpu").measure([Subject(MODEL.ref, ask="the")], tmp_path)
    assert (found.not_run, found.dim, found.max_length) == (None, 32, 128)
    assert (found.device, found.provider) == ("cpu", "CPUExecutionProvider")
    assert {len(vector) for vector in (*found.vectors, found.answer)} == {32}
    assert len(found.vectors) == 6


def test_a_model_that_is_not_understood(tmp_path: Path) -> None:
    """Only its files are looked at; the reason names what is strange, and what is not installed."""
    sentences.write(tmp_path / HOME)
    sentences.add_dense(tmp_path / HOME, 32, 24)
    sentences.change_json(tmp_path / HOME, "config.json", hidden_act="silu")
    (found,) = on("cpu").measure([Subject(MODEL.ref)], tmp_path)
    reason = "its hidden_act is silu, not gelu or relu, and "
    assert str(found.not_run).startswith(reason)
    assert str(found.not_run).endswith(" is not installed (extra st)")
    assert (found.dim, found.max_length, found.vectors) == (24, 128, ())


def test_a_model_whose_files_do_not_fit_together(tmp_path: Path) -> None:
    """It does not load, which is the release's fault; it is no model that was not run."""
    sentences.write(tmp_path / HOME)
    sentences.change_json(tmp_path / HOME, "config.json", intermediate_size=65)
    with pytest.raises(ModelError, match=r"has the shape \[64, 32\], and \[65, 32\] is needed"):
        on("cpu").measure([Subject(MODEL.ref)], tmp_path)


def test_a_release_without_a_canary_may_give_another_dimension(tmp_path: Path) -> None:
    """0.1.0 did not run such models, and wrote the dimension before a Dense module."""
    sentences.write(tmp_path / HOME)
    sentences.add_dense(tmp_path / HOME, 32, 24)
    release = write_release(tmp_path, {}, [MODEL])
    (found,) = on("cpu").warm(release, tmp_path)
    assert (found.dim, found.not_run) == (24, None)


ODD = f"{MODEL.name} (sentence-transformers): it is odd"


@pytest.mark.parametrize(
    ("requested", "reasons", "expected"),
    [
        ("cuda", ["it is odd"], ODD),
        ("cuda:1", ["it is odd", "it is odd"], f"{ODD}; {ODD}"),
        ("cuda", ["it is odd", None], None),
        ("cuda", [None], None),
        ("cuda", [], None),
        ("auto", ["it is odd"], None),
        ("cpu", ["it is odd"], None),
    ],
)
def test_which_releases_prove_nothing(
    requested: str, reasons: list[str | None], expected: str | None
) -> None:
    """Those of which no model ran, where a GPU was asked for by name; each has its reason."""
    measured = [Measured(MODEL.ref, 32, 128, "fp32", not_run=reason) for reason in reasons]
    assert warmer.unproven(requested, measured) == expected


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_asked_for_and_runs_nothing(device: str, tmp_path: Path) -> None:
    """It is exit 7, which says which models were not run, why, and what to do; not the release."""
    release = unrun(tmp_path)
    with pytest.raises(WarmupError) as failed:
        on(device).warm(release, tmp_path)
    assert (failed.value.exit_code, failed.value.blames_release) == (7, False)
    assert str(failed.value) == (
        f"No model of {release.version} ran on {device}, which --device asks for: {OTHER.name} "
        "(huggingface): the loader huggingface does not say how. Install what is missing, publish "
        "a model that can be run here, or use --device auto."
    )


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_elsewhere_its_files_are_enough(device: str, tmp_path: Path) -> None:
    """Nobody asked for a proof."""
    (found,) = on(device).warm(unrun(tmp_path), tmp_path)
    assert found.not_run == "the loader huggingface does not say how"
