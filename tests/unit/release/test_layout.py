"""Where each loader looks for a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.release import layout, manifest, paths
from agent.release.model_ref import ModelRef
from tests.support import strategies

if TYPE_CHECKING:
    from agent.release.manifest import Manifest
    from tests.support.strategies import Json

REVISION = "0123456789abcdef0123456789abcdef01234567"
HEX = "0" * 64


def release(models: list[Json], files: list[str]) -> Manifest:
    """A release with these models (loader and repo) and files."""
    document = {
        "schema": 1,
        "version": "v1",
        "created": "",
        "generator": "",
        "chunk_size": 1,
        "files": [{"path": path, "size": 0, "sha256": HEX, "chunks": []} for path in files],
        "models": [
            {"name": f"n/{n}", "revision": REVISION, "dim": 1, "max_length": 1} | model
            for n, model in enumerate(models)
        ],
    }
    return manifest.parse(json.dumps(document).encode())


FASTEMBED = {"loader": "fastembed", "repo": "Qdrant/bge"}
SENTENCE = {"loader": "sentence-transformers", "repo": "BAAI/bge"}
HUGGINGFACE = {"loader": "huggingface", "repo": "BAAI/bge"}


@pytest.mark.parametrize(
    ("loader", "directory"),
    [
        ("fastembed", "fastembed/models--Org--name-v1.5"),
        ("sentence-transformers", "sentence_transformers/models--Org--name-v1.5"),
        ("huggingface", "huggingface/hub/models--Org--name-v1.5"),
        ("a-loader-to-come", "huggingface/hub/models--Org--name-v1.5"),
    ],
)
def test_each_loader_has_its_hub_cache(loader: str, directory: str) -> None:
    """A model stands where its loader's Hub cache has it."""
    ref = ModelRef("Org/name", loader, "Org/name-v1.5", REVISION)
    assert layout.repo_directory(ref) == directory
    assert layout.snapshot_directory(ref) == f"{directory}/snapshots/{REVISION}"
    assert layout.refs_main(ref) == f"{directory}/refs/main"


def test_an_unknown_revision_is_git_s_null_id() -> None:
    """What was adopted without a revision is no commit, and yet has the form of one."""
    assert layout.UNKNOWN_REVISION == "0000000000000000000000000000000000000000"


SNAPSHOT = f"snapshots/{REVISION}"
VIEWS = [
    pytest.param(
        FASTEMBED,
        f"fastembed/models--Qdrant--bge/{SNAPSHOT}/onnx/model.onnx",
        [f"fastembed/models--qdrant--bge/{SNAPSHOT}/onnx/model.onnx"],
        id="fastembed-in-lower-case",
    ),
    pytest.param(
        FASTEMBED,
        "fastembed/models--Qdrant--bge/refs/main",
        ["fastembed/models--qdrant--bge/refs/main"],
        id="fastembed-ref",
    ),
    pytest.param(
        SENTENCE,
        f"sentence_transformers/models--BAAI--bge/{SNAPSHOT}/1_Pooling/config.json",
        [
            f"huggingface/hub/models--BAAI--bge/{SNAPSHOT}/1_Pooling/config.json",
            "sentence_transformers/bge/1_Pooling/config.json",
            "sentence_transformers/BAAI_bge/1_Pooling/config.json",
        ],
        id="sentence-transformers-old-and-flat",
    ),
    pytest.param(
        SENTENCE,
        "sentence_transformers/models--BAAI--bge/refs/main",
        ["huggingface/hub/models--BAAI--bge/refs/main"],
        id="sentence-transformers-ref",
    ),
    pytest.param(HUGGINGFACE, f"huggingface/hub/models--BAAI--bge/{SNAPSHOT}/a", [], id="hub"),
    pytest.param(FASTEMBED, "fastembed/models--Qdrant--bge-large/a", [], id="a-longer-name"),
    pytest.param(FASTEMBED, "fastembed/other", [], id="outside"),
    pytest.param(
        {"loader": "fastembed", "repo": "qdrant/bge"},
        "fastembed/models--qdrant--bge/a",
        [],
        id="lower-case-already",
    ),
]


@pytest.mark.parametrize(("model", "path", "expected"), VIEWS)
def test_every_loader_s_and_version_s_view_is_given(
    model: Json, path: str, expected: list[str]
) -> None:
    """A release holds a file once; a store offers it wherever some loader looks."""
    assert layout.views(release([model], [path])) == dict.fromkeys(expected, path)


def test_a_view_never_stands_in_for_a_file_of_the_release() -> None:
    """A path that the release holds itself keeps its own bytes."""
    folder = "sentence_transformers/models--BAAI--bge"
    original, own = f"{folder}/{SNAPSHOT}/config.json", "sentence_transformers/bge/config.json"
    found = layout.views(release([SENTENCE], [original, own]))
    assert own not in found
    assert found["sentence_transformers/BAAI_bge/config.json"] == original


@st.composite
def releases(draw: st.DrawFn) -> Manifest:
    """Releases of one or two models whose names differ, with files in and beside them."""
    loaders = st.sampled_from(["fastembed", "sentence-transformers", "huggingface"])
    repos = draw(st.lists(strategies.repos(), min_size=1, max_size=2, unique_by=base_name))
    models = [{"loader": draw(loaders), "repo": repo} for repo in repos]
    files = []
    for model in models:
        folder = layout.repo_directory(ModelRef("Org/name", model["loader"], model["repo"]))
        names = draw(st.lists(strategies.paths(), min_size=1, max_size=3, unique=True))
        places = st.sampled_from([folder, f"{folder}/{SNAPSHOT}", "elsewhere"])
        files += [f"{draw(places)}/{name}" for name in names]
    return release(models, list(dict.fromkeys(files)))


def base_name(repo: str) -> str:
    """The name of a repository without its organisation, as a disk without case has it."""
    return repo.partition("/")[2].casefold()


@given(releases())
@settings(max_examples=50)
def test_views_are_sound_paths_to_files_of_the_release(given_release: Manifest) -> None:
    """Every view leads to a file that the release has, from a path that it may have."""
    own = {file.path for file in given_release.files}
    found = layout.views(given_release)
    assert set(found.values()) <= own
    assert not set(found) & own
    assert all(paths.problem(view) is None for view in found)
    assert {view.rpartition("/")[2] for view in found} <= {p.rpartition("/")[2] for p in own}


@given(releases())
@settings(max_examples=50)
def test_every_snapshot_is_offered_whole(given_release: Manifest) -> None:
    """Whoever finds one file of a model under a view finds all of its files there."""
    found = layout.views(given_release)
    for model in given_release.models:
        if model.loader == "sentence-transformers":
            snapshot = layout.snapshot_directory(model.ref) + "/"
            names = {
                file.path.removeprefix(snapshot)
                for file in given_release.files
                if file.path.startswith(snapshot)
            }
            flat = f"sentence_transformers/{model.repo.replace('/', '_')}/"
            assert names == {v.removeprefix(flat) for v in found if v.startswith(flat)}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ()),
        (["manifest.json", "other/fastembed"], ()),
        (["sentence_transformers/a", "fastembed/b"], ("fastembed", "sentence_transformers")),
        (["fastembed/a", "fastembed/b"], ("fastembed",)),
        (["huggingface/hub/a"], ("huggingface",)),
        (["fastembed-v2/a"], ()),
    ],
)
def test_the_roots_of_a_release_are_those_that_workers_point_to(
    names: list[str], expected: tuple[str, ...]
) -> None:
    """Only directories that a worker's environment names count, each once, in a fixed order."""
    assert layout.roots(names) == expected


def test_views_never_mix_two_models_of_one_base_name() -> None:
    """`a/x` and `b/x` share no bare directory `x/`: it would hold files of both."""
    models: list[Json] = [{"loader": "sentence-transformers", "repo": r} for r in ("a/x", "b/x")]
    folder = f"snapshots/{REVISION}/f"
    files = [f"sentence_transformers/models--{org}--x/{folder}" for org in ("a", "b")]
    links = layout.views(release(models, files))
    assert "sentence_transformers/a_x/f" in links
    assert not any(link.startswith("sentence_transformers/x/") for link in links)
