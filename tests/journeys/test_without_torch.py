"""A model of sentence-transformers gives the same vectors where that library is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from agent.models.devices.device import CPU
from agent.models.runtimes.bert.model import BertModel
from agent.release import layout, space
from tests.support import agents, models, sentences
from tests.support.agents import assert_failed
from tests.support.pods import Pod
from tests.support.shares import REVISION
from tests.support.stores import a_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.agents import Result

    Write = Callable[[Path], object]

pytestmark = pytest.mark.slow

# Made by `make test-slow`: torch and sentence-transformers.
LOADERS: Final = agents.REPO / ".venv-loaders" / "bin" / "python"
LOADING: Final = Path(__file__).parents[1] / "support" / "loading.py"
REF: Final = a_model(loader="sentence-transformers").ref


def changed(file: str, **fields: object) -> Write:
    """A small model with other settings in one of its files."""

    def write(directory: Path) -> None:
        sentences.write(directory)
        sentences.change_json(directory, file, **fields)

    return write


def with_dense(
    write: Callable[[Path], object], inputs: int, **more: object
) -> Callable[[Path], object]:
    """A model with a Dense module behind its pooling."""

    def both(directory: Path) -> None:
        write(directory)
        sentences.add_dense(directory, inputs, 24, **more)

    return both


def cased(directory: Path) -> None:
    """A small model whose tokenizer keeps capitals, in whose place sentence-transformers lowers."""
    sentences.write(directory)
    tokenizer = json.loads((directory / "tokenizer.json").read_bytes())
    tokenizer["normalizer"]["lowercase"] = False
    sentences.write_json(directory, "tokenizer.json", tokenizer)
    sentences.change_json(directory, "tokenizer_config.json", do_lower_case=False)
    sentences.change_json(directory, "sentence_bert_config.json", do_lower_case=True)


def not_normalized(directory: Path) -> None:
    """A small model whose vectors keep their length."""
    sentences.write(directory)
    sentences.write_modules(directory, "1_Pooling")


def prompted(directory: Path) -> None:
    """A small model that puts a prompt before each text."""
    sentences.write(directory)
    config = {"prompts": {"query": "the search: "}, "default_prompt_name": "query"}
    sentences.write_json(directory, "config_sentence_transformers.json", config)


MINILM: Final = sentences.write_minilm
MODELS: Final[dict[str, Write]] = {
    "minilm": MINILM,
    "minilm-cls": partial(MINILM, pooling="cls"),
    "minilm-max": partial(MINILM, pooling="max"),
    "minilm-fp16": partial(MINILM, numbers="F16"),
    "minilm-dense": with_dense(MINILM, 384),
    "small": sentences.write,
    "bf16": partial(sentences.write, numbers="BF16"),
    "relu": changed("config.json", hidden_act="relu"),
    "dense-as-it-is": with_dense(
        sentences.write, 32, activation_function="torch.nn.modules.linear.Identity"
    ),
    "no-length": changed("sentence_bert_config.json", max_seq_length=None),
    "cased": cased,
    "not-normalized": not_normalized,
    "prompt": prompted,
}


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A release of each model."""
    root = tmp_path_factory.mktemp("models")
    for name, write in MODELS.items():
        write(root / name / layout.snapshot_directory(REF))
    return {name: root / name for name in MODELS}


@pytest.fixture(scope="module")
def theirs(releases: dict[str, Path]) -> dict[str, list[list[float]]]:
    """The vectors of sentence-transformers itself, by model, for the canary's texts."""
    if not LOADERS.exists():
        pytest.skip("sentence-transformers is not installed; run make test-slow")
    paths = [str(root / layout.snapshot_directory(REF)) for root in releases.values()]
    command = [
        str(LOADERS),
        str(LOADING),
        "vectors",
        json.dumps(paths),
        json.dumps(space.CANARY_TEXTS),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(zip(releases, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_the_same_vectors(
    name: str, releases: dict[str, Path], theirs: dict[str, list[list[float]]]
) -> None:
    """For every text of the canary, in direction and in length."""
    model = BertModel(REF, releases[name], CPU)
    for text, vector in zip(space.CANARY_TEXTS, theirs[name], strict=True):
        (ours,) = model.embed([text])
        assert space.cosine(ours, vector) >= 0.9999
        assert max(map(abs, ours)) == pytest.approx(max(map(abs, vector)), rel=0.01)


GROWTH: Final = """
import re, sys
from pathlib import Path
from agent.models.devices.device import CPU
from agent.models.runtimes.bert.model import BertModel
from agent.release import space
from agent.release.model_ref import ModelRef

def own():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = own()
model = BertModel(ModelRef(*sys.argv[2:]), Path(sys.argv[1]), CPU)
for text in space.CANARY_TEXTS:
    model.embed([text])
print((own() - before) // 1024)
"""


@pytest.mark.parametrize("name", ["minilm", "minilm-fp16"])
def test_it_takes_little_memory(name: str, releases: dict[str, Path]) -> None:
    """Weights of 87 MiB are mapped, and half ones are widened one after the other."""
    command = [sys.executable, "-c", GROWTH, str(releases[name]), *astuple(REF)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    print(f"{name}: {done.stdout} MiB")
    assert int(done.stdout) < 48


CATALOG: Final = f"""\
version = "v1"
[[model]]
name = "{models.MINILM}"
loader = "sentence-transformers"
"""


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """A pod whose catalog has one model of sentence-transformers."""
    made = Pod(tmp_path)
    made.share.catalog.write_text(CATALOG)
    return made


def publish(pod: Pod, version: str, write: Write) -> Result:
    """Publish a model out of a tree."""
    write(pod.root / "files" / version)
    tree = pod.root / "trees" / version
    folder = tree / "sentence_transformers"
    models.as_hub_cache(folder, models.MINILM, REVISION, pod.root / "files" / version)
    return pod.publish_tree(version, tree, timeout=120)


def shuffled(directory: Path) -> None:
    """The real MiniLM, with the rows of its words in another order."""
    MINILM(directory)
    weights = models.minilm_weights()
    words = "embeddings.word_embeddings.weight"
    random = np.random.default_rng(1)
    sentences.write_weights(directory, weights | {words: random.permutation(weights[words])})


def test_shuffled_weights_are_not_promoted(pod: Pod) -> None:
    """They are of another embedding space than those that are served: exit 9."""
    assert "was not run" not in publish(pod, "v1", MINILM).ok().stdout
    assert pod.run("promote", "v1").code == 0
    publish(pod, "v2", shuffled).ok()
    assert_failed(pod.run("promote", "v2"), 9, models.MINILM, "agrees with the old vectors only")
    assert pod.run("init", timeout=120).code == 0
    done = pod.run("warm")
    assert "cosine 1.000000, at least 0.999" in done.stdout


def test_what_cannot_be_run_is_said_loudly(pod: Pod) -> None:
    """By `publish` and `promote`, a line a model; on a GPU it proves nothing, and is exit 7."""
    strange = changed("config.json", hidden_act="silu")
    line = f"{models.MINILM} (sentence-transformers) was not run, so it has no canary: pods check"
    assert line in publish(pod, "v1", strange).ok().stdout
    assert line in pod.run("promote", "v1").stdout
    words = "No model of v1 ran on cuda", models.MINILM, "its hidden_act is silu"
    assert_failed(pod.run("init", "--device", "cuda"), 7, *words, "--device auto")
    assert pod.active() is None
    assert pod.run("init").code == 0
    assert_failed(pod.run("warm", "--device", "cuda"), 7, *words)
    tree = pod.root / "trees" / "v1"
    assert_failed(pod.publish_tree("v2", tree, "--device", "cuda"), 7, "No model of v2 ran on cuda")
    assert not pod.share.release("v2").exists()
