"""Trees made by hand that hold what no tree should, adopted under a sidecar whose worker serves."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.faults.test_security_files import device, directory, fifo, link_in_a_circle, link_out
from tests.support import models
from tests.support.shares import REVISION
from tests.support.workers import until

if TYPE_CHECKING:
    from tests.faults.test_security_files import Put
    from tests.support.pods import Pod

_NAMES: Final = (
    *(b"new\nline.json", b"bell\x07.json", b"escape\x1b[31m.json", b"latin-\xe9.json"),
    *(b"..json", b"NUL", b'quote".json', b"back\\slash.json", b"dot.", b" "),
)


def tree(pod: Pod) -> Path:
    """Lay v3's model out by hand as `fastembed-v9`; give the directory of its files."""
    source = next(pod.share.release("v3").rglob("model.onnx")).parent
    root = pod.share.root / "fastembed-v9"
    return models.as_hub_cache(root, models.MINILM_REPO, REVISION, source)


def add_strangers(where: Path) -> None:
    """Put names there that no release may hold, and things that are no files."""
    for name in _NAMES:
        Path(os.fsdecode(os.fsencode(where) + b"/" + name)).write_bytes(b"stranger")
    os.mkfifo(where / "pipe.json")
    (where / "passwd.json").symlink_to("/etc/passwd")
    (where / "circle.json").symlink_to("circle.json")
    (where / "nowhere.md").symlink_to("nowhere")


@case("security", "adopted tree: file names with newlines, control characters, no UTF-8")
@case("security", "adopted tree: links out of the share, FIFOs and links in a circle beside files")
def test_strangers_in_a_tree(pod: Pod) -> None:
    """They are left out and never opened: the model's own files are adopted and served."""
    files = tree(pod)
    expected = {path.name for path in files.iterdir()}
    for where in (files, files.parents[1], pod.share.root, pod.share.root / "releases"):
        add_strangers(where)
    with serving(pod) as running:
        running.allowed.add("v9")
        running.mark("v9\n")
        running.settle("v9")
        adopted = next((pod.store / "releases" / "v9").rglob("model.onnx")).parent
        assert {path.name for path in adopted.iterdir()} == expected
        everything = (pod.store / "releases").rglob("*")
        assert not [path for path in everything if path.is_symlink() or path.is_fifo()]
        assert json.loads(pod.agent("status", "--json"))["store"]["active"] == "v9"
        assert "v9" in pod.agent("status")


def instead(name: str, put: Put, said: str) -> object:
    """Something in the place of the model's file, and what is said of it."""
    marks = case("security", f"adopted tree: {name} where the model should be")
    return pytest.param(put, said, id=name, marks=marks)


@pytest.mark.parametrize(
    ("put", "said"),
    [
        instead("link out of the share", link_out, "model.onnx is a link that leads nowhere here"),
        instead("link in a circle", link_in_a_circle, "model.onnx is a link that leads nowhere"),
        instead("FIFO", fifo, "model.onnx is not a regular file"),
        instead("device", device, "model.onnx is not a regular file"),
        instead("directory", directory, "model.onnx is not a regular file"),
    ],
)
def test_no_file_where_the_model_should_be(put: Put, said: str, pod: Pod) -> None:
    """The tree is not adopted, `/status` says why in one sentence, and it is once it is mended."""
    path = tree(pod) / "model.onnx"
    good = path.read_bytes()
    put(path)
    with serving(pod) as running:
        running.allowed.add("v9")
        running.mark("v9\n")
        until(lambda: said in (running.sidecar.status()["last_error"] or ""))
        until(lambda: running.sidecar.metric('model_agent_syncs_total{status="error"}') >= 1)
        running.assert_active("v1")
        assert pod.held() == {"v1"}
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_bytes(good)
        running.sidecar.look_now()
        running.settle("v9")
