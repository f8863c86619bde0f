"""Adoption: which files of a hand-made tree make a release."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.release import layout
from agent.release.adoption import candidates
from agent.release.adoption.plan import plan
from agent.release.model_ref import ModelRef
from agent.release.tree import Node, NodeKind, Tree
from agent.release.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.release.adoption.plan import Plan

REVISION = "0123456789abcdef0123456789abcdef01234567"
OTHER = "fedcba9876543210fedcba9876543210fedcba98"
BGE_NAME = "BAAI/bge-large-en-v1.5"
MINILM_NAME = "sentence-transformers/all-MiniLM-L6-v2"
BGE = Wanted(ModelRef(BGE_NAME, "fastembed", "Qdrant/bge-large-en-v1.5-onnx"), "model.onnx")
NESTED = Wanted(
    ModelRef("BAAI/bge-small-en-v1.5", "fastembed", "Xenova/bge-small"), "onnx/model.onnx"
)
MINILM = Wanted(ModelRef(MINILM_NAME, "sentence-transformers", MINILM_NAME))

BGE_FILES = ["model.onnx", "tokenizer.json", "tokenizer_config.json"]
MINILM_FILES = [
    *("config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json"),
    "modules.json",
]
MODULES = json.dumps(
    [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
).encode()
FILES = {BGE: BGE_FILES, MINILM: MINILM_FILES}

BGE_CACHE = "models--Qdrant--bge-large-en-v1.5-onnx"
MINILM_CACHE = "models--sentence-transformers--all-MiniLM-L6-v2"


def tree(files: Iterable[str], refs: dict[str, str] | None = None, **kinds: NodeKind) -> Tree:
    """A tree of these files with the directories that they stand in.

    Args:
        files: Paths of plain files.
        refs: Text by path of each `refs/main`; they are files as well.
        kinds: Further nodes by kind: `directory="a"`.
    """
    paths = [*files, *(refs or {})]
    nodes = dict.fromkeys(paths, Node("file", 1))
    nodes |= {path: Node(kind) for path, kind in kinds.items()}
    for path in list(nodes):
        parts = path.split("/")
        for n in range(1, len(parts)):
            nodes.setdefault("/".join(parts[:n]), Node("directory"))
    texts = {path: MODULES for path in files if path.endswith("modules.json")}
    return Tree(nodes, texts | {path: text.encode() for path, text in (refs or {}).items()})


def under(directory: str, names: Iterable[str]) -> list[str]:
    """The names as paths below a directory."""
    return [f"{directory}/{name}" for name in names]


def snapshot(want: Wanted, revision: str) -> str:
    """Where a release has the files of a model."""
    return layout.snapshot_directory(replace(want.ref, revision=revision))


def check_whole(found: Plan, want: Wanted, directory: str, revision: str) -> None:
    """The plan takes every file of `directory`, and nothing else, as that revision of the model."""
    folder = snapshot(want, revision)
    assert found.problems == ()
    assert found.absent == ()
    assert found.files == {f"{folder}/{name}": f"{directory}/{name}" for name in FILES[want]}
    assert found.written == {layout.refs_main(want.ref): revision.encode()}
    assert found.models == (replace(want.ref, revision=revision),)


FLAT = [
    pytest.param(BGE, "fastembed/models--BAAI--bge-large-en-v1.5", id="fastembed-as-documented"),
    pytest.param(BGE, f"fastembed/{BGE_CACHE}", id="fastembed-by-repository"),
    pytest.param(BGE, "fastembed/fast-bge-large-en-v1.5", id="fastembed-old-archive"),
    pytest.param(BGE, "fastembed/BAAI/bge-large-en-v1.5", id="fastembed-by-name"),
    pytest.param(BGE, "fastembed/bge-large-en-v1.5", id="fastembed-by-base-name"),
    pytest.param(BGE, f"fastembed/{BGE_CACHE.lower()}", id="fastembed-in-lower-case"),
    pytest.param(BGE, "fastembed/BGE-Large-EN-v1.5", id="fastembed-in-another-case"),
    pytest.param(MINILM, f"sentence_transformers/{MINILM_CACHE}", id="minilm-by-repository"),
    pytest.param(MINILM, "sentence_transformers/all-MiniLM-L6-v2", id="minilm-by-base-name"),
    pytest.param(
        MINILM, "sentence_transformers/sentence-transformers_all-MiniLM-L6-v2", id="minilm-old"
    ),
    pytest.param(MINILM, f"sentence_transformers/{MINILM_NAME}", id="minilm-by-name"),
    pytest.param(MINILM, f"huggingface/hub/{MINILM_CACHE}", id="minilm-in-the-hub-cache"),
]


@pytest.mark.parametrize(("want", "directory"), FLAT)
def test_a_flat_tree_is_taken_as_operators_left_it(want: Wanted, directory: str) -> None:
    """Every folder name that documentation or an older loader gave is found."""
    found = plan(tree(under(directory, FILES[want])), [want])
    check_whole(found, want, directory, layout.UNKNOWN_REVISION)


@pytest.mark.parametrize(("want", "directory"), FLAT)
def test_a_tree_is_found_under_its_suffix(want: Wanted, directory: str) -> None:
    """`fastembed-v2/` holds the release v2, and the tree beside it is another one."""
    top, _, rest = directory.partition("/")
    second = f"{top}-v2/{rest}"
    both = tree(under(directory, FILES[want]) + under(second, FILES[want]))
    check_whole(plan(both, [want], suffix="-v2"), want, second, layout.UNKNOWN_REVISION)
    check_whole(plan(both, [want]), want, directory, layout.UNKNOWN_REVISION)
    assert plan(both, [want], suffix="-v3").absent == (want,)


CACHES = [
    pytest.param(BGE, f"fastembed/{BGE_CACHE}", id="fastembed"),
    pytest.param(BGE, f"fastembed/{BGE_CACHE.lower()}", id="fastembed-lower-case"),
    pytest.param(MINILM, f"sentence_transformers/{MINILM_CACHE}", id="sentence-transformers"),
    pytest.param(MINILM, f"huggingface/hub/{MINILM_CACHE}", id="hub"),
]


@pytest.mark.parametrize(("want", "folder"), CACHES)
@pytest.mark.parametrize("ref", [REVISION, f" {REVISION}\n"], ids=["ref", "ref-with-blanks"])
def test_a_hub_cache_gives_the_snapshot_that_it_names(want: Wanted, folder: str, ref: str) -> None:
    """Of several snapshots the one of `refs/main` is taken, with its revision."""
    files = under(f"{folder}/snapshots/{REVISION}", FILES[want])
    files += under(f"{folder}/snapshots/{OTHER}", FILES[want])
    files += under(f"{folder}/blobs", ["0123", "4567"])
    found = plan(tree(files, {f"{folder}/refs/main": ref}), [want])
    check_whole(found, want, f"{folder}/snapshots/{REVISION}", REVISION)


@pytest.mark.parametrize(("want", "folder"), CACHES)
@pytest.mark.parametrize("refs", [None, OTHER], ids=["no-ref", "ref-to-nothing"])
def test_the_only_snapshot_needs_no_name(want: Wanted, folder: str, refs: str | None) -> None:
    """Where `refs/main` was lost and there is one snapshot, that is the one."""
    files = under(f"{folder}/snapshots/{REVISION}", FILES[want])
    named = {f"{folder}/refs/main": refs} if refs else None
    check_whole(plan(tree(files, named), [want]), want, f"{folder}/snapshots/{REVISION}", REVISION)


@pytest.mark.parametrize(
    "name", ["main", REVISION[:39], REVISION[:39] + "X", REVISION.upper(), REVISION + "0"]
)
def test_a_snapshot_of_no_revision_is_of_an_unknown_one(name: str) -> None:
    """What is not 40 hex digits is not taken for a commit."""
    directory = f"fastembed/{BGE_CACHE}/snapshots/{name}"
    found = plan(tree(under(directory, BGE_FILES)), [BGE])
    check_whole(found, BGE, directory, layout.UNKNOWN_REVISION)


@pytest.mark.parametrize(("want", "folder"), CACHES)
def test_what_holds_no_files_is_no_snapshot(want: Wanted, folder: str) -> None:
    """Neither a stray file among the snapshots nor an emptied one hides the only whole one."""
    files = under(f"{folder}/snapshots/{REVISION}", FILES[want])
    kinds: dict[str, NodeKind] = {f"{folder}/snapshots/{OTHER}/1_Pooling": "directory"}
    found = plan(tree([*files, f"{folder}/snapshots/.DS_Store"], None, **kinds), [want])
    check_whole(found, want, f"{folder}/snapshots/{REVISION}", REVISION)


def test_fastembed_does_not_look_into_the_hub_s_cache() -> None:
    """What its worker would not find is not taken for its model."""
    files = under(f"huggingface/hub/{BGE_CACHE}", BGE_FILES)
    assert plan(tree(files), [BGE]).absent == (BGE,)


def test_the_first_whole_tree_is_taken() -> None:
    """A broken copy does not hide a whole one beside it."""
    broken, whole = f"fastembed/{BGE_CACHE}", "fastembed/bge-large-en-v1.5"
    files = under(broken, ["model.onnx"]) + under(whole, BGE_FILES)
    check_whole(plan(tree(files), [BGE]), BGE, whole, layout.UNKNOWN_REVISION)


def test_the_first_broken_tree_is_told_of() -> None:
    """Where none is whole, the one in the best place is what the operator should complete."""
    files = under("fastembed/bge-large-en-v1.5", ["tokenizer.json"])
    files += under(f"fastembed/{BGE_CACHE}", ["model.onnx"])
    (problem,) = plan(tree(files), [BGE]).problems
    assert problem.startswith(f"fastembed/{BGE_CACHE}/tokenizer.json is missing")
    assert "Qdrant/bge-large-en-v1.5-onnx on the Hub" in problem


@pytest.mark.parametrize(
    ("want", "name"),
    [(want, name) for want, names in FILES.items() for name in names if "/" not in name],
    ids=lambda each: each if isinstance(each, str) else each.ref.loader,
)
@pytest.mark.parametrize("kind", ["missing", "dangling", "outside", "special", "directory"])
def test_a_file_that_is_needed_and_not_there_is_named(want: Wanted, name: str, kind: str) -> None:
    """The sentence names the file; for a lost link it says how to copy with links resolved."""
    root = layout.FASTEMBED if want is BGE else layout.SENTENCE_TRANSFORMERS
    directory = f"{root}/{want.ref.name}"
    files = under(directory, [each for each in FILES[want] if each != name])
    kinds: dict[str, NodeKind] = {}
    if kind in {"dangling", "outside", "special", "directory"}:
        kinds[f"{directory}/{name}"] = kind  # type: ignore[assignment]
    found = plan(tree(files, None, **kinds), [want])
    (problem,) = found.problems
    assert f"{directory}/{name} is " in problem
    assert ("is a link" in problem and "cp -rL" in problem) == (kind in {"dangling", "outside"})
    assert (found.files, found.written, found.models) == ({}, {}, ())


def test_an_emptied_cache_says_how_to_copy_it() -> None:
    """AzCopy leaves out the links that a Hub cache is made of: its snapshots arrive empty."""
    folder = f"fastembed/{BGE_CACHE}"
    kinds: dict[str, NodeKind] = {f"{folder}/snapshots": "directory"}
    blobs = under(f"{folder}/blobs", ["0123", "4567"])
    (problem,) = plan(tree(blobs, {f"{folder}/refs/main": REVISION}, **kinds), [BGE]).problems
    assert problem.startswith(f"{folder}/snapshots holds no files (AzCopy leaves links out): copy")


def test_several_snapshots_without_a_name_are_not_guessed_at() -> None:
    """Which of two is served is the operator's to say."""
    folder = f"fastembed/{BGE_CACHE}"
    files = [f for r in (REVISION, OTHER) for f in under(f"{folder}/snapshots/{r}", BGE_FILES)]
    (problem,) = plan(tree(files), [BGE]).problems
    assert f"{folder}/refs/main" in problem
    assert "several snapshots" in problem


@pytest.mark.parametrize(
    "name",
    [
        ".gitattributes",
        ".cache/huggingface/x.json",
        "1_Pooling/.DS_Store",
        "README.md",
        "model.onnx.lock",
        "0123.incomplete",
        "tf_model.h5",
        "rust_model.ot",
        "flax_model.msgpack",
        "model.gguf",
        "pytorch_model.bin",
        "openvino/model.xml",
    ],
)
@pytest.mark.parametrize("want", FILES, ids=lambda want: want.ref.loader)
def test_what_the_loader_does_not_read_is_left_out(want: Wanted, name: str) -> None:
    """Locks, readmes, other frameworks' weights, and pickles beside better weights stay behind."""
    root = layout.FASTEMBED if want is BGE else layout.SENTENCE_TRANSFORMERS
    directory = f"{root}/{want.ref.name}"
    found = plan(tree(under(directory, [*FILES[want], name])), [want])
    check_whole(found, want, directory, layout.UNKNOWN_REVISION)


def test_fastembeds_own_list_is_left_out() -> None:
    """It lists the sizes of other bytes."""
    directory = f"fastembed/{BGE_CACHE}"
    found = plan(tree(under(directory, [*BGE_FILES, "files_metadata.json"])), [BGE])
    check_whole(found, BGE, directory, layout.UNKNOWN_REVISION)


def names_taken(found: Plan) -> set[str]:
    """The files of the only model, by their names in its snapshot."""
    (ref,) = found.models
    folder = layout.snapshot_directory(ref) + "/"
    return {path.removeprefix(folder) for path in found.files}


def test_a_pickle_is_taken_where_it_is_all_there_is() -> None:
    """It is what that worker loads today."""
    names = [
        "config.json",
        "pytorch_model.bin",
        "vocab.txt",
        "1_Pooling/config.json",
        "modules.json",
    ]
    directory = "sentence_transformers/all-MiniLM-L6-v2"
    assert names_taken(plan(tree(under(directory, names)), [MINILM])) == set(names)


@pytest.mark.parametrize(
    "tokenizer", ["tokenizer.json", "vocab.txt", "sentencepiece.bpe.model", "spiece.model"]
)
def test_any_tokenizer_makes_a_model_whole(tokenizer: str) -> None:
    """sentence-transformers reads tokenizers of several kinds."""
    names = [*(name for name in MINILM_FILES if name != "tokenizer.json"), tokenizer]
    directory = "sentence_transformers/all-MiniLM-L6-v2"
    assert names_taken(plan(tree(under(directory, names)), [MINILM])) == set(names)


def test_sentence_transformers_weights_for_other_runtimes_are_left_out() -> None:
    """The Hub's repository has ten times the bytes that this loader reads."""
    extra = ["onnx/model.onnx", "openvino/openvino_model.bin", "onnx/model_O1.onnx"]
    directory = "sentence_transformers/all-MiniLM-L6-v2"
    found = plan(tree(under(directory, [*MINILM_FILES, *extra])), [MINILM])
    assert names_taken(found) == set(MINILM_FILES)


def test_what_stands_beside_fastembeds_graph_is_the_graphs_to_name() -> None:
    """External data beside `onnx/model.onnx` may be taken; other folders are not read."""
    beside = ["onnx/model.onnx", "onnx/model.onnx_data", "tokenizer.json", "tokenizer_config.json"]
    other = ["1_Pooling/config.json", "onnx/deeper/x.json", "openvino/x.xml"]
    directory = "fastembed/bge-small-en-v1.5"
    found = plan(tree(under(directory, [*beside, *other])), [NESTED])
    assert names_taken(found) == set(beside) - {"onnx/model.onnx_data"}
    home = snapshot(NESTED, layout.UNKNOWN_REVISION)
    assert found.beside == {f"{home}/onnx/model.onnx": [f"{home}/onnx/model.onnx_data"]}
    assert found.origin(f"{home}/onnx/model.onnx_data") == f"{directory}/onnx/model.onnx_data"
    assert found.origin("fastembed/models--a--b/model.onnx") is None


def test_each_model_is_found_or_missing_on_its_own() -> None:
    """One model whole, one broken, one absent: all three are said."""
    files = under(f"fastembed/{BGE_CACHE}", BGE_FILES)
    files += under("sentence_transformers/all-MiniLM-L6-v2", ["config.json", "modules.json"])
    found = plan(tree(files), [BGE, MINILM, NESTED])
    assert [ref.name for ref in found.models] == [BGE_NAME]
    assert list(found.absent) == [NESTED]
    (problem,) = found.problems
    assert "all-MiniLM-L6-v2/model.safetensors is missing" in problem


def test_nothing_makes_no_release() -> None:
    """An empty tree has no models, and every wanted one is absent."""
    found = plan(Tree({}), [BGE, MINILM])
    assert found.models == ()
    assert found.absent == (BGE, MINILM)


KINDS: st.SearchStrategy[NodeKind] = st.sampled_from(
    ["file", "directory", "linked directory", "dangling", "outside", "unreadable", "special"]
)
DIRECTORIES = [
    *(f"fastembed/{BGE_CACHE}{tail}" for tail in ("", "/snapshots", f"/snapshots/{REVISION}")),
    f"fastembed/{BGE_CACHE.lower()}/snapshots/{OTHER}",
    "fastembed/BAAI/bge-large-en-v1.5",
    *(f"huggingface/hub/{MINILM_CACHE}/snapshots/{name}" for name in (REVISION, "main")),
    "sentence_transformers/all-MiniLM-L6-v2",
]
PATHS = st.builds(
    "{}/{}".format,
    st.sampled_from(DIRECTORIES),
    st.sampled_from([*BGE_FILES, *MINILM_FILES, "pytorch_model.bin", "refs/main", "README.md"]),
)


@given(
    st.dictionaries(PATHS, KINDS, max_size=12),
    st.dictionaries(
        st.sampled_from([f"{directory}/refs/main" for directory in DIRECTORIES]),
        st.sampled_from([REVISION, OTHER, "main", "", "../../x"]),
    ),
)
@settings(max_examples=150)
def test_any_tree_gives_a_plan_of_files_that_are_there(
    kinds: dict[str, NodeKind], refs: dict[str, str]
) -> None:
    """Whatever lies there, each model is whole, broken or absent, and only files are read."""
    nodes = tree([], None, **kinds).nodes
    texts = {path: text.encode() for path, text in refs.items()}
    found = plan(Tree(nodes, texts), [BGE, MINILM])
    told = len(found.problems) + len(found.absent) + len(found.unreadable)
    assert len(found.models) + told == 2
    assert all(nodes[path].kind == "file" for path in found.files.values())
    for ref in found.models:
        folder = layout.snapshot_directory(ref) + "/"
        taken = {path.removeprefix(folder) for path in found.files if path.startswith(folder)}
        if ref.name == BGE_NAME:
            assert set(BGE_FILES) <= taken
        else:
            assert {"config.json", "tokenizer.json"} <= taken
            assert any(name.endswith((".safetensors", ".bin")) for name in taken)
        assert found.written[layout.refs_main(ref)].decode() == ref.revision
    assert len(found.written) == len(found.models)


def several(*refs: str) -> dict[str, str]:
    """Texts of `refs/main` in the cache of BGE: none, or one."""
    return {f"fastembed/{BGE_CACHE}/refs/main": text for text in refs}


def two_snapshots(refs: dict[str, str], **kinds: NodeKind) -> Tree:
    """A cache of BGE with two whole snapshots."""
    folder = f"fastembed/{BGE_CACHE}/snapshots"
    files = [f for r in (REVISION, OTHER) for f in under(f"{folder}/{r}", BGE_FILES)]
    return tree(files, refs, **kinds)


def test_the_operators_revision_is_taken() -> None:
    """A catalog of the operator's says which snapshot is meant, whatever `refs/main` says."""
    pinned = replace(BGE, ref=replace(BGE.ref, revision=OTHER))
    for refs in (several(), several(REVISION), several("main")):
        (model,) = plan(two_snapshots(refs), [pinned], pinned=True).models
        assert model.revision == OTHER
    (model,) = plan(two_snapshots(several(REVISION)), [pinned]).models
    assert model.revision == REVISION, "the built-in catalog's says nothing of a tree"


@pytest.mark.parametrize(
    ("refs", "kinds", "said"),
    [
        (several(), {}, "is missing, and there are several snapshots"),
        (several("a" * 40), {}, f"names {'a' * 40}, which is not among the snapshots"),
        (several(), {f"fastembed/{BGE_CACHE}/refs/main": "file"}, "cannot be read, and there are"),
    ],
    ids=["missing", "absent", "unreadable"],
)
def test_what_is_wrong_with_the_name_of_a_snapshot(
    refs: dict[str, str], kinds: dict[str, NodeKind], said: str
) -> None:
    """The sentence says what keeps `refs/main` from naming one, and which there are."""
    (problem,) = plan(two_snapshots(refs, **kinds), [BGE]).problems
    assert f"fastembed/{BGE_CACHE}/refs/main {said}" in problem
    assert f"({REVISION}, {OTHER}): write the name of the right one to it" in problem


def test_the_small_files_that_a_plan_asks_for() -> None:
    """`refs/main`, and what says which files are read, of the wanted models alone."""
    folder = f"sentence_transformers/{MINILM_CACHE}"
    asked = [f"{folder}/refs/main", f"{folder}/snapshots/{REVISION}/modules.json"]
    others = ["sentence_transformers/other/modules.json", f"{folder}/snapshots/{REVISION}/a.json"]
    found = candidates.asks(tree([*asked, *others, f"fastembed/{BGE_CACHE}/x"]), [MINILM, BGE])
    assert sorted(found) == sorted(asked)


LINKED: list[tuple[Node, str]] = [
    (Node("linked directory"), "is a link to a directory, which is not followed"),
    (Node("file", 1067), "is a file, as a link looks without the mount option mfsymlinks"),
    (Node("dangling"), "is a link that leads nowhere here"),
    (Node("outside"), "is a link that leads nowhere here"),
]


@pytest.mark.parametrize(("node", "said"), LINKED, ids=lambda each: getattr(each, "kind", ""))
def test_links_in_the_place_of_directories(node: Node, said: str) -> None:
    """They are called what they are, with the way to copy them; never a missing model."""
    model, pooling = f"fastembed/{BGE_CACHE}", "sentence_transformers/all-MiniLM-L6-v2/1_Pooling"
    files = under(pooling.rpartition("/")[0], MINILM_FILES)
    whole = tree([each for each in files if not each.startswith(pooling)])
    nodes = {**whole.nodes, model: node, "fastembed": Node("directory"), pooling: node}
    problems = plan(Tree(nodes, whole.texts), [BGE, MINILM]).problems
    assert [problem.partition(" ")[0] for problem in problems] == [model, pooling]
    assert all(said in problem and "cp -rL" in problem for problem in problems)


def test_a_file_in_the_place_of_a_directory() -> None:
    """It is called what it is."""
    (problem,) = plan(tree([f"fastembed/{BGE_CACHE}"]), [BGE]).problems
    assert problem == f"fastembed/{BGE_CACHE} is not a directory"


def test_what_may_not_be_read_is_named_where_it_is_wanted() -> None:
    """A root, a model's directory, a directory in it, a file: each is named if it is needed."""
    home = "sentence_transformers/all-MiniLM-L6-v2"
    whole = tree(under(home, MINILM_FILES))
    for name in ("1_Pooling", "config.json"):
        nodes = {
            path: n for path, n in whole.nodes.items() if not path.startswith(f"{home}/{name}")
        }
        nodes[f"{home}/{name}"] = Node("unreadable")
        assert plan(Tree(nodes, whole.texts), [MINILM]).unreadable == (f"{home}/{name}",)
    for closed in (home, "sentence_transformers"):
        found = plan(Tree({closed: Node("unreadable")}), [MINILM, BGE])
        assert (found.unreadable, found.absent) == ((closed,), (BGE,))


def test_what_may_not_be_read_and_is_not_wanted() -> None:
    """`lost+found`, a trash, another team's model: they are passed over."""
    whole = tree(under(f"fastembed/{BGE_CACHE}", BGE_FILES))
    closed = ["fastembed/lost+found", "fastembed/other", f"fastembed/{BGE_CACHE}/.Trash-0"]
    nodes = {**whole.nodes, **dict.fromkeys(closed, Node("unreadable"))}
    check_whole(plan(Tree(nodes), [BGE]), BGE, f"fastembed/{BGE_CACHE}", layout.UNKNOWN_REVISION)


def test_strays_are_told() -> None:
    """What no loader reads is named, but for what lies in every repository."""
    directory = f"fastembed/{BGE_CACHE}"
    usual = [".gitattributes", "README.md", "files_metadata.json"]
    files = under(directory, [*BGE_FILES, *usual, "model.zip", "model_fp16.onnx"])
    found = plan(tree(files), [BGE])
    assert found.strays == (f"{directory}/model.zip", f"{directory}/model_fp16.onnx")


SMALL = Wanted(ModelRef("a/m", "fastembed", "q/m"), "model.onnx")
QUICK = Wanted(ModelRef("a/m-Q", "fastembed", "q/m"), "model_q.onnx")


def test_two_models_of_one_repository() -> None:
    """They may share a directory. From two their files would be mixed, so that is refused."""
    files = [*BGE_FILES, "model_q.onnx"]
    together = plan(tree(under("fastembed/models--q--m", files)), [SMALL, QUICK])
    assert [ref.name for ref in together.models] == ["a/m", "a/m-Q"]
    assert together.strays == ()
    apart = tree([*under("fastembed/m", BGE_FILES), *under("fastembed/m-Q", [*files[1:]])])
    (problem,) = plan(apart, [SMALL, QUICK]).problems
    assert "a/m and a/m-Q are of one repository, q/m, and lie in fastembed/m and" in problem


def test_a_snapshot_that_is_a_link() -> None:
    """It is called a link, not an emptied cache."""
    path = f"fastembed/{BGE_CACHE}/snapshots/{REVISION}"
    nodes = {**tree([f"fastembed/{BGE_CACHE}/x"]).nodes, path: Node("linked directory")}
    nodes[f"fastembed/{BGE_CACHE}/snapshots"] = Node("directory")
    (problem,) = plan(Tree(nodes), [BGE]).problems
    assert problem.startswith(f"{path} is a link to a directory, which is not followed")


def test_the_name_of_a_snapshot_is_a_link() -> None:
    """What a mount shows as a file is no name."""
    (problem,) = plan(two_snapshots(several("XSym\n0004\n0123")), [BGE]).problems
    assert "refs/main is a link, as it looks without the mount option mfsymlinks" in problem


def test_what_a_catalog_allows_and_the_tree_lacks() -> None:
    """It is a pattern, and not a file that the Hub would have; what is left out is no stray."""
    some = Wanted(ModelRef("a/b", "huggingface", "a/b"), allow=("*.onnx", "*.npy"))
    folder = "huggingface/hub/models--a--b"
    (problem,) = plan(tree(under(folder, ["model.onnx", "config.json"])), [some]).problems
    assert problem == f"{folder} holds nothing for '*.npy', which the catalog allows"
    assert plan(tree(under(folder, ["m.onnx", "a.npy", "config.json"])), [some]).strays == ()
