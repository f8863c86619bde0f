"""Weights move out of a model, and nothing else about it changes."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from agent.errors import ConfigError, NoSpaceError, VerificationError
from agent.models.formats import whole
from agent.models.formats.external_data import externalize
from tests.support.models import write_tiny

if TYPE_CHECKING:
    from collections.abc import Callable

on_disk = settings(deadline=None, max_examples=60)

LARGE: Final = 1024
# Fields that no version of ONNX has: a number, bytes, eight and four bytes.
UNKNOWN: Final = (
    b"\xc0\x3e\x96\x01",
    b"\xc2\x3e\x03abc",
    b"\xc1\x3e" + b"\x01" * 8,
    b"\xc5\x3e" + b"\x02" * 4,
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose files are written anew by each example of a test."""
    return tmp_path_factory.mktemp("scratch")


def raw(name: str, size: int, fill: int = 1) -> TensorProto:
    """A tensor of so many bytes, as raw data."""
    return helper.make_tensor(name, TensorProto.UINT8, [size], bytes([fill]) * size, raw=True)


def typed(name: str, size: int) -> TensorProto:
    """A tensor of a quarter as many numbers, as `float_data`."""
    return helper.make_tensor(name, TensorProto.FLOAT, [size // 4], [0.5] * (size // 4))


def sparse(name: str, size: int) -> onnx.SparseTensorProto:
    """Four numbers of `size`, whose values and indices could be large raw data just as well."""
    values = helper.make_tensor(name, TensorProto.UINT8, [size // 2], bytes(size // 2), raw=True)
    indices = b"".join(index.to_bytes(8, "little") for index in range(size // 2))
    places = helper.make_tensor(f"{name}_at", TensorProto.INT64, [size // 2], indices, raw=True)
    return helper.make_sparse_tensor(values, places, [size])


def branch(name: str, size: int) -> onnx.GraphProto:
    """A graph for one side of an `If`, with an initializer of its own."""
    output = helper.make_tensor_value_info(f"{name}_out", TensorProto.UINT8, [size])
    node = helper.make_node("Identity", [name], [f"{name}_out"])
    return helper.make_graph([node], name, [], [output], [raw(name, size)])


def function(size: int) -> onnx.FunctionProto:
    """A function with a constant in it."""
    constant = helper.make_node("Constant", [], ["y"], value=raw("inside", size))
    return helper.make_function("local", "F", [], ["y"], [constant], [helper.make_opsetid("", 20)])


def small_model(*initializers: TensorProto, size: int = 8) -> onnx.ModelProto:
    """A sound model, with tensors of `size` bytes at every depth that initializers are not at."""
    nodes = [
        helper.make_node("Constant", [], ["c"], value=raw("constant", size)),
        helper.make_node("F", [], ["f"], domain="local"),
        helper.make_node(
            "If", ["yes"], ["y"], then_branch=branch("a", size), else_branch=branch("b", size)
        ),
    ]
    yes = helper.make_tensor_value_info("yes", TensorProto.BOOL, [])
    y = helper.make_tensor_value_info("y", TensorProto.UINT8, [size])
    graph = helper.make_graph(
        nodes, "g", [yes], [y], list(initializers), sparse_initializer=[sparse("s", size)]
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=[function(size)], ir_version=10)


@st.composite
def models(draw: st.DrawFn) -> onnx.ModelProto:
    """Small models: tensors around the threshold and the page, and what else stands in files."""
    sizes = st.sampled_from([0, 4, 1020, 1024, 1028, 4096, 4100, 9000])
    unknown = st.lists(st.sampled_from(UNKNOWN), max_size=3).map(b"".join)
    initializers = []
    for index, size in enumerate(draw(st.lists(sizes, max_size=6))):
        as_typed = draw(st.booleans())
        tensor = typed(f"w{index}", size) if as_typed else raw(f"w{index}", size, index)
        if draw(st.booleans()):
            tensor.data_location = TensorProto.DEFAULT
            tensor.doc_string = draw(st.text(max_size=5))
            tensor.metadata_props.add(key="k", value="v" * draw(st.integers(0, 200)))
        tensor.MergeFromString(draw(unknown))
        initializers.append(tensor)
    model = small_model(*initializers, size=draw(st.sampled_from([8, 2048])))
    model.graph.MergeFromString(draw(unknown))
    model.MergeFromString(draw(unknown))
    helper.set_model_props(model, {"key": draw(st.text(max_size=5))})
    return model


def content(model: onnx.ModelProto) -> bytes:
    """The model without where its data is, which by default need not be said."""
    same = onnx.ModelProto()
    same.CopyFrom(model)
    for tensor in same.graph.initializer:
        if tensor.data_location == TensorProto.DEFAULT:
            tensor.ClearField("data_location")
    return bytes(same.SerializeToString(deterministic=True))


def places(path: Path) -> dict[str, dict[str, str]]:
    """Where each initializer that is not in the model is."""
    model = onnx.load(path, load_external_data=False)
    return {
        tensor.name: {entry.key: entry.value for entry in tensor.external_data}
        for tensor in model.graph.initializer
        if tensor.data_location == TensorProto.EXTERNAL
    }


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def written(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


@given(models())
@on_disk
def test_nothing_but_the_place_of_weights_changes(scratch: Path, model: onnx.ModelProto) -> None:
    """Whatever stands in a model, it loads as before, and exactly its large raw weights moved."""
    source, target = written(scratch / "source.onnx", model), scratch / "model.onnx"
    for name in ("model.onnx", "model.onnx.data"):
        (scratch / name).unlink(missing_ok=True)
    large = [each.name for each in model.graph.initializer if len(each.raw_data) >= LARGE]
    assert externalize(source, target) == bool(large)
    if not large:
        assert names(scratch) == ["source.onnx"]
        return
    assert names(scratch) == ["model.onnx", "model.onnx.data", "source.onnx"]
    assert list(places(target)) == large
    assert content(onnx.load(target)) == content(model)
    onnx.checker.check_model(str(target))
    whole.check(target, target.name)
    assert not externalize(target, scratch / "again.onnx")
    assert len(names(scratch)) == 3


@pytest.mark.parametrize(
    "sizes", [[1024], [4096, 8192], [1024, 5000, 4096, 1025], [4097] * 3, [3 * 1024 * 1024, 1024]]
)
def test_weights_begin_at_pages_of_one_file(tmp_path: Path, sizes: list[int]) -> None:
    """Each begins at the next multiple of 4 KiB after the one before; the last ends the file."""
    tensors = [raw(f"w{index}", size, index + 1) for index, size in enumerate(sizes)]
    source = written(tmp_path / "source.onnx", small_model(*tensors))
    assert externalize(source, tmp_path / "model.onnx")
    data = (tmp_path / "model.onnx.data").read_bytes()
    end = 0
    for tensor, place in zip(tensors, places(tmp_path / "model.onnx").values(), strict=True):
        offset, length = int(place["offset"]), int(place["length"])
        assert place == {
            "location": "model.onnx.data",
            "offset": str(offset),
            "length": str(length),
        }
        assert offset == -(-end // 4096) * 4096
        end = offset + length
        assert data[offset:end] == tensor.raw_data
    assert len(data) == end


def field(number: int, value: bytes) -> bytes:
    """A protobuf field of bytes, written without the code under test; `value` is under 16 KiB."""
    size = len(value)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + value


def test_bytes_that_stay_keep_their_order(tmp_path: Path) -> None:
    """Only the tensor's own bytes, and the lengths around it, differ: also in an unusual order.

    The model has its opset before its graph, which comes in two parts; a tensor has its raw data
    first, and once more later, which by protobuf's rule is the one that counts.
    """
    opset, version = field(8, b"\x10\x14"), b"\x08\x0a"
    small = field(5, field(9, b"z" * 1023) + b"\x08\x01")
    before, after = b"\x08\x80\x08" + UNKNOWN[0], b"\x10\x02" + field(8, b"w") + b"\x70\x00"
    # A field of the number of raw data that holds a number is none.
    before += b"\x48\x07"
    large = field(5, field(9, b"a" * 1024) + before + field(9, b"b" * 1024) + after)
    (tmp_path / "source.onnx").write_bytes(
        opset
        + field(7, field(2, b"g") + small + large + UNKNOWN[1])
        + UNKNOWN[2]
        + field(7, large)
        + version
    )
    assert externalize(tmp_path / "source.onnx", tmp_path / "m.onnx")

    def moved(offset: bytes) -> bytes:
        pairs = [(b"location", b"m.onnx.data"), (b"offset", offset), (b"length", b"1024")]
        entries = b"".join(field(13, field(1, key) + field(2, value)) for key, value in pairs)
        return field(5, before + after + entries + b"\x70\x01")

    assert (tmp_path / "m.onnx").read_bytes() == (
        opset
        + field(7, field(2, b"g") + small + moved(b"0") + UNKNOWN[1])
        + UNKNOWN[2]
        + field(7, moved(b"4096"))
        + version
    )
    data = b"b" * 1024 + bytes(3072) + b"b" * 1024
    assert (tmp_path / "m.onnx.data").read_bytes() == data


def elsewhere(tensor: TensorProto) -> None:
    """Say that the data of a tensor is in the file `model.onnx.data`."""
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="model.onnx.data")
    tensor.data_location = TensorProto.EXTERNAL


DEPTHS: Final[dict[str, Callable[[Any], TensorProto]]] = {
    "initializer": lambda model: model.graph.initializer[1],
    "sparse values": lambda model: model.graph.sparse_initializer[0].values,
    "sparse indices": lambda model: model.graph.sparse_initializer[0].indices,
    "constant": lambda model: model.graph.node[0].attribute[0].t,
    "branch": lambda model: model.graph.node[2].attribute[1].g.initializer[0],
    "function": lambda model: model.functions[0].node[0].attribute[0].t,
    "training": lambda model: model.training_info.add().algorithm.initializer.add(),
    "list of tensors": lambda model: model.graph.node[0].attribute.add().tensors.add(),
    "list of graphs": lambda model: (
        model.graph.node[0].attribute.add().graphs.add().initializer.add()
    ),
    "sparse constant": lambda model: model.graph.node[0].attribute.add().sparse_tensor.values,
    "list of sparse": lambda model: model.graph.node[0].attribute.add().sparse_tensors.add().values,
    "function's default": lambda model: model.functions[0].attribute_proto.add().t,
}


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_model_with_data_elsewhere_is_left_alone(tmp_path: Path, depth: str) -> None:
    """However deep a tensor is, its data may be in the very file that would be written."""
    model = small_model(raw("large", 5000), raw("small", 8))
    elsewhere(DEPTHS[depth](model))
    (tmp_path / "model.onnx.data").write_bytes(b"x" * 8)
    source = written(tmp_path / "model.onnx", model)
    assert not externalize(source, source)
    assert names(tmp_path) == ["model.onnx", "model.onnx.data"]
    assert (tmp_path / "model.onnx.data").read_bytes() == b"x" * 8


@pytest.mark.parametrize("keep", ["data_location", "external_data"])
def test_either_sign_of_data_elsewhere_will_do(tmp_path: Path, keep: str) -> None:
    """A model that is not clear about where its data is, is no model to rewrite."""
    model = small_model(raw("large", 5000), raw("other", 8))
    elsewhere(model.graph.initializer[1])
    model.graph.initializer[1].ClearField(
        "external_data" if keep == "data_location" else "data_location"
    )
    (tmp_path / "model.onnx.data").touch()
    source = written(tmp_path / "model.onnx", model)
    assert not externalize(source, tmp_path / "other.onnx")


def test_a_model_is_rewritten_in_place(tiny_dir: Path, tmp_path: Path) -> None:
    """Source and target may be one; who has the old file open keeps the old bytes."""
    path = tmp_path / "model.onnx"
    before = (tiny_dir / "model.onnx").read_bytes()
    path.write_bytes(before)
    with path.open("rb") as old:
        assert externalize(path, path)
        assert old.read() == before
    assert content(onnx.load(path)) == content(onnx.load_model_from_string(before))
    assert names(tmp_path) == ["model.onnx", "model.onnx.data"]


def test_what_appears_is_on_disk(
    tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash at any point leaves no model that is not whole, nor one without its data."""
    events: list[str] = []
    sync, rename = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        events.append(f"synced {name.rsplit('.', 1)[0]}" if name[0] == "." else "synced directory")

    def replace(path: Path, target: Path) -> None:
        rename(path, target)
        events.append(f"renamed {target.name}")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    assert externalize(tiny_dir / "model.onnx", tmp_path / "model.onnx")
    assert events == [
        "synced .model.onnx.data",
        "renamed model.onnx.data",
        "synced .model.onnx",
        "renamed model.onnx",
        "synced directory",
    ]


def refusal(source: Path, target: Path) -> str:
    """The sentence that refuses `source`; nothing is written then."""
    before = names(target.parent)
    with pytest.raises(VerificationError) as caught:
        externalize(source, target)
    assert names(target.parent) == before
    assert caught.value.what.startswith(f"{source.name} is damaged: ")
    return caught.value.what


def test_a_model_that_was_cut_is_refused(tiny_dir: Path, scratch: Path) -> None:
    """A copy that broke off shows, wherever it did, and leaves nothing behind."""
    model = (tiny_dir / "model.onnx").read_bytes()
    for cut in {*range(64), *range(0, len(model), 1999), *range(len(model) - 64, len(model))}:
        (scratch / "cut.onnx").write_bytes(model[:cut])
        refusal(scratch / "cut.onnx", scratch / "target.onnx")


def nested(levels: int) -> bytes:
    """A graph in a node's attribute, in a graph in a node's attribute, and so on."""
    value = b""
    for _ in range(levels):
        value = field(1, field(5, field(6, value)))
    return value


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        pytest.param(field(1, b"\x2a\x7f"), "cut off or not one", id="node-cut"),
        pytest.param(field(1, field(5, b"\x2a\x05\x01")), "cut off or not one", id="attribute-cut"),
        pytest.param(field(5, b"\x4a\x7f"), "cut off or not one", id="raw-data-cut"),
        pytest.param(field(5, b"\x70" + b"\xff" * 10), "over 64 bits", id="endless-location"),
        pytest.param(nested(1200), "recursion", id="nested-without-end"),
    ],
)
def test_damage_inside_the_graph_is_refused(tmp_path: Path, graph: bytes, reason: str) -> None:
    """What stands deeper than `whole.check` goes must be sound as well."""
    large = onnx.ModelProto()
    large.graph.initializer.append(raw("large", 5000))
    large.opset_import.add(version=20)
    (tmp_path / "model.onnx").write_bytes(large.SerializeToString() + field(7, graph))
    assert reason in refusal(tmp_path / "model.onnx", tmp_path / "target.onnx")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(b"", "no whole ONNX model", id="empty"),
        pytest.param(b"<html>404</html>", "protobuf", id="html"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "Git-LFS", id="lfs-pointer"),
        pytest.param(bytes(100_000), "zeros", id="zeros"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, source: bytes, reason: str) -> None:
    """It is told as what it is, as everywhere else."""
    (tmp_path / "model.onnx").write_bytes(source)
    assert reason in refusal(tmp_path / "model.onnx", tmp_path / "target.onnx")


@given(st.data())
@on_disk
def test_no_flipped_bytes_crash_it(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """A model with other bytes anywhere is rewritten, left alone or refused; never half written."""
    model = small_model(raw("large", 2000), typed("typed", 8)).SerializeToString()
    at = data.draw(st.integers(0, len(model) - 1))
    flipped = model[:at] + data.draw(st.binary(min_size=1, max_size=8)) + model[at + 1 :]
    directory = tmp_path_factory.mktemp("flipped")
    (directory / "model.onnx").write_bytes(flipped)
    done = False
    with suppress(VerificationError):
        done = externalize(directory / "model.onnx", directory / "new.onnx")
    beside = ["new.onnx", "new.onnx.data"] if done else []
    assert names(directory) == ["model.onnx", *beside]
    shutil.rmtree(directory)


@pytest.mark.parametrize("after", [0, 1, 8])
@pytest.mark.parametrize(
    ("code", "expected"),
    [(errno.ENOSPC, NoSpaceError), (errno.EDQUOT, NoSpaceError), (errno.EIO, ConfigError)],
)
def test_a_volume_that_takes_no_more_keeps_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, code: int, expected: type
) -> None:
    """A full or broken disk is told as one, and the older target stays whole."""
    write_tiny(tmp_path)
    old = tmp_path / "old"
    old.mkdir()
    assert externalize(tmp_path / "model.onnx", old / "model.onnx")
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    left, real = [after], os.write

    def write(descriptor: int, block: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(code, os.strerror(code))
        return real(descriptor, block)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(expected, match=r"model\.onnx"):
        externalize(tmp_path / "model.onnx", old / "model.onnx")
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before


def test_a_write_may_take_less_than_it_was_given(
    tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system writes part of a block, the rest follows."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, block: real(fd, block[:1000]))
    assert externalize(tiny_dir / "model.onnx", tmp_path / "model.onnx")
    before = onnx.load(tiny_dir / "model.onnx")
    assert content(onnx.load(tmp_path / "model.onnx")) == content(before)


def test_a_source_that_shrinks_is_refused(
    tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cuts the source while it is read gets no half model."""
    source, real = tmp_path / "source.onnx", os.write
    shutil.copyfile(tiny_dir / "model.onnx", source)

    def write(descriptor: int, block: bytes) -> int:
        os.truncate(source, 20_000)
        return real(descriptor, block)

    monkeypatch.setattr(os, "write", write)
    assert "became shorter" in refusal(source, tmp_path / "model.onnx")


def test_a_directory_that_is_not_there_is_no_target(tiny_dir: Path, tmp_path: Path) -> None:
    """Where nothing can be written, that is said."""
    with pytest.raises(ConfigError, match=r"model\.onnx"):
        externalize(tiny_dir / "model.onnx", tmp_path / "none" / "model.onnx")


def test_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A missing source is not a damaged one."""
    with pytest.raises(FileNotFoundError):
        externalize(tmp_path / "none.onnx", tmp_path / "model.onnx")
