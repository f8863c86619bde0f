"""The files of a model that its loader reads, wherever they lie."""

from __future__ import annotations

import json

import pytest

from agent.release.adoption.plan import plan
from agent.release.loaders import choice, sentence_transformers, weights
from agent.release.loaders.strays import is_stray
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
    "2_Dense/config.json",
    "2_Dense/pytorch_model.bin",
    "README.md",
    "config - Copy.json",
    "config.json",
    "files_metadata.json",
    "model.safetensors",
    "model.safetensors.1a2b.partial",
    "model.zip",
    "modules.json",
    "onnx/model.onnx",
    "onnx/model.onnx_data",
    "onnx/model_fp16.onnx",
    "onnx/vocab.txt",
    "openvino/model.xml",
    "pytorch_model.bin",
    "tokenizer.json",
    "tokenizer_config.json",
)
KINDS = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense", "3_Normalize": "Normalize"}

CONFIGS = {"config.json", "tokenizer.json", "tokenizer_config.json"}
ONNX = {"onnx/model.onnx", "onnx/model.onnx_data"}
DENSE = {"2_Dense/config.json", "2_Dense/pytorch_model.bin"}
SENTENCES = {"1_Pooling/config.json", *CONFIGS, *DENSE, "model.safetensors", "modules.json"}


def modules(kinds: dict[str, str] = KINDS) -> bytes:
    """A `modules.json` of these modules, by the directory of each."""
    prefix = "sentence_transformers.models."
    return json.dumps([{"path": p, "type": prefix + kind} for p, kind in kinds.items()]).encode()


TEXTS = {"modules.json": modules()}


@pytest.mark.parametrize(
    ("want", "expected"),
    [
        (FASTEMBED, {*CONFIGS, *ONNX}),
        (SENTENCE, SENTENCES),
        (ANY, {*SENTENCES, *ONNX, "onnx/model_fp16.onnx", "onnx/vocab.txt", "openvino/model.xml"}),
        (
            SOME,
            {*SENTENCES, "config - Copy.json"} - {"2_Dense/pytorch_model.bin"},
        ),
    ],
    ids=["fastembed", "sentence-transformers", "huggingface", "huggingface-allow"],
)
def test_what_is_read(want: Wanted, expected: set[str]) -> None:
    """Each loader's own files: a pickle stays behind only where safe weights are beside it."""
    found = choice.select(want, NAMES, TEXTS)
    assert (set(found.files), found.missing) == (expected, None)
    assert found.beside == (), "what FastEmbed's list names is no question"


@pytest.mark.parametrize(
    ("want", "without"),
    [
        *((FASTEMBED, name) for name in (*sorted(ONNX), "tokenizer.json", "tokenizer_config.json")),
        *((SENTENCE, name) for name in sorted(SENTENCES - {"tokenizer_config.json"})),
        *((ANY, name) for name in ("config.json", "tokenizer.json")),
    ],
)
def test_what_is_missing(want: Wanted, without: str) -> None:
    """The first file that the loader cannot do without is named."""
    names = [name for name in NAMES if name not in {without, "pytorch_model.bin"}]
    texts = {name: text for name, text in TEXTS.items() if name != without}
    # Of a module's weights, the safe form is what should be there.
    named = without.replace("pytorch_model.bin", "model.safetensors")
    assert choice.select(want, names, texts).missing == named


def test_a_pattern_that_stands_for_nothing_is_missing() -> None:
    """With `allow` the catalog says what is needed, and nothing else is."""
    want = Wanted(ANY.ref, allow=("*.safetensors", "extra/*.npy"))
    assert choice.select(want, NAMES, {}).missing == "extra/*.npy"
    assert choice.select(want, [*NAMES, "extra/a.npy"], {}).missing is None


def test_a_pickle_that_the_catalog_names_is_taken() -> None:
    """A pattern may stand for all there is; a name stands for itself, and hidden files as well."""
    want = Wanted(ANY.ref, allow=("*", "pytorch_model.bin", ".gitattributes"))
    files = choice.select(want, NAMES, {}).files
    assert {"pytorch_model.bin", ".gitattributes", "README.md"} < {*files}
    assert "files_metadata.json" not in files


@pytest.mark.parametrize(
    "weight", ["model.safetensors", "onnx/model.onnx", "pytorch_model.bin", "a.pt"]
)
def test_any_of_the_usual_weights_will_do_for_a_workers_own_code(weight: str) -> None:
    """The loader `huggingface` is a worker's own code: rerankers come as ONNX alone."""
    names = ["config.json", "tokenizer.json"]
    assert choice.select(ANY, names, {}).missing == "model.safetensors"
    assert choice.select(ANY, [*names, weight], {}).missing is None
    assert choice.select(ANY, ["config.json", weight], {}).missing == "tokenizer.json"
    assert (
        choice.select(ANY, ["config.json", "preprocessor_config.json", weight], {}).missing is None
    )


SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"
INDEXED = {INDEX: json.dumps({"weight_map": dict(zip("ab", SHARDS, strict=True))}).encode()}
REST = ["config.json", "tokenizer.json", "modules.json"]
ENCODER = {"modules.json": modules({"": "Transformer"})}


@pytest.mark.parametrize("want", [SENTENCE, ANY], ids=["sentence-transformers", "huggingface"])
def test_shards_are_those_of_the_index(want: Wanted) -> None:
    """Each shard that the index names is needed."""
    texts = ENCODER | INDEXED
    whole = choice.select(want, [*REST, INDEX, *SHARDS], texts)
    assert (whole.missing, {INDEX, *SHARDS} <= {*whole.files}) == (None, True)
    for shard in SHARDS:
        names = [*REST, INDEX, *(name for name in SHARDS if name != shard)]
        assert choice.select(want, names, texts).missing == shard


def test_shards_without_an_index() -> None:
    """Transformers does not find them then; the index is what is missing."""
    assert choice.select(SENTENCE, [*REST, *SHARDS], ENCODER).missing == INDEX


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"weight_map": {"a": "../b"}}', b"\xff\xfe"])
def test_a_damaged_index_names_no_shards(data: bytes) -> None:
    """The index itself is taken, and refused by the check of its format."""
    found = choice.select(SENTENCE, [*REST, INDEX, *SHARDS], ENCODER | {INDEX: data})
    assert (INDEX in found.files, found.missing) == (True, None)
    with pytest.raises(ValueError):  # noqa: PT011 - its words are the parser's
        weights.shards(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'[{"path": "../a", "type": "x"}]',
        b'[{"path": ""}]',
        b'["a"]',
        b"\xff\xfe",
    ],
)
def test_a_damaged_list_of_modules(data: bytes) -> None:
    """The encoder is in every model; the list itself is refused by the check of its format."""
    names = [name for name in NAMES if name != "1_Pooling/config.json"]
    found = choice.select(SENTENCE, names, {"modules.json": data})
    assert set(found.files) == SENTENCES - DENSE - {"1_Pooling/config.json"}
    assert found.missing is None
    with pytest.raises(ValueError):  # noqa: PT011 - its words are the parser's
        sentence_transformers.modules(data)


def test_modules_that_nobody_knows() -> None:
    """All of an unknown module's directory is taken, and there must be something in it."""
    texts = {"modules.json": modules({"": "Transformer", "0_Odd": "Odd"})}
    names = ["config.json", "model.safetensors", "tokenizer.json", "modules.json"]
    odd = ["0_Odd/a.npy", "0_Odd/deep/b.txt"]
    assert {*odd} < {*choice.select(SENTENCE, [*names, *odd, "0_Odd/x.tmp"], texts).files}
    assert choice.select(SENTENCE, names, texts).missing == "0_Odd/config.json"


def test_modules_that_are_vectors_of_words() -> None:
    """A table needs its tokenizer and its weights, and no config."""
    texts = {"modules.json": modules({"0_Static": "StaticEmbedding"})}
    names = ["modules.json", "0_Static/tokenizer.json", "0_Static/model.safetensors"]
    assert choice.select(SENTENCE, names, texts).missing is None
    for without in names[1:]:
        left = [name for name in names if name != without]
        assert choice.select(SENTENCE, left, texts).missing == without


@pytest.mark.parametrize("path", ["./1_Pooling", "1_Pooling/", "1_Pooling/."])
def test_a_directory_in_other_words(path: str) -> None:
    """Whoever writes the list by hand means that directory."""
    found = sentence_transformers.modules(modules({path: "Pooling", ".": "Transformer"}))
    assert [module.directory for module in found] == ["1_Pooling/", ""]


def test_a_model_that_is_one_unknown_module() -> None:
    """A router has its parts below it; other runtimes' forms of them stay behind."""
    texts = {"modules.json": modules({"": "Router"})}
    names = [
        "modules.json",
        "router_config.json",
        "query_0_Static/model.safetensors",
        "onnx/a.onnx",
    ]
    assert choice.select(SENTENCE, names, texts).files == tuple(sorted(names[:-1]))


@pytest.mark.parametrize(
    ("want", "needed"),
    [
        (Wanted(FASTEMBED.ref, "model.onnx", ("stopwords.txt",), "sparse"), "tokenizer.json"),
        (Wanted(FASTEMBED.ref, "model.onnx", (), "rerank"), "tokenizer.json"),
        (Wanted(FASTEMBED.ref, "model.safetensors"), "tokenizer.json"),
        (Wanted(FASTEMBED.ref, "config.json", ("english.txt",), "sparse"), None),
        (Wanted(FASTEMBED.ref, "model.onnx", (), "image"), "preprocessor_config.json"),
        (Wanted(FASTEMBED.ref, "model.onnx", (), "multimodal"), "preprocessor_config.json"),
    ],
    ids=["sparse", "rerank", "static", "bm25", "image", "multimodal"],
)
def test_fastembeds_other_lists(want: Wanted, needed: str | None) -> None:
    """Each of its models needs what its list names, and those that read words a tokenizer."""
    names = [want.model_file or "", *want.additional]
    assert choice.select(want, names, {}).missing == needed
    assert choice.select(want, names[1:], {}).missing == want.model_file


def test_a_graph_may_name_what_lies_beside_it() -> None:
    """Neither another graph nor a config is a graph's weights; a stray is nobody's."""
    want = Wanted(FASTEMBED.ref, "onnx/model.onnx")
    beside = ("onnx/model.onnx.data.00", "onnx/weights.bin")
    names = [*NAMES, *beside, "onnx/model.onnx.1a2b.partial", "model.data"]
    assert choice.select(want, names, {}).beside == (
        "onnx/model.onnx.data.00",
        "onnx/model.onnx_data",
        "onnx/weights.bin",
    )


@pytest.mark.parametrize(
    "name",
    [
        *("model.onnx.1a2b.partial", "model.zip", "config - Copy.json", "Copy of config.json"),
        *("config (1).json", "config.json~", ".nfs0001", "a/.cache/x.json", "~$config.json"),
        *("Thumbs.db", "desktop.ini", "model.safetensors.crdownload", "MODEL.TMP"),
    ],
)
def test_strays(name: str) -> None:
    """What tools and people leave beside a model."""
    assert is_stray(name)


@pytest.mark.parametrize("name", ["config.json", "model.onnx_data", "copycat.json", "v(1)a.txt"])
def test_no_strays(name: str) -> None:
    """What only looks a little like one."""
    assert not is_stray(name)


def test_a_tree_for_the_hub_cache() -> None:
    """What is for `huggingface` is looked for in HF_HOME's cache, and nowhere else."""
    folder = "huggingface/hub/models--a--m"
    files = ("config.json", "model.safetensors", "tokenizer.json")
    nodes = {folder: Node("directory"), f"{folder}/snapshots": Node("directory")}
    nodes |= {f"{folder}/snapshots/{'c' * 40}/{name}": Node("file", 1) for name in files}
    found = plan(Tree(nodes, {f"{folder}/refs/main": b"c" * 40}), [SOME])
    assert [model.revision for model in found.models] == ["c" * 40]
    assert set(found.files) == {f"{folder}/snapshots/{'c' * 40}/{name}" for name in files}
    elsewhere = {path.replace(folder, "sentence_transformers/m"): n for path, n in nodes.items()}
    assert plan(Tree(elsewhere), [SOME]).absent == (SOME,)
