"""The manifest: what is accepted, what names its content, what is refused and how."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import VerificationError
from agent.release import manifest
from agent.release.manifest import Canary, File, Manifest, Model
from tests.support import strategies
from tests.support.manifests import FULL, HEX, OTHER
from tests.unit.release.test_paths import COLLIDING, HOSTILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.strategies import Json

few = settings(max_examples=30)


def encode(document: object) -> bytes:
    """Any JSON, with what Python lets through: NaN, lone surrogates."""
    return json.dumps(document).encode()


def places(value: object, where: str = "") -> Iterator[tuple[str, object]]:
    """Every place below a document, such as `files.0.size`, with what stands there."""
    items = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
    for key, inner in items:
        yield f"{where}{key}", inner
        if isinstance(inner, dict | list):
            yield from places(inner, f"{where}{key}.")


def parent(document: Json, where: str) -> tuple[Any, str | int]:
    """What holds the place, and under which key."""
    *keys, last = (int(key) if key.isdigit() else key for key in where.split("."))
    found: Any = document
    for key in keys:
        found = found[key]
    return found, last


def changed(where: str, value: object) -> Json:
    """The full document with another value at one place."""
    document = copy.deepcopy(FULL)
    holder, key = parent(document, where)
    holder[key] = value
    return document


def without(*where: str) -> Json:
    """The full document without some of its fields."""
    document = copy.deepcopy(FULL)
    for each in where:
        holder, key = parent(document, each)
        del holder[key]
    return document


def named(where: str) -> str:
    """The name of the field at a place; that of the list for what is in one."""
    return [key for key in where.split(".") if not key.isdigit()][-1]


def refusal(data: bytes) -> str:
    """The sentence that refuses the bytes; it is one line, and blames the release."""
    with pytest.raises(VerificationError) as caught:
        manifest.parse(data, where="v2/manifest.json")
    error = caught.value
    assert (error.exit_code, error.blames_release) == (5, True)
    assert error.what.startswith("v2/manifest.json is refused: ")
    assert "publish" in error.remedy
    assert len(str(error).splitlines()) == 1
    assert error.__cause__ is None
    return error.what


def read_or_refused(data: bytes) -> Manifest | None:
    """The manifest; None if it is refused, which is the only error."""
    try:
        return manifest.parse(data)
    except VerificationError:
        return None


def parts(read: Manifest) -> Json:
    """What `build` takes, of a manifest."""
    names = ("version", "created", "generator", "chunk_size", "files", "models")
    return {name: getattr(read, name) for name in names}


def shuffled(value: Any, random: Any) -> Any:
    """The same JSON with its keys in another order."""
    if isinstance(value, list):
        return [shuffled(item, random) for item in value]
    if isinstance(value, dict):
        keys = list(value)
        random.shuffle(keys)
        return {key: shuffled(value[key], random) for key in keys}
    return value


def model_of(said: Json) -> Model:
    """The model that a manifest's JSON describes."""
    canary = None
    if "canary" in said:
        texts, vectors = said["canary"]["texts"], said["canary"]["vectors"]
        canary = Canary(
            texts=tuple(texts),
            vectors=tuple(map(tuple, vectors)),
            min_cosine=said["canary"]["min_cosine"],
        )
    return Model(**said | {"canary": canary})


OBJECTS = ["", *(f"{where}." for where, value in places(FULL) if isinstance(value, dict))]
FIELDS = [
    where
    for where, _ in places(FULL)
    if not where.split(".")[-1].isdigit()
    and not where.endswith((".upstream_sha256", ".canary", ".min_cosine"))  # they have defaults
]


@given(strategies.manifests())
@few
def test_a_sound_manifest_is_read_as_it_stands(document: Json) -> None:
    """Every field of a manifest is what its JSON says."""
    read = manifest.parse(encode(document))
    files = [File(**file | {"chunks": tuple(file["chunks"])}) for file in document["files"]]
    models = [model_of(model) for model in document["models"]]
    assert parts(read) | {"schema": 1} == document | {
        "files": tuple(files),
        "models": tuple(models),
    }
    assert read.size == sum(file["size"] for file in document["files"])


@given(strategies.manifests(), st.randoms(use_true_random=False))
@few
def test_what_is_built_is_read_back(document: Json, random: Any) -> None:
    """Built out of its parts in any order, written and read again, a manifest is the same."""
    given_parts = parts(manifest.parse(encode(document)))
    files = list(given_parts["files"])
    random.shuffle(files)
    built = manifest.build(**given_parts | {"files": files})
    again = manifest.parse(built.encoded)
    assert again == built
    assert again.encoded == built.encoded
    assert [file.path for file in built.files] == sorted(f["path"] for f in document["files"])
    assert manifest.build(**parts(built)) == built


@given(strategies.manifests())
@few
def test_the_bytes_are_canonical(document: Json) -> None:
    """Keys are sorted, there are no blanks, and text is UTF-8 as it is."""
    encoded = manifest.parse(encode(document)).encoded
    plain = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert encoded == plain.encode()


@given(strategies.manifests(), st.text(), st.text(), st.randoms(use_true_random=False))
@few
def test_the_digest_is_the_same_wherever_it_was_made(
    document: Json, created: str, generator: str, random: Any
) -> None:
    """Neither when, nor by whom, nor the order of keys, nor blanks count for the digest."""
    there = shuffled(document | {"created": created, "generator": generator}, random)
    read = manifest.parse(json.dumps(there, indent=random.choice([None, 1, "\t"])).encode())
    here = manifest.parse(encode(document))
    assert read.digest == here.digest
    same = (created, generator) == (document["created"], document["generator"])
    assert (read.encoded == here.encoded) == same


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("version", "v3"),
        ("chunk_size", 5),
        ("files.0.path", "fastembed/models--a--b/snapshots/c/model2.onnx"),
        ("files.0.size", 7),
        ("files.0.sha256", OTHER),
        ("files.0.chunks.1", HEX),
        ("files.0.upstream_sha256", HEX),
        ("files.1", {"path": "other", "size": 0, "sha256": HEX, "chunks": []}),
        ("files", FULL["files"][:1]),
        ("models.0.name", "BAAI/other"),
        ("models.0.loader", "sentence-transformers"),
        ("models.0.repo", "Qdrant/other"),
        ("models.0.revision", OTHER[:40]),
        ("models.0.max_length", 511),
        ("models.0.canary", None),
        ("models.0.canary.texts.0", "One"),
        ("models.0.canary.vectors.0.1", 0.26),
        ("models.0.canary.min_cosine", 0.98),
        ("models", [FULL["models"][0], FULL["models"][0] | {"loader": "huggingface"}]),
    ],
)
def test_the_digest_depends_on_everything_else(where: str, value: object) -> None:
    """Any change of the content is another digest."""
    other = manifest.parse(encode(changed(where, value)))
    assert other.digest != manifest.parse(encode(FULL)).digest


WRONG: dict[type, list[object]] = {
    int: [None, True, False, "1", "", [], {}, 1.5, -1, 10**30, -(10**30)],
    float: [None, True, "0.9", [], {}, 0, -0.5, 1.5, 10**400],
    str: [None, 1, 0.5, True, [], {}],
    list: [None, 1, "x", True, {}, {"0": 1}],
    dict: [1, "x", True, [], [[]], {"": 0}],
}
WRONG_IN_A_VECTOR: list[object] = [None, True, "1", [], {}, 10**400]


@pytest.mark.parametrize(("where", "value"), [*places(FULL)])
def test_a_wrong_type_is_refused_at_every_field(where: str, value: object) -> None:
    """No field takes a value of another type, or a number out of its range; the field is named."""
    in_a_vector = ".vectors." in where and not isinstance(value, list)
    optional = [None] if where.endswith(".upstream_sha256") else []
    for wrong in WRONG_IN_A_VECTOR if in_a_vector else WRONG[type(value)]:
        if wrong not in optional:
            assert named(where) in refusal(encode(changed(where, wrong)))


@pytest.mark.parametrize("where", OBJECTS)
def test_an_unknown_field_is_refused_in_every_object(where: str) -> None:
    """What this agent does not know it does not guess at."""
    assert "surprise" in refusal(encode(changed(f"{where}surprise", 1)))


@pytest.mark.parametrize("where", FIELDS)
def test_a_missing_field_is_refused_and_named(where: str) -> None:
    """Half of a manifest is no manifest."""
    assert named(where) in refusal(encode(without(where)))


def test_optional_fields_have_their_defaults() -> None:
    """Without them a file is as the Hub has it, and the canary agrees to 0.999."""
    document = without("files.0.upstream_sha256", "models.0.canary.min_cosine")
    read = manifest.parse(encode(document))
    assert read.files[0].upstream_sha256 is None
    assert read.models[0].canary is not None
    assert read.models[0].canary.min_cosine == 0.999
    assert manifest.parse(encode(without("models.0.canary"))).models[0].canary is None
    written = manifest.build(**parts(read)).encoded
    assert b"upstream_sha256" not in written
    assert b"min_cosine" not in written


def test_a_chunk_has_8_mib() -> None:
    """What this agent publishes is cut as documented, so that its releases can share chunks."""
    assert manifest.CHUNK_SIZE == 8_388_608


@pytest.mark.parametrize(("path", "reason"), HOSTILE)
def test_a_hostile_path_is_refused_and_named(path: str, reason: str) -> None:
    """Nothing outside the release can be written; the whole manifest is refused."""
    sentence = refusal(encode(changed("files.1.path", path)))
    if "\ud800" not in path:  # which is no text, in no field
        assert "files[1].path" in sentence
        assert reason in sentence


@pytest.mark.parametrize("names", COLLIDING)
def test_colliding_paths_are_refused_and_named(names: list[str]) -> None:
    """Files that a share or a store cannot hold side by side are refused together."""
    empty = FULL["files"][1]
    sentence = refusal(encode(changed("files", [empty | {"path": name} for name in names])))
    assert "in files collide" in sentence
    assert repr(names[1]) in sentence


@pytest.mark.parametrize("path", ["manifest.json", "Manifest.JSON", "model.sig", "Model.sig"])
def test_the_manifest_does_not_list_itself(path: str) -> None:
    """Neither it nor its signature can be listed, for it would hold its own digest."""
    sentence = refusal(encode(changed("files.1.path", path)))
    assert "files[1].path is the manifest itself" in sentence


def test_a_manifest_of_something_else_may_be_listed() -> None:
    """Only the release's own manifest is meant."""
    manifest.parse(encode(changed("files.1.path", "fastembed/manifest.json")))


@pytest.mark.parametrize("name", ["files_metadata.json", "FILES_METADATA.json"])
def test_fastembeds_own_list_is_never_carried(name: str) -> None:
    """It lists the sizes of other bytes, which makes a good release unloadable."""
    path = f"fastembed/models--a--b/{name}"
    sentence = refusal(encode(changed("files.1.path", path)))
    assert "files[1].path is FastEmbed's files_metadata.json" in sentence


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        pytest.param("schema", 2, "newer model-agent", id="newer-schema"),
        pytest.param("schema", 0, "field schema is '0'", id="older-schema"),
        pytest.param("schema", "x" * 999, "field schema is 'xxxx", id="long-schema"),
        pytest.param("version", "../v2", "field version is '../v2'", id="traversing-version"),
        pytest.param("version", "", "field version", id="empty-version"),
        pytest.param("files", [], "files and models may not be empty", id="no-files"),
        pytest.param("models", [], "files and models may not be empty", id="no-models"),
        pytest.param("chunk_size", 0, "chunk_size", id="no-chunk-size"),
        pytest.param("chunk_size", 2**26 + 1, "chunk_size", id="chunks-over-64-mib"),
        pytest.param("files.0.size", 2**42 + 1, "size", id="file-over-4-tib"),
        pytest.param("files.0.size", 4, "files[0].chunks has 2 digests", id="chunks-over"),
        pytest.param("files.0.size", 9, "9 bytes need 3", id="chunks-missing"),
        pytest.param("files.1.chunks", [HEX], "0 bytes need 0", id="chunk-of-nothing"),
        pytest.param("files.0.sha256", HEX.upper(), "sha256", id="upper-case-digest"),
        pytest.param("files.0.sha256", HEX[:-1], "sha256", id="short-digest"),
        pytest.param("files.0.sha256", HEX + "\n", "sha256", id="digest-with-newline"),
        pytest.param("files.0.chunks.0", HEX + "0", "chunks[0]", id="long-chunk-digest"),
        pytest.param("models.0.name", "", "name", id="empty-name"),
        pytest.param("models.0.name", "x" * 257, "name", id="long-name"),
        pytest.param("models.0.loader", "", "loader", id="empty-loader"),
        pytest.param("models.0.repo", "", "repo", id="empty-repo"),
        pytest.param("models.0.revision", "main", "revision", id="branch-for-revision"),
        pytest.param("models.0.revision", HEX[:41], "revision", id="long-revision"),
        pytest.param("models.0.dim", 0, "dim", id="no-dimension"),
        pytest.param("models.0.dim", 1_000_001, "dim", id="huge-dimension"),
        pytest.param("models.0.dim", 3, "models[0].canary.vectors[0]", id="another-dim"),
        pytest.param("models.0.max_length", 0, "max_length", id="no-length"),
        pytest.param("models.0.max_length", 100_000_001, "max_length", id="huge-length"),
        pytest.param(
            "models",
            FULL["models"] * 2,
            "names a model twice",
            id="model-twice",
        ),
        pytest.param(
            "models.0.canary.texts",
            ["one"],
            "models[0].canary needs as many vectors",
            id="fewer-texts",
        ),
        pytest.param(
            "models.0.canary",
            {"texts": [], "vectors": []},
            "models[0].canary needs",
            id="empty-canary",
        ),
        pytest.param(
            "models.0.canary.vectors.1",
            [1.0],
            "models[0].canary.vectors[1] has 1 numbers",
            id="short-vector",
        ),
        pytest.param(
            "models.0.canary.vectors.1",
            [0.0, 0.0],
            "models[0].canary.vectors[1] is zero",
            id="zero-vector",
        ),
        pytest.param("models.0.canary.min_cosine", 0, "min_cosine", id="any-cosine"),
        pytest.param("models.0.canary.min_cosine", 1.01, "min_cosine", id="cosine-over-1"),
    ],
)
def test_a_broken_rule_is_refused_and_named(where: str, value: object, reason: str) -> None:
    """Each rule on its own refuses the manifest whole."""
    assert reason in refusal(encode(changed(where, value)))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        pytest.param("chunk_size", 2**26, id="chunks-of-64-mib"),
        pytest.param("models.0.dim", 2, id="dim-as-canary"),
        pytest.param("models.0.max_length", 100_000_000, id="max-length"),
        pytest.param("models.0.name", "o/" + "x" * 254, id="name"),
        pytest.param("models.0.canary.min_cosine", 1, id="cosine-1"),
        pytest.param("models.0.canary.vectors.0", [0.0, 1e-3], id="one-number-not-zero"),
    ],
)
def test_the_last_value_of_a_range_is_accepted(where: str, value: object) -> None:
    """Limits are inclusive."""
    document = changed(where, value)
    if where == "chunk_size":
        document["files"] = [FULL["files"][1]]
    manifest.parse(encode(document))


def test_a_file_may_have_4_tib() -> None:
    """The largest file of Azure Files fits into a manifest."""
    chunk_size = 2**26
    count = 2**42 // chunk_size
    file = {"path": "big", "size": 2**42, "sha256": HEX, "chunks": [HEX] * count}
    read = manifest.parse(encode(FULL | {"chunk_size": chunk_size, "files": [file]}))
    assert read.size == 2**42


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "", id="empty"),
        pytest.param(b"\x00" * 100, "", id="nul-filled"),
        pytest.param(b"\xff\xfe\xfd", "", id="binary"),
        pytest.param(b"{", "", id="cut"),
        pytest.param(b"null", "not a JSON object", id="null"),
        pytest.param(b"[]", "not a JSON object", id="list"),
        pytest.param(b"1", "not a JSON object", id="number"),
        pytest.param(b"{}", "field schema is 'None'", id="nothing-in-it"),
        pytest.param(b'{"schema": true}', "field schema is 'True'", id="schema-true"),
        pytest.param(b'{"a": 0, "schema": 1, "schema": 1}', "'schema' stands", id="key-twice"),
        pytest.param(b'{"schema": 1, "a": [{"b": 1, "b": 2}]}', "'b' stands", id="inner-key-twice"),
        pytest.param(b'{"schema": NaN}', "the number NaN", id="nan"),
        pytest.param(b'{"schema": 1, "a": [Infinity]}', "the number Infinity", id="infinity"),
        pytest.param(b'{"schema": 1, "a": -Infinity}', "the number -Infinity", id="minus-infinity"),
        pytest.param(b'{"schema": 1, "a": 1e400}', "", id="over-a-float"),
        pytest.param(b'{"schema": ' + b"1" * 5000 + b"}", "", id="5000-digits"),
        pytest.param(b'{"schema": 1, "a": "\\ud800"}', "", id="lone-surrogate"),
        pytest.param(b'{"schema": 1, "\\udfff": 0}', "", id="lone-surrogate-in-a-key"),
        pytest.param(b'{"schema": 1} {}', "", id="two-objects"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="deep-list"),
        pytest.param(b'{"a":' * 100_000, "nested too deeply", id="deep-object"),
        pytest.param(b'{"schema": 1, "a": ' + b"[" * 700 + b"]" * 700 + b"}", "", id="rather-deep"),
    ],
)
def test_broken_json_is_refused(data: bytes, reason: str) -> None:
    """What is no strict JSON object of this schema is refused, however it is broken."""
    assert reason in refusal(data)


def test_a_huge_manifest_is_refused_unread() -> None:
    """Memory is safe: over 8 MiB nothing is parsed, and up to there it is."""
    assert "over 8388608 bytes" in refusal(b" " * (manifest.MAX_BYTES + 1))
    assert "over" not in refusal(b" " * manifest.MAX_BYTES)


@pytest.mark.parametrize(("count", "refused"), [(20_000, False), (20_001, True)])
def test_a_release_has_at_most_20000_files(count: int, *, refused: bool) -> None:
    """More are refused before anything is made of them."""
    files = [{"path": f"f{n}", "size": 0, "sha256": HEX, "chunks": []} for n in range(count)]
    encoded = encode(FULL | {"files": files})
    if refused:
        assert "field files has 20001 entries, over 20000" in refusal(encoded)
    else:
        assert len(manifest.parse(encoded).files) == count


@given(st.binary() | strategies.json_values().map(encode))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    """Whatever lies there is refused as a release that is bad, and nothing else is raised."""
    assert read_or_refused(data) is None


@given(st.data())
def test_no_value_at_any_place_crashes_the_reader(data: st.DataObject) -> None:
    """A manifest with any JSON at any place is sound or refused."""
    where, _ = data.draw(st.sampled_from([*places(FULL)]))
    document = changed(where, data.draw(strategies.json_values()))
    if read := read_or_refused(encode(document)):
        assert manifest.parse(read.encoded) == read


@given(st.integers(0, len(encode(FULL)) - 1), st.binary(max_size=3))
def test_a_damaged_manifest_never_passes_for_another_release(at: int, patch: bytes) -> None:
    """With other bytes anywhere it is refused, or has another digest, or says the same."""
    sound = manifest.canonical(FULL)
    read = read_or_refused(sound[:at] + patch + sound[at + len(patch) :])
    whole = manifest.parse(sound)
    if read and read.digest == whole.digest:
        assert (read.files, read.models, read.version) == (whole.files, whole.models, whole.version)


def test_a_cut_manifest_is_refused() -> None:
    """A manifest of which only the first bytes arrived is never taken for one."""
    whole = manifest.canonical(FULL)
    for cut in range(len(whole)):
        refusal(whole[:cut])


@given(st.integers(0, 10**7), st.integers(1, 10**5))
def test_chunks_cover_a_file_exactly(size: int, chunk_size: int) -> None:
    """Only the last chunk is short, and an empty file has none."""
    assert manifest.chunk_count(size, chunk_size) == len(range(0, size, chunk_size))


@pytest.mark.parametrize(
    ("path", "pickle"),
    [
        ("pytorch_model.bin", True),
        ("a/b.PT", True),
        ("a.pth", True),
        ("a.pkl", True),
        ("a.pickle", True),
        ("last.ckpt", True),
        ("model.safetensors", False),
        ("model.onnx", False),
        ("bin", False),
        ("a.bin/config.json", False),
        ("model.bin.txt", False),
    ],
)
def test_a_pickle_is_known_by_its_suffix(path: str, pickle: bool) -> None:
    """Files that run code when they are loaded are told from the others, in any case."""
    assert manifest.is_pickle(path) is pickle
    read = manifest.parse(encode(changed("files.1.path", path)))
    assert read.pickles == ((path,) if pickle else ())


@pytest.mark.parametrize(
    ("path", "pickle"),
    [
        ("fastembed/models--a--b/snapshots/c/weights.bin", False),
        ("fastembed/models--a--b/snapshots/c/pytorch_model.bin", True),
        ("fastembed/models--a--b/snapshots/c/weights.pt", True),
        ("huggingface/hub/models--a--b/snapshots/c/weights.bin", True),
    ],
)
def test_weights_beside_a_graph_are_no_pickle(path: str, pickle: bool) -> None:
    """FastEmbed unpickles nothing: a `.bin` there is ONNX's, unless it is called as torch's."""
    read = manifest.parse(encode(changed("files.1.path", path)))
    assert read.pickles == ((path,) if pickle else ())


def test_parts_that_break_a_rule_are_not_built() -> None:
    """What this agent writes is held to the same rules as what it reads."""
    build: Callable[..., Manifest] = manifest.build
    canary = Canary(texts=("a",), vectors=((1.0,),))
    model = Model(
        name="n", loader="l", repo="o/r", revision=HEX[:40], dim=1, max_length=1, canary=canary
    )
    file = File(path="../a", size=0, sha256=HEX, chunks=())
    fields: Json = {"version": "v1", "created": "", "generator": "", "chunk_size": 1}
    with pytest.raises(VerificationError, match=r"^the new manifest is refused: files\[0\]\.path"):
        build(**fields, files=[file], models=[model])


@pytest.mark.parametrize(
    "repo", ["../../../../../escaped/x", "a/../b", "/a/b", "a/b/c", "a", "a/ b"]
)
def test_repo_that_is_no_hub_name_is_refused(repo: str) -> None:
    """A repository's name becomes part of paths, so nothing that leads elsewhere is let in."""
    document = copy.deepcopy(FULL)
    document["models"][0]["repo"] = repo
    with pytest.raises(VerificationError, match="repo"):
        manifest.parse(json.dumps(document).encode())
