"""What is read of a sentence-transformers model's files, and each reason not to run it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agent.models.formats.onnx_graph import FLOAT16
from agent.models.runtimes.bert import recipe, tokenizer
from agent.models.runtimes.bert.recipe import Dense
from agent.models.runtimes.unrun_model import NotRunError
from tests.support import models, sentences

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENCODER = "sentence_bert_config.json"
POOLING = "1_Pooling/config.json"
DENSE = "2_Dense/config.json"
SENTENCES = "config_sentence_transformers.json"
TOKENIZER = "tokenizer_config.json"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model."""
    sentences.write(tmp_path)
    return tmp_path


def test_the_real_minilm(minilm_safetensors_dir: Path) -> None:
    """All of its files are understood, and its weights are where its file says."""
    found = recipe.read(minilm_safetensors_dir)
    assert (found.dim, found.max_length, found.pooling, found.after) == (384, 256, "mean", (None,))
    assert (found.activation, found.lower_case, found.prompt) == ("Gelu", False, "")
    name = "encoder.layer.5.output.dense.bias"
    place = found.weights[name]
    data = (minilm_safetensors_dir / place.file).read_bytes()
    values = np.frombuffer(data[place.offset : place.offset + place.length], np.float32)
    assert (values == models.minilm_weights()[name]).all()
    tokenizer.load(minilm_safetensors_dir, found)


def test_a_dense_module(model: Path) -> None:
    """It changes the dimension; its weights have its folder in their names."""
    sentences.add_dense(model, 32, 24)
    found = recipe.read(model)
    assert (found.dim, found.after) == (24, (Dense("2_Dense.linear", "Tanh"), None))
    assert found.weights["2_Dense.linear.weight"].shape == (24, 32)
    sentences.change_json(model, DENSE, bias=False)
    assert "2_Dense.linear.bias" not in recipe.read(model).weights


def test_as_newer_versions_write_it(model: Path) -> None:
    """From 5.2 on files have other keys, and from 6 on modules other names."""
    text = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
    encoder = {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}
    sentences.write_json(model, ENCODER, encoder | {"modality_config": text})
    pooling = {"embedding_dimension": 32, "pooling_mode": "cls", "include_prompt": True}
    sentences.write_json(model, POOLING, pooling)
    listed = json.loads((model / "modules.json").read_bytes())
    kinds = (
        "base.modules.transformer.Transformer",
        "sentence_transformer.modules.pooling.Pooling",
        "base.modules.normalize.Normalize",
    )
    for each, kind in zip(listed, kinds, strict=True):
        each["type"] = f"sentence_transformers.{kind}"
    sentences.write_json(model, "modules.json", listed)
    said = {"model_type": "SentenceTransformer", "prompts": {"query": "", "document": ""}}
    more: dict[str, object] = {
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
        "__version__": {},
    }
    sentences.write_json(model, SENTENCES, said | more)
    found = recipe.read(model)
    assert (found.pooling, found.max_length, found.prompt) == ("cls", 512, "")


@pytest.mark.parametrize(
    ("of_model", "of_tokenizer", "expected"),
    [(128, 512, 128), (None, 512, 512), (None, 300, 300), (None, 10**30, 512), (0, 64, 64)],
)
def test_the_longest_text(
    of_model: int | None, of_tokenizer: float, expected: int, model: Path
) -> None:
    """The model's own length, else the tokenizer's, as far as there are positions."""
    sentences.change_json(model, ENCODER, max_seq_length=of_model)
    sentences.change_json(model, TOKENIZER, model_max_length=of_tokenizer)
    assert recipe.read(model).max_length == expected


def test_rounded_weights_under_a_head(model: Path) -> None:
    """A model that was trained with a head has `bert.` before its names."""
    config = sentences.write(model)
    made = {f"bert.{name}": tensor for name, tensor in sentences.weights(config).items()}
    sentences.write_weights(model, made, "F16")
    assert {each.kind for each in recipe.read(model).weights.values()} == {FLOAT16}


def in_json(name: str, **fields: Any) -> Callable[[Path], None]:
    """Change fields of a file."""
    return lambda model: sentences.change_json(model, name, **fields)


def dense(**fields: Any) -> Callable[[Path], None]:
    """Add a Dense module with other settings."""
    return lambda model: (sentences.add_dense(model, 32, 24, **fields), None)[1]


def without(name: str) -> Callable[[Path], None]:
    """Delete a file."""
    return lambda model: (model / name).unlink()


def modules(*kinds: str) -> Callable[[Path], None]:
    """List other modules, each in a folder."""

    def write(model: Path) -> None:
        folders = [f"{number}_{kind}" for number, kind in enumerate(kinds, 1)]
        sentences.write_modules(model, *folders)

    return write


def module(index: int, **fields: Any) -> Callable[[Path], None]:
    """Change one entry of `modules.json`."""

    def write(model: Path) -> None:
        listed = json.loads((model / "modules.json").read_bytes())
        listed[index] |= fields
        sentences.write_json(model, "modules.json", listed)

    return write


def pickled_dense(model: Path) -> None:
    """The weights of a Dense module are a pickle."""
    sentences.add_dense(model, 32, 24)
    (model / "2_Dense/model.safetensors").rename(model / "2_Dense/pytorch_model.bin")


def lacking(model: Path) -> None:
    """One weight has the name that it had before 2019."""
    made = sentences.weights(sentences.write(model))
    made["embeddings.LayerNorm.gamma"] = made.pop("embeddings.LayerNorm.weight")
    sentences.write_weights(model, made)


def in_other_numbers(model: Path) -> None:
    """The weights are in numbers that no model of this kind has."""
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"'))


STRANGE: list[tuple[Callable[[Path], None], str]] = [
    (in_json("config.json", model_type="mpnet"), "its model_type is mpnet, not bert"),
    (in_json("config.json", hidden_act="silu"), "its hidden_act is silu, not gelu or relu"),
    (
        in_json("config.json", position_embedding_type="relative_key"),
        "its position_embedding_type is relative_key, not absolute",
    ),
    (in_json("config.json", num_attention_heads=5), "its 5 heads do not share 32 numbers"),
    (in_json("config.json", num_attention_heads=0), "its 0 heads do not share 32 numbers"),
    (in_json("config.json", is_decoder=True), "its config.json has is_decoder"),
    (in_json("config.json", add_cross_attention=True), "has add_cross_attention"),
    (in_json("config.json", pruned_heads={"0": [1]}), "its config.json has pruned_heads"),
    (in_json("config.json", quantization_config={"bits": 4}), "has quantization_config"),
    (in_json("config.json", auto_map={"AutoModel": "x"}), "its config.json has auto_map"),
    (in_json("config.json", hidden_size="32"), "config.json is not understood: Expected `int`"),
    (in_json("adapter_config.json", peft_type="LORA"), "adapter_config.json is not understood"),
    (in_json("processor_config.json", a=1), "processor_config.json is not understood"),
    (without("modules.json"), "modules.json is missing"),
    (without(POOLING), "1_Pooling/config.json is missing"),
    (modules("Normalize"), "does not begin with Transformer and Pooling"),
    (modules(), "does not begin with Transformer and Pooling"),
    (modules("Pooling", "LSTM"), "its modules.json has sentence_transformers.models.LSTM"),
    (modules("Pooling", "Pooling"), "more than one Transformer or Pooling"),
    (module(0, path="0_Transformer"), "its encoder is in the folder 0_Transformer"),
    (module(2, path="../2_Normalize"), "has the folder '../2_Normalize'"),
    (module(1, type="custom.Pooling"), "its modules.json has custom.Pooling"),
    (module(1, kwargs=["task"]), "Object contains unknown field `kwargs`"),
    (in_json(POOLING, pooling_mode_cls_token=True), "its pooling is cls and mean, not mean, cls"),
    (in_json(POOLING, pooling_mode_mean_tokens=False), "its pooling is none, not mean, cls or max"),
    (in_json(POOLING, pooling_mode="lasttoken"), "its pooling is lasttoken, not mean"),
    (in_json(POOLING, pooling_mode=["cls", "mean"]), "its pooling is cls and mean"),
    (in_json(POOLING, another=1), "unknown field `another`"),
    (in_json("2_Normalize/config.json", module_input_name="token_embeddings"), "Invalid enum"),
    (dense(activation_function="torch.nn.SiLU"), "the activation of 2_Dense is torch.nn.SiLU"),
    (dense(use_residual=True), "2_Dense/config.json is not understood"),
    (pickled_dense, "2_Dense/model.safetensors is missing, and no other form of weights is run"),
    (without("model.safetensors"), "model.safetensors is missing, and no other form"),
    (lacking, "model.safetensors has no embeddings.LayerNorm.weight"),
    (in_other_numbers, "embeddings.word_embeddings.weight is in I32"),
    (in_json(ENCODER, max_seq_length=513), "its max_seq_length is 513, and it has 512 positions"),
    (in_json(ENCODER, query_length=32), "unknown field `query_length`"),
    (in_json("sentence_roberta_config.json", a=1), "sentence_roberta_config.json is not under"),
    (in_json(SENTENCES, default_prompt_name="query"), "has no prompt query"),
    (in_json(SENTENCES, model_type="SparseEncoder"), "Invalid enum value 'SparseEncoder'"),
]


@pytest.mark.parametrize(("change", "reason"), STRANGE, ids=[reason for _, reason in STRANGE])
def test_what_is_not_understood_is_not_run(
    change: Callable[[Path], None], reason: str, model: Path
) -> None:
    """Each has its reason."""
    change(model)
    with pytest.raises(NotRunError) as why:
        recipe.read(model)
    assert reason in str(why.value)


def test_a_prompt(model: Path) -> None:
    """It is put before texts, unless the pooling leaves it out."""
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    sentences.write_json(model, SENTENCES, prompts)
    assert recipe.read(model).prompt == "query: "
    sentences.change_json(model, POOLING, include_prompt=False)
    with pytest.raises(NotRunError, match="its pooling leaves out the prompt"):
        recipe.read(model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (in_json("config.json", num_hidden_layers=3), "has no encoder.layer.2"),
        (in_json("config.json", intermediate_size=65), r"has the shape \[64, 32\]"),
        (lambda model: (model / "config.json").write_text("{"), "truncated"),
        (lambda model: (model / "model.safetensors").write_bytes(b"12345678"), "header"),
    ],
)
def test_files_that_do_not_fit_together(
    change: Callable[[Path], None], words: str, model: Path
) -> None:
    """The first is told; what is damaged is the model's fault."""
    change(model)
    with pytest.raises(Exception, match=words) as caught:
        recipe.read(model)
    assert isinstance(caught.value, NotRunError) == ("layer.2" in words)


def in_tokenizer(**fields: Any) -> Callable[[Path], None]:
    """Change parts of `tokenizer.json`."""
    return lambda model: sentences.change_json(model, "tokenizer.json", **fields)


def inside(part: str, **fields: Any) -> Callable[[Path], None]:
    """Change one part of `tokenizer.json`."""

    def write(model: Path) -> None:
        described = json.loads((model / "tokenizer.json").read_bytes())
        sentences.change_json(model, "tokenizer.json", **{part: described[part] | fields})

    return write


OTHER_TOKENS: list[tuple[Callable[[Path], None], str]] = [
    (without("tokenizer.json"), "tokenizer.json is missing"),
    (in_json(TOKENIZER, tokenizer_class="XLMRobertaTokenizer"), "is a XLMRobertaTokenizer, not"),
    (in_json(TOKENIZER, processor_class="Some"), "its tokenizer is a Some, not BERT's"),
    (in_json(TOKENIZER, truncation_side="left"), "does not cut and pad texts at their end"),
    (in_json(TOKENIZER, padding_side="left"), "does not cut and pad texts at their end"),
    (in_json(TOKENIZER, do_lower_case=False), "treat letters differently"),
    (in_json(TOKENIZER, strip_accents=False), "treat letters differently"),
    (in_json(TOKENIZER, tokenize_chinese_chars=False), "treat letters differently"),
    (
        in_json(TOKENIZER, added_tokens_decoder={"0": {"content": "[PAD]"}}),
        "add different tokens",
    ),
    (inside("normalizer", clean_text=False), "treat letters differently"),
    (inside("normalizer", type="NFC"), "tokenizer.json is not of BERT's kind"),
    (in_tokenizer(normalizer=None), "tokenizer.json is not of BERT's kind"),
    (inside("model", type="BPE"), "tokenizer.json is not of BERT's kind"),
    (inside("model", max_input_chars_per_word=50), "tokenizer.json is not of BERT's kind"),
    (in_tokenizer(pre_tokenizer={"type": "Whitespace"}), "tokenizer.json is not of BERT's kind"),
    (in_tokenizer(post_processor=None), "tokenizer.json is not of BERT's kind"),
    (
        in_tokenizer(
            post_processor={"type": "BertProcessing", "sep": ["[SEP]", 9], "cls": ["", 1]}
        ),
        "tokenizer.json is not of BERT's kind",
    ),
    (inside("post_processor", single=[{"Sequence": {"id": "A", "type_id": 0}}]), "not of BERT's"),
]


@pytest.mark.parametrize(
    ("change", "reason"), OTHER_TOKENS, ids=[str(n) for n in range(len(OTHER_TOKENS))]
)
def test_another_tokenizer(change: Callable[[Path], None], reason: str, model: Path) -> None:
    """One that may give other tokens in some version of transformers is not taken for BERT's."""
    change(model)
    with pytest.raises(NotRunError, match=reason):
        tokenizer.load(model, recipe.read(model))


def test_a_tokenizer_that_is_taken_as_it_is(model: Path) -> None:
    """Of the class for any tokenizer, `tokenizer.json` alone counts."""
    change = {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False}
    sentences.change_json(model, TOKENIZER, **change)
    made = tokenizer.load(model, recipe.read(model))
    assert made.encode("THE").tokens == ["[CLS]", "the", "[SEP]"]


def test_the_older_way_to_wrap_a_text(model: Path) -> None:
    """BertProcessing puts the same tokens around it."""
    described = json.loads((model / "tokenizer.json").read_bytes())
    vocab = described["model"]["vocab"]
    ends = {"cls": ["[CLS]", vocab["[CLS]"]], "sep": ["[SEP]", vocab["[SEP]"]]}
    in_tokenizer(post_processor={"type": "BertProcessing", **ends})(model)
    made = tokenizer.load(model, recipe.read(model))
    assert made.encode("the").tokens == ["[CLS]", "the", "[SEP]"]
