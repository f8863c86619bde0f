"""Is a file whole? What its format alone can say."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import VerificationError
from agent.models.formats import whole as structure
from agent.models.formats.safetensors import safetensors_header
from tests.support.models import write_tiny

if TYPE_CHECKING:
    from pathlib import Path

LFS = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db\nsize 90868376\n"
)
on_disk = settings(deadline=None, max_examples=60)


@pytest.fixture(scope="module")
def external_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with its weights in `model.onnx.data`."""
    directory = tmp_path_factory.mktemp("external")
    write_tiny(directory, weights="external")
    return directory


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose files are written anew by each example of a test."""
    return tmp_path_factory.mktemp("scratch")


def refusal(path: Path) -> str:
    """The sentence that refuses the file; it is one line, and blames the release."""
    with pytest.raises(VerificationError) as caught:
        structure.check(path, "fastembed/x/" + path.name)
    error = caught.value
    assert error.blames_release
    assert error.what.startswith(f"fastembed/x/{path.name} is damaged: ")
    assert len(str(error).splitlines()) == 1
    return error.what


def check_whole_or_refused(path: Path) -> None:
    """Being refused is the only error."""
    with suppress(VerificationError):
        structure.check(path, path.name)


def safetensors(header: object, body: bytes = b"") -> bytes:
    """A safetensors file with this header, whatever it is."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + body


def tensor(start: object, end: object) -> dict[str, object]:
    """What a header says of one tensor."""
    return {"dtype": "U8", "shape": [0], "data_offsets": [start, end]}


def graph_span(model: bytes) -> tuple[int, int]:
    """Where the graph's bytes start and end in an ONNX file."""
    encoded = onnx.load_model_from_string(model).graph.SerializeToString()
    start = model.index(encoded)
    return start, start + len(encoded)


@pytest.mark.parametrize("weights", ["inline", "external"])
def test_a_whole_model_is_whole(tiny_dir: Path, external_dir: Path, weights: str) -> None:
    """Every file of a good model passes, with its weights inside or beside it."""
    directory = tiny_dir if weights == "inline" else external_dir
    names = [path.name for path in directory.iterdir()]
    assert "model.onnx" in names
    for name in names:
        structure.check(directory / name, name)


def test_a_model_cut_anywhere_in_its_graph_is_damaged(tiny_dir: Path, scratch: Path) -> None:
    """A copy that broke off shows, wherever it did, and whatever it was a copy of."""
    model = (tiny_dir / "model.onnx").read_bytes()
    start, end = graph_span(model)
    cuts = {*range(start + 64), *range(end - 64, end), *range(0, end, 997)}
    for cut in cuts:
        (scratch / "cut.onnx").write_bytes(model[:cut])
        refusal(scratch / "cut.onnx")


def test_a_model_whose_weights_are_beside_it_cut_anywhere_is_damaged(
    external_dir: Path, scratch: Path
) -> None:
    """A small file of the graph alone is no less checked."""
    shutil.copyfile(external_dir / "model.onnx.data", scratch / "model.onnx.data")
    model = (external_dir / "model.onnx").read_bytes()
    for cut in range(0, graph_span(model)[1], 31):
        (scratch / "cut.onnx").write_bytes(model[:cut])
        refusal(scratch / "cut.onnx")


@pytest.mark.parametrize("zeros", [64 * 1024, 64 * 1024 + 1, 100_000, None])
def test_a_model_whose_end_is_zeros_is_damaged(
    tiny_dir: Path, tmp_path: Path, zeros: int | None
) -> None:
    """An upload that broke off leaves a file of full size whose end is zeros."""
    model = (tiny_dir / "model.onnx").read_bytes()
    count = len(model) if zeros is None else zeros
    (tmp_path / "model.onnx").write_bytes(model[: len(model) - count] + bytes(count))
    assert "last 65536 bytes are zeros" in refusal(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["model.onnx", "a.bin", "vocab.txt", "main", "x.safetensors"])
@pytest.mark.parametrize("size", [1, 512, 65536, 65537])
def test_a_file_of_zeros_is_damaged_whatever_it_is(tmp_path: Path, name: str, size: int) -> None:
    """A file that was made but never written is not taken for one."""
    (tmp_path / name).write_bytes(bytes(size))
    assert f"last {min(size, 65536)} bytes are zeros" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("last_range", "zeros", "whole"),
    [
        pytest.param(5000, 5000, False, id="last-range-lost"),
        pytest.param(5000, 4999, True, id="last-range-there"),
        pytest.param(4096, 4096, False, id="short-range-lost"),
        pytest.param(100, 100, True, id="too-short-to-tell"),
        pytest.param(100, 65536, False, id="more-than-a-short-range-lost"),
        pytest.param(65536, 65536, False, id="a-whole-tail-lost"),
        pytest.param(70_000, 65535, True, id="part-of-a-tail"),
        pytest.param(0, 65536, False, id="no-last-range"),
    ],
)
def test_an_upload_that_broke_off_in_its_last_range_is_damaged(
    tmp_path: Path, last_range: int, zeros: int, whole: bool
) -> None:
    """Azure Files is written in ranges of 4 MiB; the last of them may be short."""
    size = 4 * 1024 * 1024 + last_range
    (tmp_path / "weights").write_bytes(b"\x01" * (size - zeros) + bytes(zeros))
    if whole:
        structure.check(tmp_path / "weights", "weights")
    else:
        assert f"last {zeros} bytes are zeros" in refusal(tmp_path / "weights")


def test_zeros_before_the_end_are_data(tmp_path: Path) -> None:
    """Only the end tells: weights may well hold long runs of zeros."""
    (tmp_path / "weights").write_bytes(bytes(100_000) + b"\x01" + bytes(65535))
    structure.check(tmp_path / "weights", "weights")


RANGE = 4 * 1024 * 1024


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_range_that_was_never_written_is_a_hole(at: int, tmp_path: Path) -> None:
    """An upload that lost one of its ranges has zeros there; what has a digest may have them."""
    data = bytearray(b"\x01" * (3 * RANGE + 7))
    data[at * RANGE : (at + 1) * RANGE] = bytes(RANGE)
    (tmp_path / "weights").write_bytes(data)
    assert f"the {RANGE} bytes from {at * RANGE} on are zeros" in refusal(tmp_path / "weights")
    structure.check(tmp_path / "weights", "weights", digested=True)


@pytest.mark.parametrize("one", [0, 4095, 4096, RANGE - 1])
def test_a_range_with_anything_in_it_is_none(one: int, tmp_path: Path) -> None:
    """Neither is a range of zeros that does not lie where an upload's ranges lie."""
    data = bytearray(b"\x01" * (3 * RANGE))
    data[RANGE : 2 * RANGE] = bytes(RANGE)
    data[RANGE + one] = 1
    (tmp_path / "weights").write_bytes(data)
    structure.check(tmp_path / "weights", "weights")
    (tmp_path / "weights").write_bytes(b"\x01" * 512 + bytes(RANGE) + b"\x01" * RANGE)
    structure.check(tmp_path / "weights", "weights")


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors", "tokenizer.json", "vocab.txt"])
def test_a_git_lfs_pointer_is_no_file(tmp_path: Path, name: str) -> None:
    """A clone without LFS is told as what it is."""
    (tmp_path / name).write_bytes(LFS)
    assert "Git-LFS pointer" in refusal(tmp_path / name)


def test_external_data_must_lie_beside_the_model(external_dir: Path, tmp_path: Path) -> None:
    """A model whose weights were left behind is not whole; the missing file is named."""
    shutil.copyfile(external_dir / "model.onnx", tmp_path / "model.onnx")
    for directory in (False, True):
        if directory:
            (tmp_path / "model.onnx.data").mkdir()
        with pytest.raises(VerificationError, match="has its weights in 'model") as caught:
            structure.check(tmp_path / "model.onnx", "model.onnx")
        assert "Put that file into the same directory" in caught.value.remedy


@pytest.mark.parametrize("kept", [0.0, 0.5, -1])
def test_external_data_must_be_long_enough(external_dir: Path, tmp_path: Path, kept: float) -> None:
    """Weights that were cut show in the model that needs them."""
    shutil.copyfile(external_dir / "model.onnx", tmp_path / "model.onnx")
    data = (external_dir / "model.onnx.data").read_bytes()
    count = len(data) - 1 if kept < 0 else int(len(data) * kept)
    (tmp_path / "model.onnx.data").write_bytes(data[:count])
    assert f"model.onnx.data has {count} bytes" in refusal(tmp_path / "model.onnx")


def moved(directory: Path, target: Path, **entries: str) -> Path:
    """A copy of the model whose first external tensor has other entries, or lacks the empty."""
    model = onnx.load_model(directory / "model.onnx", load_external_data=False)
    first = next(each for each in model.graph.initializer if each.external_data)
    for entry in list(first.external_data):
        entry.value = entries.get(entry.key, entry.value)
        if not entry.value:
            first.external_data.remove(entry)
    target.write_bytes(model.SerializeToString())
    return target


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"location": ""}, "which is not beside it"),
        ({"location": "../model.onnx.data"}, "'../model.onnx.data', which is not beside it"),
        ({"location": "/etc/passwd"}, "which is not beside it"),
        ({"location": "."}, "which is not beside it"),
        ({"location": ".."}, "which is not beside it"),
        ({"location": "\ufffd" * 100}, "which is not beside it"),
        ({"offset": "999999999"}, "are needed"),
        ({"length": "999999999"}, "are needed"),
        ({"length": "many"}, "many"),
    ],
    ids=lambda each: "-".join(*each.items()) if isinstance(each, dict) else "",
)
def test_external_data_elsewhere_or_of_another_size_is_refused(
    external_dir: Path, tmp_path: Path, entries: dict[str, str], reason: str
) -> None:
    """A model reads nothing but the file beside it, and no more than that has."""
    shutil.copyfile(external_dir / "model.onnx.data", tmp_path / "model.onnx.data")
    assert reason in refusal(moved(external_dir, tmp_path / "model.onnx", **entries))


def test_the_place_in_external_data_may_be_left_out(external_dir: Path, tmp_path: Path) -> None:
    """By ONNX's rule it starts at the file's beginning, and goes on to its end."""
    shutil.copyfile(external_dir / "model.onnx.data", tmp_path / "model.onnx.data")
    path = moved(external_dir, tmp_path / "model.onnx", offset="", length="", checksum="")
    structure.check(path, path.name)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        pytest.param(b"", "no whole ONNX model", id="empty"),
        pytest.param(b"\x08\x09", "no whole ONNX model", id="version-only"),
        pytest.param(b"\x3a\x05\x00", "cut off or not one", id="graph-too-long"),
        pytest.param(b"\x80", "cut off", id="half-a-key"),
        pytest.param(b"\x08\x80", "cut off", id="half-a-number"),
        pytest.param(b"\x08" + b"\xff" * 10, "over 64 bits", id="endless-number"),
        pytest.param(b"\x02\x00", "not one at all", id="field-number-zero"),
        pytest.param(b"\x0b", "not one at all", id="group"),
        pytest.param(b"\x0e", "not one at all", id="unknown-wire-type"),
        pytest.param(b"\x09" + b"\x01" * 7, "cut off", id="short-fixed64"),
        pytest.param(b"\x0d" + b"\x01" * 3, "cut off", id="short-fixed32"),
        pytest.param(b"<html>404</html>", "protobuf", id="html"),
    ],
)
def test_what_is_no_onnx_is_refused(tmp_path: Path, model: bytes, reason: str) -> None:
    """Bytes that are no protobuf, or one without a graph, are refused with the reason."""
    (tmp_path / "model.onnx").write_bytes(model)
    assert reason in refusal(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b"\x08\x09", id="varint"),
        pytest.param(b"\x08" + b"\xff" * 9 + b"\x01", id="64-bit-varint"),
        pytest.param(b"\x09" + b"\x01" * 8, id="fixed64"),
        pytest.param(b"\x0d" + b"\x01" * 4, id="fixed32"),
        pytest.param(b"\x12\x01x", id="bytes"),
    ],
)
def test_fields_of_every_kind_are_passed_over(tmp_path: Path, before: bytes) -> None:
    """What a later version of ONNX adds beside the graph does no harm."""
    (tmp_path / "model.onnx").write_bytes(before + b"\x3a\x00" + b"\x42\x02\x10\x15")
    structure.check(tmp_path / "model.onnx", "model.onnx")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "does not fit", id="empty"),
        pytest.param(b"\x01\x02\x03", "does not fit", id="cut-in-the-length"),
        pytest.param(bytes(7) + b"\x01", "does not fit", id="length-only"),
        pytest.param(bytes(8) + b"{}", "does not fit", id="no-header"),
        pytest.param((3).to_bytes(8, "little") + b"{}", "does not fit", id="header-cut"),
        pytest.param(b"\xff" * 8 + b"{}", "does not fit", id="huge-header"),
        pytest.param(safetensors(b"{"), "", id="broken-json"),
        pytest.param(safetensors(b"\xff\xfe\xff"), "", id="not-utf-8"),
        pytest.param(safetensors([]), "not an object", id="list"),
        pytest.param(safetensors({}), "lists no tensors", id="no-tensors"),
        pytest.param(safetensors({"__metadata__": {}}), "lists no tensors", id="metadata-only"),
        pytest.param(safetensors({"a": 1}), "lists no tensors", id="number-for-a-tensor"),
        pytest.param(safetensors({"a": {}}), "lists no tensors", id="no-offsets"),
        pytest.param(safetensors({"a": {"data_offsets": [0]}}), "lists no", id="one-offset"),
        pytest.param(safetensors({"a": tensor(0, "x")}), "lists no tensors", id="word-for-offset"),
        pytest.param(safetensors({"a": tensor(0, 4)}, b"abc"), "tensors need", id="data-cut"),
        pytest.param(safetensors({"a": tensor(0, 2)}, b"abc"), "tensors need", id="data-over"),
        pytest.param(
            safetensors({"a": tensor(2, 4), "b": tensor(0, 2)}, b"abc"),
            "tensors need",
            id="order-of-names",
        ),
    ],
)
def test_broken_safetensors_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """The header must be one, and its tensors must fill the file exactly."""
    (tmp_path / "model.safetensors").write_bytes(content)
    assert reason in refusal(tmp_path / "model.safetensors")


def test_a_safetensors_header_is_given_without_its_metadata(tmp_path: Path) -> None:
    """What a checker of shapes asks for is there by name."""
    header = {"__metadata__": {"format": "pt"}, "b": tensor(2, 3), "a": tensor(0, 2)}
    (tmp_path / "model").write_bytes(safetensors(header, b"abc"))
    with (tmp_path / "model").open("rb") as file:
        found = safetensors_header(file)
    assert found == {"b": tensor(2, 3), "a": tensor(0, 2)}


def test_safetensors_cut_anywhere_are_damaged(scratch: Path) -> None:
    """A copy that broke off, or holds more than it should, shows at every length."""
    content = safetensors({"a": tensor(0, 30), "b": tensor(30, 40)}, b"0123456789" * 4)
    path = scratch / "cut.safetensors"
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        refusal(path)
    path.write_bytes(content)
    structure.check(path, path.name)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        pytest.param("tokenizer.json", b"{}", "no tokenizer", id="object-without-a-model"),
        pytest.param("tokenizer.json", b'["model"]', "no tokenizer", id="list"),
        pytest.param("modules.json", b"[]", "no list of modules", id="no-modules"),
        pytest.param("modules.json", b'[{"path": "../a", "type": "b"}]', "no directory", id="out"),
        pytest.param("1_Pooling/config.json", b"[]", "no object", id="config-that-is-a-list"),
        pytest.param("vocab.txt", b"\xe4", "utf-8", id="words-in-latin-1"),
        pytest.param("fastembed/english.txt", b"\xe4", "utf-8", id="stop-words-in-latin-1"),
        pytest.param("a.index.json", b"{}", "no weight_map", id="no-shards"),
        pytest.param("tokenizer.json", b'"model"', "no tokenizer", id="text"),
        pytest.param("tokenizer.json", b"", "", id="empty-tokenizer"),
        pytest.param("tokenizer.json", b'{"model": {', "", id="cut-tokenizer"),
        pytest.param("config.json", b"", "", id="empty"),
        pytest.param("config.json", b"<html>", "", id="html"),
        pytest.param("config.json", b"\xff\xff{}", "", id="not-utf-8"),
        pytest.param("config.json", "{}".encode("utf-16-le"), "", id="utf-16-without-mark"),
        pytest.param("config.json", "{}".encode("utf-32-le"), "", id="utf-32-without-mark"),
        pytest.param("config.json", b"\xef\xbb\xbf{}", "begins with a byte order mark", id="bom"),
        pytest.param("config.json", "{}".encode("utf-16"), "byte order mark", id="utf-16"),
        pytest.param(
            "tokenizer.json", "{}".encode("utf-16"), "byte order mark", id="tokenizer-utf-16"
        ),
        pytest.param("config.json", b"{}{}", "", id="two-objects"),
    ],
)
def test_broken_json_is_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    """A cut JSON file, or a tokenizer that is none, would only fail in the worker."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    assert reason in refusal(tmp_path / name)


def test_what_to_do_about_a_byte_order_mark(tmp_path: Path) -> None:
    """Another copy of the file has it too."""
    (tmp_path / "config.json").write_bytes(b"\xef\xbb\xbf{}")
    with pytest.raises(VerificationError) as caught:
        structure.check(tmp_path / "config.json", "config.json")
    assert caught.value.remedy == "Save it as UTF-8 without BOM."


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"{}"),
        ("modules.json", b'[{"path": "", "type": "a.Transformer"}]'),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "model-1.safetensors"}}'),
        ("empty.safetensors", safetensors({"a": tensor(0, 0)})),
        ("tokenizer.json", b'{"model": {"vocab": {}}}'),
        ("vocab.txt", b"{"),
        ("license.txt", b"\xe4"),
        ("main", b""),
        ("weights.onnx.data", b"\xff"),
        ("pytorch_model.bin", b"PK"),
    ],
)
def test_only_what_a_format_says_is_checked(tmp_path: Path, name: str, content: bytes) -> None:
    """Other JSON may be anything, and other files hold what they hold."""
    (tmp_path / name).write_bytes(content)
    structure.check(tmp_path / name, name)


SUFFIXES = st.sampled_from([".onnx", ".safetensors", ".txt"])


@given(st.binary(max_size=200), SUFFIXES)
@on_disk
def test_no_bytes_crash_the_checker(scratch: Path, content: bytes, suffix: str) -> None:
    """Whatever lies there is whole or damaged."""
    path = scratch / f"any{suffix}"
    path.write_bytes(content)
    check_whole_or_refused(path)


@given(st.data())
@on_disk
def test_no_flipped_bytes_crash_the_checker(
    external_dir: Path, scratch: Path, data: st.DataObject
) -> None:
    """A model with other bytes anywhere is whole or damaged."""
    content = bytearray((external_dir / "model.onnx").read_bytes())
    at = data.draw(st.integers(0, len(content) - 8))
    content[at : at + 8] = data.draw(st.binary(min_size=1, max_size=8))
    (scratch / "flipped.onnx").write_bytes(content)
    check_whole_or_refused(scratch / "flipped.onnx")


def test_a_link_that_a_mount_shows_as_a_file(tmp_path: Path) -> None:
    """Links that a client wrote with mfsymlinks are files of one size over REST and elsewhere."""
    target = "../../blobs/0123456789abcdef"
    text = f"XSym\n{len(target):04d}\n{'0' * 32}\n{target}\n"
    (tmp_path / "model.onnx").write_text(text.ljust(1067))
    with pytest.raises(VerificationError) as caught:
        structure.check(tmp_path / "model.onnx", "model.onnx")
    assert "is a link" in caught.value.what
    assert "links resolved" in caught.value.remedy
