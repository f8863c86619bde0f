"""Trees as people upload them: the doctor and `init` never disagree on one.

Each is a good tree of a FastEmbed model and a sentence-transformers model, changed in one way.
"""

from __future__ import annotations

import codecs
import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from agent.doctor import examination
from agent.doctor.judge import findings
from agent.doctor.judge.variables import DIRECTORIES
from agent.errors import AgentError
from agent.models.contents import Contents
from agent.sync import init
from tests.support import models, sentences
from tests.support.pods import Pod
from tests.support.shares import REVISION, in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.release.wanted import Wanted

    Change = Callable[[Path], None]

MIB: Final = 1024 * 1024
FE: Final = "fastembed/models--Qdrant--bge-large-en-v1.5-onnx"
SNAPSHOT: Final = f"{FE}/snapshots/{REVISION}"
ST: Final = "sentence_transformers/all-MiniLM-L6-v2"
OTHER: Final = "f" * 40
INDEX: Final = "model.safetensors.index.json"
WORDS: Final = "embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class Case:
    """One tree.

    Attributes:
        change: What was done to a good one.
        code: The exit code of the doctor and of `init`.
        named: What the sentence of both names.
    """

    change: Change
    code: int = 0
    named: str = ""


def each(*changes: Change) -> Change:
    """Make several changes, one after the other."""

    def change(root: Path) -> None:
        for one in changes:
            one(root)

    return change


def data(path: str, content: bytes) -> Change:
    """Have a file hold these bytes."""

    def change(root: Path) -> None:
        (root / path).write_bytes(content)

    return change


def gone(path: str) -> Change:
    """Have neither the file nor the directory."""

    def change(root: Path) -> None:
        at = root / path
        shutil.rmtree(at) if at.is_dir() else at.unlink()

    return change


def before(path: str, prefix: bytes) -> Change:
    """Have a file begin with bytes that are not its own."""

    def change(root: Path) -> None:
        (root / path).write_bytes(prefix + (root / path).read_bytes())

    return change


def cut(path: str) -> Change:
    """Have a file end early."""
    return lambda root: os.truncate(root / path, (root / path).stat().st_size // 2)


def moved(path: str, new: str) -> Change:
    """Have something in another place."""

    def change(root: Path) -> None:
        (root / path).rename(root / new)

    return change


def linked(path: str, target: str) -> Change:
    """Have a link in the place of what was there, which is moved to `target` beside it."""

    def change(root: Path) -> None:
        at = root / path
        at.rename(at.with_name(target))
        at.symlink_to(target)

    return change


def unresolved(path: str) -> Change:
    """Have a link as a mount without mfsymlinks shows it."""
    return data(path, b"XSym\n0004\n0123456789abcdef0123456789abcdef\nblob\n".ljust(1067))


def with_hole(root: Path) -> None:
    """Have weights of which an upload lost a range."""
    sentences.write_weights(root / ST, {"a": models.minilm_weights()[WORDS][:8000]})
    with (root / ST / "model.safetensors").open("r+b") as file:
        file.seek(4 * MIB)
        file.write(bytes(4 * MIB))


def sharded(*, index: bool = True, all_shards: bool = True) -> Change:
    """Have the weights in two files, without one of them or without their list if so wanted."""

    def change(root: Path) -> None:
        path = root / ST / "model.safetensors"
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + length])
        names, body = sorted(header), raw[8 + length :]
        listed: dict[str, str] = {}
        for number, part in enumerate((names[::2], names[1::2]), 1):
            name = f"model-{number:05d}-of-00002.safetensors"
            listed |= dict.fromkeys(part, name)
            if number == 1 or all_shards:
                (root / ST / name).write_bytes(_safetensors(header, part, body))
        path.unlink()
        if index:
            sentences.write_json(root / ST, INDEX, {"weight_map": listed})

    return change


def _safetensors(header: dict[str, dict[str, Any]], names: list[str], body: bytes) -> bytes:
    made, pieces, at = {}, [], 0
    for name in names:
        begin, end = header[name]["data_offsets"]
        pieces.append(body[begin:end])
        made[name] = {**header[name], "data_offsets": [at, at + end - begin]}
        at += end - begin
    text = json.dumps(made).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(pieces)


def another_snapshot(refs: str | None) -> Change:
    """Have a second snapshot, and a `refs/main` of this text or none."""

    def change(root: Path) -> None:
        shutil.copytree(root / SNAPSHOT, root / FE / "snapshots" / OTHER)
        (root / FE / "refs/main").unlink()
        if refs is not None:
            (root / FE / "refs/main").write_text(refs)

    return change


def dense(*, pickle: bool = False, missing: bool = False) -> Change:
    """Have a module with weights of its own."""

    def change(root: Path) -> None:
        sentences.add_dense(root / ST, 32, 16)
        weights = root / ST / "2_Dense/model.safetensors"
        if pickle or missing:
            weights.unlink()
        if pickle:
            weights.with_name("pytorch_model.bin").write_bytes(b"PK\x03\x04" + b"x" * 5000)

    return change


def windows(root: Path) -> None:
    """Have line ends of Windows in a file of JSON."""
    path = root / ST / "modules.json"
    path.write_bytes(path.read_bytes().replace(b", ", b",\r\n"))


def linked_to_nowhere(root: Path) -> None:
    """Have a link whose target was not copied."""
    (root / SNAPSHOT / "model.onnx").unlink()
    (root / SNAPSHOT / "model.onnx").symlink_to("../../blobs/1")


def emptied(root: Path) -> None:
    """Have a snapshot as AzCopy leaves it."""
    shutil.rmtree(root / SNAPSHOT)
    (root / SNAPSHOT).mkdir()


def without_its_data(root: Path) -> None:
    """Have a graph whose weights, in a file of their own, were not copied."""
    models.write_tiny(root / SNAPSHOT, weights="external")
    (root / SNAPSHOT / "model.onnx.data").unlink()


BOM: Final = codecs.BOM_UTF8
STRAYS: Final = ("model.onnx.1a2b.partial", "model.zip", "config - Copy.json", "b.onnx")
ST_STRAYS: Final = ("model.safetensors.partial", "a.zip", "modules (1).json", "training.bin")
GOOD: Final = {
    "as it is": Case(each()),
    "strays": Case(each(*(data(f"{SNAPSHOT}/{name}", BOM + b"{") for name in STRAYS))),
    "strays beside safetensors": Case(each(*(data(f"{ST}/{name}", b"{") for name in ST_STRAYS))),
    "shards": Case(sharded()),
    "a pickle that a module needs": Case(dense(pickle=True)),
    "a module with weights": Case(dense()),
    "a link to a file": Case(linked(f"{SNAPSHOT}/model.onnx", "blob")),
    "a second snapshot": Case(another_snapshot(REVISION)),
    "in another case": Case(moved(FE, FE.lower())),
    "line ends of Windows": Case(windows),
}
BAD: Final = {
    **{
        f"without {path.rpartition('/')[2]}": Case(gone(path), 4, path)
        for path in (f"{SNAPSHOT}/model.onnx", f"{SNAPSHOT}/tokenizer.json", f"{ST}/config.json")
    },
    "without a config of FastEmbed's tokenizer": Case(
        gone(f"{SNAPSHOT}/tokenizer_config.json"), 4, "tokenizer_config.json"
    ),
    "without modules.json": Case(gone(f"{ST}/modules.json"), 4, f"{ST}/modules.json"),
    "without its pooling": Case(gone(f"{ST}/1_Pooling"), 4, f"{ST}/1_Pooling/config.json"),
    "without a module's weights": Case(dense(missing=True), 4, f"{ST}/2_Dense/model.safetensors"),
    "without a shard": Case(sharded(all_shards=False), 4, "model-00002-of-00002.safetensors"),
    "without the list of shards": Case(sharded(index=False), 4, INDEX),
    "a cut graph": Case(cut(f"{SNAPSHOT}/model.onnx"), 5, f"{SNAPSHOT}/model.onnx"),
    "cut weights": Case(cut(f"{ST}/model.safetensors"), 5, f"{ST}/model.safetensors"),
    "a hole": Case(with_hole, 5, f"{ST}/model.safetensors"),
    "a pointer": Case(
        data(f"{SNAPSHOT}/model.onnx", b"version https://git-lfs.github.com/spec/v1\n"), 5, "LFS"
    ),
    "a mark in FastEmbed's config": Case(before(f"{SNAPSHOT}/config.json", BOM), 5, "without BOM"),
    **{
        f"a mark in {name}": Case(before(f"{ST}/{name}", BOM), 5, f"{ST}/{name}")
        for name in ("config.json", "modules.json", "1_Pooling/config.json", "tokenizer.json")
    },
    "UTF-16": Case(data(f"{ST}/modules.json", "[]".encode("utf-16")), 5, "without BOM"),
    "no list of modules": Case(data(f"{ST}/modules.json", b"{}"), 5, f"{ST}/modules.json"),
    "no list of shards": Case(each(sharded(), data(f"{ST}/{INDEX}", b"{}")), 5, INDEX),
    "links that are files": Case(unresolved(f"{SNAPSHOT}/model.onnx"), 5, "is a link"),
    "a link that is a file, for a directory": Case(
        each(gone(FE), unresolved(FE)), 4, "without the mount option"
    ),
    "a link to a directory": Case(linked(FE, "real"), 4, "is a link to a directory"),
    "a link to nowhere": Case(linked_to_nowhere, 4, "leads nowhere"),
    "two snapshots": Case(another_snapshot(None), 4, f"{FE}/refs/main is missing"),
    "two snapshots, and another name": Case(another_snapshot("main"), 4, "names main"),
    "emptied snapshots": Case(emptied, 4, "holds no files"),
    "its weights are elsewhere": Case(without_its_data, 5, "model.onnx.data"),
}


@pytest.fixture(scope="module")
def wanted() -> tuple[Wanted, ...]:
    """What the built-in catalog means in files; FastEmbed is asked once."""
    return Contents().wanted


@pytest.fixture(scope="module")
def good(tiny_dir: Path) -> Iterator[Path]:
    """The good tree."""
    with in_memory() as root:
        models.as_hub_cache(root / "fastembed", models.BGE_LARGE_REPO, REVISION, tiny_dir)
        sentences.write(root / ST)
        yield root


@pytest.fixture
def pod(good: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    """A pod whose share has the good tree, to be changed."""
    for name in (*DIRECTORIES, "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    with in_memory() as root:
        made = Pod(root, env={"MODEL_AGENT_CATALOG": "", "MODEL_AGENT_POPULATE": "never"})
        shutil.copytree(good, made.share.root, dirs_exist_ok=True)
        yield made


def examined(pod: Pod, wanted: tuple[Wanted, ...]) -> tuple[int, str]:
    """Run the doctor; return its exit code, and the sentence of its failure."""
    context = pod.context(reload_method="none")
    vars(context.contents)["wanted"] = wanted
    error = findings.first_failure(examination.examine(context))
    return (error.exit_code, str(error)) if error else (0, "")


def began(pod: Pod, wanted: tuple[Wanted, ...]) -> tuple[int, str]:
    """Run `init` on the empty store; return its exit code, and the sentence of its failure."""
    context = pod.context()
    vars(context.contents)["wanted"] = wanted
    try:
        init.run(context)
    except AgentError as error:
        return error.exit_code, str(error)
    return 0, ""


ALL: Final = [
    *(pytest.param(case, id=name, marks=pytest.mark.slow) for name, case in GOOD.items()),
    *(pytest.param(case, id=name) for name, case in BAD.items()),
]


@pytest.mark.parametrize("case", ALL)
def test_the_doctor_and_init_never_disagree(
    case: Case, pod: Pod, wanted: tuple[Wanted, ...]
) -> None:
    """Both take a tree, or both refuse it with the same exit code, and name the same file."""
    case.change(pod.share.root)
    for code, said in (examined(pod, wanted), began(pod, wanted)):
        assert (code, case.named in said) == (case.code, True), said


CLOSED: Final = {
    "lost+found, a trash, another model": (
        0,
        ("lost+found", "fastembed/lost+found", f"{SNAPSHOT}/.Trash-0", "fastembed/models--a--b"),
    ),
    "a model": (3, (FE,)),
    "the weights": (3, (f"{SNAPSHOT}/model.onnx",)),
    "a root": (3, ("fastembed",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLOSED)
def test_what_may_not_be_read(name: str, pod: Pod) -> None:
    """What is wanted and closed to this user is named by both; all else is passed over."""
    code, paths = CLOSED[name]
    for path in paths:
        at = pod.share.root / path
        if not at.exists():
            at.mkdir()
        os.chown(at, 65534, 65534)
        at.chmod(0o700)
    # Root may read it all, unless it gives that up.
    pod.prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
    for command in (("doctor", "--reload-method", "none"), ("init",)):
        done = pod.run(*command)
        assert done.code == code, (command, done.sentence)
        assert not code or paths[0] in done.sentence
