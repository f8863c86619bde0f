"""Which files of a model its loader needs, wherever they lie."""

from __future__ import annotations

import pytest

from agent.release import wanted
from agent.release.adoption import plan
from agent.release.model_ref import ModelRef
from agent.release.tree import Node, Tree
from agent.release.wanted import Wanted

FASTEMBED = Wanted(
    ModelRef("a/m", "fastembed", "q/m-onnx"), "onnx/model.onnx", ("onnx/model.onnx_data",)
)
SENTENCE = Wanted(ModelRef("a/m", "sentence-transformers", "a/m"))
ANY = Wanted(ModelRef("a/m", "huggingface", "a/m"))
SOME = Wanted(ModelRef("a/m", "huggingface", "a/m"), allow=("*.json", "*.safetensors"))
NAMES = (
    ".gitattributes",
    "1_Pooling/config.json",
    "README.md",
    "config.json",
    "files_metadata.json",
    "model.safetensors",
    "onnx/model.onnx",
    "onnx/model.onnx_data",
    "openvino/model.xml",
    "pytorch_model.bin",
    "tokenizer.json",
    "tokenizer_config.json",
)


CONFIGS = ("config.json", "tokenizer.json", "tokenizer_config.json")
SAFE = ("1_Pooling/config.json", *CONFIGS, "model.safetensors")
ONNX = ("onnx/model.onnx", "onnx/model.onnx_data")


@pytest.mark.parametrize(
    ("want", "expected"),
    [
        (FASTEMBED, {*CONFIGS, *ONNX}),
        (SENTENCE, {*SAFE}),
        (ANY, {*SAFE, *ONNX, "openvino/model.xml"}),
        (SOME, {*SAFE}),
    ],
    ids=["fastembed", "sentence-transformers", "huggingface", "huggingface-allow"],
)
def test_what_is_picked(want: Wanted, expected: set[str]) -> None:
    """Each loader's own files and weights that run no code; nothing hidden, nothing for people."""
    assert wanted.pick(want, NAMES) == sorted(expected)


@pytest.mark.parametrize(
    ("want", "without", "missing"),
    [
        (FASTEMBED, "onnx/model.onnx", "onnx/model.onnx"),
        (FASTEMBED, "onnx/model.onnx_data", "onnx/model.onnx_data"),
        (FASTEMBED, "tokenizer_config.json", "tokenizer_config.json"),
        (SENTENCE, "config.json", "config.json"),
        (SENTENCE, "tokenizer.json", "tokenizer.json"),
        (SOME, "model.safetensors", "model.safetensors"),
        (SENTENCE, "nothing", None),
    ],
)
def test_what_is_missing(want: Wanted, without: str, missing: str | None) -> None:
    """The first file that the loader cannot do without is named."""
    names = [name for name in NAMES if name not in {without, "pytorch_model.bin"}]
    assert wanted.missing(want, wanted.pick(want, names)) == missing


def test_a_pickle_is_weights_where_nothing_else_is() -> None:
    """Whether it may be used is another's to say; that there are weights is said here."""
    names = ["config.json", "pytorch_model.bin", "tokenizer.json"]
    assert wanted.pick(SENTENCE, names) == names
    assert wanted.missing(SENTENCE, names) is None


def test_a_tree_for_the_hub_cache() -> None:
    """What is for `huggingface` is looked for in HF_HOME's cache, and nowhere else."""
    folder = "huggingface/hub/models--a--m"
    files = ("config.json", "model.safetensors", "tokenizer.json")
    nodes = {folder: Node("directory"), f"{folder}/snapshots": Node("directory")}
    nodes |= {f"{folder}/snapshots/{'c' * 40}/{name}": Node("file", 1) for name in files}
    found = plan(Tree(nodes, {f"{folder}/refs/main": "c" * 40}), [SOME])
    assert [model.revision for model in found.models] == ["c" * 40]
    assert set(found.files) == {f"{folder}/snapshots/{'c' * 40}/{name}" for name in files}
    elsewhere = {path.replace(folder, "sentence_transformers/m"): n for path, n in nodes.items()}
    assert plan(Tree(elsewhere), [SOME]).absent == (SOME,)
