"""Published numbers in a catalog: weights from the Hub that do not give them are no release."""

from __future__ import annotations

import re
import shutil
from importlib import resources
from typing import TYPE_CHECKING, Final

import onnx
import pytest

from agent.release import catalog
from tests.support import models, sentences, wrong_models
from tests.support.hubs import VERSION, HubPod, hub_pod
from tests.support.shares import REVISION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

# qdrant/fastembed's own tests.
PUBLISHED: Final = "[-0.034478, 0.03102, 0.00673, 0.02611, -0.039362]"
ENTRY: Final = f"""
[[model]]
name = "{models.MINILM}"
loader = "{{loader}}"
revision = "{REVISION}"
expected = {{{{ text = "hello world", first = {PUBLISHED} }}}}
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[HubPod]:
    """A Hub without models, and a catalog that expects MiniLM's published numbers."""
    with hub_pod(tmp_path) as here:
        shutil.rmtree(here.repo)
        here.catalog.write_text(f'version = "{VERSION}"\n' + ENTRY.format(loader="fastembed"))
        yield here


@pytest.mark.parametrize("change", ["", "optimize = true\n"], ids=["as-it-is", "optimised"])
def test_the_real_model_gives_them(change: str, here: HubPod, minilm_dir: Path) -> None:
    """The true MiniLM is published, whichever way its weights are kept."""
    shutil.copytree(minilm_dir, here.repo)
    here.catalog.write_text(here.catalog.read_text().replace("expected", f"{change}expected"))
    done = here.publish()
    assert done.code == 0, done.lines
    assert done.named("model.not_run") == []


@pytest.mark.parametrize(
    "wrong",
    [
        wrong_models.half_the_layers,
        pytest.param(wrong_models.cls_pooling, marks=pytest.mark.slow),
    ],
)
def test_another_model_does_not(
    wrong: Callable[[Path, Path], None], here: HubPod, minilm_external_dir: Path
) -> None:
    """Exit 7, with what it gives beside what is published; nothing is on the share."""
    wrong(minilm_external_dir, here.root / "wrong")
    shutil.copytree(here.root / "wrong", here.repo)
    # FastEmbed's list names no weights beside this model's graph.
    whole = onnx.load(here.repo / "model.onnx")
    (here.repo / "model.onnx").unlink()
    onnx.save(whole, here.repo / "model.onnx")
    done = here.publish()
    assert done.code == 7, done.lines
    published = "-0.03448, 0.03102, 0.00673, 0.02611, -0.03936"
    both = rf"{models.MINILM} gives (.*) for 'hello world', where {published} is published"
    said = re.search(both, done.sentence)
    assert said, done.sentence
    given = [float(number) for number in said[1].split(", ")]
    right = [float(number) for number in published.split(", ")]
    assert len(given) == len(right)
    assert max(abs(a - b) for a, b in zip(given, right, strict=True)) > 0.001
    assert not list((here.share.root / "releases").glob("*"))


@pytest.fixture
def st(here: HubPod, minilm_safetensors_dir: Path) -> Path:
    """The real MiniLM for sentence-transformers, on the Hub and in the catalog; its directory."""
    directory = here.root / "hub" / models.MINILM / REVISION
    shutil.copytree(minilm_safetensors_dir, directory)
    entry = ENTRY.format(loader="sentence-transformers")
    here.catalog.write_text(f'version = "{VERSION}"\n' + entry)
    return directory


def test_a_model_of_sentence_transformers_gives_them(here: HubPod, st: Path) -> None:
    """It is run where that is not installed, too, and gets its canary."""
    done = here.publish()
    assert done.code == 0, done.lines
    assert done.named("model.not_run") == []
    assert "was not run" not in done.stdout
    (model,) = here.share.manifest(VERSION).models
    assert model.canary is not None


def test_another_model_of_sentence_transformers_does_not(here: HubPod, st: Path) -> None:
    """Exit 7, and nothing is on the share."""
    sentences.write_pooling(st, "cls", 384)
    done = here.publish()
    assert done.code == 7, done.lines
    assert "is published" in done.sentence
    assert not list((here.share.root / "releases").glob("*"))


def test_what_cannot_be_run_is_said(here: HubPod, st: Path) -> None:
    """It is published, and the log says why it was not run and what is not checked."""
    sentences.change_json(st, "config.json", hidden_act="silu")
    done = here.publish()
    assert done.code == 0, done.lines
    (event,) = done.named("model.not_run")
    assert event["loader"] == "sentence-transformers"
    assert event["reason"].startswith("its hidden_act is silu")
    assert event["reason"].endswith("its published numbers are not checked")
    assert f"{models.MINILM} (sentence-transformers) was not run" in done.stdout


def test_a_tree_is_held_to_them(here: HubPod, tmp_path: Path, minilm_external_dir: Path) -> None:
    """`--from` and adoption hold a tree to what the operator's catalog expects."""
    wrong_models.half_the_layers(minilm_external_dir, tmp_path / "files")
    tree = tmp_path / "tree"
    models.as_hub_cache(tree / "fastembed", models.MINILM_REPO, REVISION, tmp_path / "files")
    done = here.run("publish", "--from", tree, "--version", "v1")
    assert done.code == 7, done.lines
    assert "is published" in done.sentence
    assert not here.share.release("v1").exists()
    shutil.copytree(tree / "fastembed", here.share.root / "fastembed")
    done = here.run("init", "--populate", "never")
    assert done.code == 7, done.lines
    assert here.active() is None
    here.catalog.write_text(re.sub("expected.*", "", here.catalog.read_text()))
    done = here.run("publish", "--from", tree, "--version", "v1")
    assert done.code == 0, done.lines


def test_the_built_in_catalog_expects_them() -> None:
    """Both of its models are held to the numbers that FastEmbed's tests publish."""
    text = (resources.files("agent.release") / "catalog.toml").read_text()
    expected = {e.name: e.expected for e in catalog.parse(text, where="built in").model}
    assert set(expected) == {models.BGE_LARGE, models.MINILM}
    for numbers in expected.values():
        assert numbers is not None
        assert (numbers.text, len(numbers.first)) == ("hello world", 5)
