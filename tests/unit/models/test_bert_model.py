"""A model that is run from its own files gives what its weights say, for one text as for many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import onnxruntime as ort
import pytest

from agent.models.devices.device import CPU, Device
from agent.models.devices.device_error import DeviceError
from agent.models.runtimes.bert import recipe, tokenizer
from agent.models.runtimes.bert.model import BertModel
from agent.release import layout, space
from tests.support import bert, sentences
from tests.support.stores import a_model

if TYPE_CHECKING:
    from tests.support.bert import Array

REF: Final = a_model(loader="sentence-transformers").ref
TEXTS: Final = ("the", "the man and the world", "a b c d e")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The directory of the model in a release, which is `tmp_path`."""
    return tmp_path / layout.snapshot_directory(REF)


def tokens(home: Path, text: str) -> list[int]:
    """The tokens of a text, as the model reads them."""
    return tokenizer.load(home, recipe.read(home)).encode(text).ids


def states(config: bert.BertConfig, ids: list[int]) -> Array:
    """The states of a text's tokens, by the graph that tests have of their own."""
    graph = bert.build(config, sentences.weights(config))
    session = ort.InferenceSession(graph.SerializeToString())
    text = np.array([ids], np.int64)
    inputs = {"input_ids": text, "attention_mask": np.ones_like(text)}
    (found,) = session.run(None, inputs | {"token_type_ids": np.zeros_like(text)})
    return found[0]  # type: ignore[no-any-return]


def pooled(found: Array, pooling: str) -> Array:
    """The one vector of a text's tokens."""
    if pooling == "cls":
        return found[0]  # type: ignore[no-any-return]
    return found.max(axis=0) if pooling == "max" else found.mean(axis=0)  # type: ignore[no-any-return]


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_each_pooling(pooling: str, home: Path, tmp_path: Path) -> None:
    """The vectors are those of the encoder's states, pooled so, at length 1."""
    config = sentences.write(home, pooling=pooling)
    model = BertModel(REF, tmp_path, CPU)
    assert (model.provider, model.max_length) == ("CPUExecutionProvider", 128)
    assert model.load_seconds > 0
    for text in TEXTS:
        expected = pooled(states(config, tokens(home, text)), pooling)
        (vector,) = model.embed([text])
        assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
    assert model.share_on_device() == 1.0


def test_a_dense_module(home: Path, tmp_path: Path) -> None:
    """It multiplies, adds and bends; what is not normalized keeps its length."""
    config = sentences.write(home)
    dense = sentences.add_dense(home, config.hidden, 24)
    sentences.write_modules(home, "1_Pooling", "2_Dense")
    model = BertModel(REF, tmp_path, CPU)
    mean = states(config, tokens(home, "the")).mean(axis=0)
    expected = np.tanh(dense["linear.weight"] @ mean + dense["linear.bias"])
    (vector,) = model.embed(["the"])
    assert vector == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_many_texts_at_once(pooling: str, home: Path, tmp_path: Path) -> None:
    """Padding changes no vector; a long text is cut at the longest."""
    sentences.write(home, pooling=pooling)
    model = BertModel(REF, tmp_path, CPU)
    texts = [*TEXTS, " ".join(["the"] * 500)]
    assert [len(tokens(home, text)) for text in texts][-1] == 128
    for text, vector in zip(texts, model.embed(texts), strict=True):
        assert vector == pytest.approx(model.embed([text])[0], abs=1e-6)


def test_rounded_weights(home: Path, tmp_path: Path) -> None:
    """They are widened, and give nearly the same vectors; so they do at any byte of a file."""
    sentences.write(home)
    (whole,) = BertModel(REF, tmp_path, CPU).embed(["the man"])
    for numbers in ("F16", "BF16"):
        sentences.write(home, numbers=numbers)
        (rounded,) = BertModel(REF, tmp_path, CPU).embed(["the man"])
        assert rounded != whole
        assert space.cosine(rounded, whole) > 0.9999


def test_a_prompt_stands_before_each_text(home: Path, tmp_path: Path) -> None:
    """As if it were part of the text."""
    sentences.write(home)
    plain = BertModel(REF, tmp_path, CPU).embed(["the man", "the world"])
    prompts = {"prompts": {"query": "the "}, "default_prompt_name": "query"}
    sentences.write_json(home, "config_sentence_transformers.json", prompts)
    assert BertModel(REF, tmp_path, CPU).embed(["man", "world"]) == plain


def test_texts_that_are_lowered(home: Path) -> None:
    """By sentence-transformers, where the tokenizer would keep capitals."""
    sentences.write(home)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = home / name
        text = path.read_text().replace('"lowercase": true', '"lowercase": false')
        path.unlink()
        path.write_text(text.replace('"do_lower_case": true', '"do_lower_case": false'))
    assert tokens(home, "THE") != tokens(home, "the")
    sentences.change_json(home, "sentence_bert_config.json", do_lower_case=True)
    assert tokens(home, "THE") == tokens(home, "the")


def test_a_gpu_is_used_or_named(home: Path, tmp_path: Path) -> None:
    """Nothing falls back to the CPU."""
    sentences.write(home)
    with pytest.raises(DeviceError, match=r"CPU build|No GPU"):
        BertModel(REF, tmp_path, Device("cuda"))


def test_weights_are_mapped(home: Path, tmp_path: Path) -> None:
    """They are read where they lie, and not copied."""
    sentences.write(home)
    model = BertModel(REF, tmp_path, CPU)
    model.embed(["the"])
    maps = Path("/proc/self/maps").read_text()
    assert str(home / "model.safetensors") in maps
