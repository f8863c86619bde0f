"""The manifest lists the content of a release, to the byte. Pure: JSON in, a checked value out.

A manifest is canonical JSON (sorted keys, no blanks, UTF-8, no floats outside canaries). One that
breaks any rule below is refused whole: half of a manifest is no manifest.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Any, Final, NoReturn, TypedDict

import msgspec

from agent.errors import VerificationError
from agent.release import paths
from agent.release.model_ref import ModelRef
from agent.release.version import is_version

FILE_NAME: Final = "manifest.json"
SIGNATURE: Final = "model.sig"  # beside it; no manifest lists it, for it covers the manifest
SCHEMA: Final = 1
CHUNK_SIZE: Final = 8 * 1024 * 1024
# A sidecar that refuses one of this size takes up to 200 MiB for that, of the 640 MiB that it has.
MAX_BYTES: Final = 8 * 1024 * 1024
MAX_FILES: Final = 20_000
MAX_CHUNK_SIZE: Final = 64 * 1024 * 1024
MAX_FILE_SIZE: Final = 4 * 1024**4  # the largest file of Azure Files

FASTEMBED_METADATA: Final = "files_metadata.json"
PICKLES: Final = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Revision = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}\Z")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
# It becomes part of paths, so nothing but a Hub's own names is let in.
Repo = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
]

_REMEDY = "Publish the release again with model-agent publish; its bytes are not used."


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class File(_Strict, frozen=True):
    """One file: its path in the release, its size in bytes, its digests, whole and by chunk."""

    path: str
    size: Annotated[int, msgspec.Meta(ge=0, le=MAX_FILE_SIZE)]
    sha256: Sha256
    chunks: tuple[Sha256, ...]
    upstream_sha256: Sha256 | None = None


class Canary(_Strict, frozen=True):
    """Fixed texts with the vectors (one per text, `dim` numbers each) that the model must give."""

    texts: tuple[str, ...]
    vectors: tuple[tuple[float, ...], ...]
    min_cosine: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.999


class Model(_Strict, frozen=True):
    """One model: who loads it, where it came from, what it gives."""

    name: Name
    loader: Name
    repo: Repo
    revision: Revision
    dim: Annotated[int, msgspec.Meta(gt=0, le=1_000_000)]
    max_length: Annotated[int, msgspec.Meta(gt=0, le=100_000_000)]
    canary: Canary | None = None

    @property
    def ref(self) -> ModelRef:
        """The model that it is."""
        return ModelRef(self.name, self.loader, self.repo, self.revision)


class Document(TypedDict):
    """A manifest before it is checked: what `build` takes."""

    version: str
    created: str
    generator: str
    chunk_size: int
    files: list[File]
    models: list[Model]


class _Content(_Strict, frozen=True):
    schema: int
    version: str
    created: str
    generator: str
    chunk_size: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHUNK_SIZE)]
    files: tuple[File, ...]
    models: tuple[Model, ...]


class Manifest(msgspec.Struct, frozen=True):
    """A checked manifest.

    Attributes:
        digest: Names the content: SHA-256 of the canonical JSON without `created` and `generator`.
        encoded: The canonical bytes, as they belong into `manifest.json`.
    """

    version: str
    created: str
    generator: str
    chunk_size: int
    files: tuple[File, ...]
    models: tuple[Model, ...]
    digest: str
    encoded: bytes

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def pickles(self) -> tuple[str, ...]:
        """The files that run code when they are loaded."""
        paths = (file.path for file in self.files)
        return tuple(path for path in paths if is_pickle(path) and not _is_onnx_data(path))


def is_pickle(path: str) -> bool:
    """Return whether a file of this name is, by its suffix, a Python pickle."""
    return path.lower().endswith(PICKLES)


def _is_onnx_data(path: str) -> bool:
    """Return true for weights beside a graph: FastEmbed unpickles nothing, and its are ONNX's."""
    name = path.rpartition("/")[2].lower()
    is_bin = name.endswith(".bin") and not name.startswith("pytorch_model")
    return is_bin and path.startswith("fastembed/")


def parse(data: bytes, *, where: str = FILE_NAME) -> Manifest:
    """Check a manifest's bytes.

    Args:
        data: The bytes of a `manifest.json`.
        where: Names the file in errors.

    Raises:
        VerificationError: Any rule is broken; the sentence names the field.
    """
    found = _read(data)
    if isinstance(found, str):
        raise VerificationError(f"{where} is refused: {found}.", remedy=_REMEDY)
    raw, content = found
    fields = {name: getattr(content, name) for name in Document.__annotations__}
    return Manifest(**fields, digest=_digest(raw), encoded=canonical(raw))


def _read(data: bytes) -> tuple[dict[str, Any], _Content] | str:
    """Return what the bytes say, or why they are refused.

    (No exception leaves it: it would hold on to all that was read, for as long as it is kept.)
    """
    try:
        raw = _decode(data)
        content = msgspec.convert(raw, _Content)
        _check(content)
    except ValueError as error:
        return str(error)
    except RecursionError:
        return "it is nested too deeply"
    return raw, content


def build(**document: Any) -> Manifest:
    """Make a manifest out of its parts (those of `Document`), checked like one from outside.

    Raises:
        VerificationError: The parts break a rule.
    """
    files = sorted(document["files"], key=lambda file: file.path)
    raw = msgspec.to_builtins({"schema": SCHEMA, **document, "files": files})
    return parse(canonical(raw), where="the new manifest")


def canonical(value: object) -> bytes:
    """Return JSON with sorted keys, no blanks, UTF-8."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def chunk_count(size: int, chunk_size: int) -> int:
    """Return the number of chunks of a file of `size` bytes; an empty file has none."""
    return -(-size // chunk_size)


def _digest(raw: dict[str, Any]) -> str:
    content = {key: value for key, value in raw.items() if key not in {"created", "generator"}}
    return hashlib.sha256(canonical(content)).hexdigest()


def _decode(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has over {MAX_BYTES} bytes")
    raw = json.loads(data.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    if not isinstance(raw, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - refused like any other value
    if raw.get("schema") != SCHEMA or isinstance(raw.get("schema"), bool):
        raise ValueError(
            f"field schema is {str(raw.get('schema'))[:20]!r} and this agent reads {SCHEMA} "
            "(a newer one may come from a newer model-agent)"
        )
    if isinstance(raw.get("files"), list) and len(raw["files"]) > MAX_FILES:
        raise ValueError(f"field files has {len(raw['files'])} entries, over {MAX_FILES}")
    canonical(raw)  # a lone surrogate is caught here, before it is hashed
    return raw


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"field {key[:80]!r} stands twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds the number {name}")


def _check(content: _Content) -> None:
    if not is_version(content.version):
        raise ValueError(f"field version is {content.version[:80]!r}, not a version")
    if not content.files or not content.models:
        raise ValueError("fields files and models may not be empty")
    for index, file in enumerate(content.files):
        _check_file(file, content.chunk_size, f"files[{index}]")
    if both := paths.collision(file.path for file in content.files):
        raise ValueError(f"paths {both[0]!r} and {both[1]!r} in files collide")
    names = [(model.name, model.loader) for model in content.models]
    if len(set(names)) != len(names):
        raise ValueError("field models names a model twice for one loader")
    for index, model in enumerate(content.models):
        if model.canary:
            _check_canary(model.canary, model.dim, f"models[{index}].canary")


def _check_file(file: File, chunk_size: int, where: str) -> None:
    if reason := paths.problem(file.path):
        raise ValueError(f"{where}.path {file.path[:200]!r} {reason}")
    if file.path.casefold().partition("/")[0] in {FILE_NAME, SIGNATURE}:
        raise ValueError(f"{where}.path is the manifest itself, or its signature")
    if file.path.casefold().rpartition("/")[2] == FASTEMBED_METADATA:
        raise ValueError(
            f"{where}.path is FastEmbed's {FASTEMBED_METADATA}: it lists other bytes' sizes"
        )
    expected = chunk_count(file.size, chunk_size)
    if len(file.chunks) != expected:
        raise ValueError(
            f"{where}.chunks has {len(file.chunks)} digests and {file.size} bytes need {expected}"
        )


def _check_canary(canary: Canary, dim: int, where: str) -> None:
    if not canary.texts or len(canary.texts) != len(canary.vectors):
        raise ValueError(f"{where} needs as many vectors as texts, and at least one")
    for index, vector in enumerate(canary.vectors):
        if len(vector) != dim:
            raise ValueError(f"{where}.vectors[{index}] has {len(vector)} numbers and dim is {dim}")
        if not all(map(math.isfinite, vector)) or not any(vector):
            raise ValueError(f"{where}.vectors[{index}] is zero or not finite")
