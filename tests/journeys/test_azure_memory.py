"""Memory over REST: a release of true size does not have to fit into a pod's memory."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import agents, proc, sentences
from tests.support.certificates import make_certificate
from tests.support.rest import RestShare, rest_share

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB: Final = 1024 * 1024
LIMIT_BYTES: Final = 200 * MIB
WEIGHTS_BYTES: Final = 1_336_435_864  # as bge-large-en-v1.5 has them
TIMEOUT_SECONDS: Final = 300
CATALOG: Final = """\
version = "v1"
[[model]]
name = "Org/large"
loader = "sentence-transformers"
repo = "Org/large"
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * TIMEOUT_SECONDS)]


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A directory that is gone at once: pytest keeps those of several runs, and this has 5 GB."""
    with tempfile.TemporaryDirectory(prefix="model-agent-memory-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def published(room: Path) -> Iterator[tuple[RestShare, int]]:
    """A share over TLS with a release of 1.3 GB, and the peak of the process that published it."""
    certificate = make_certificate(room)
    with rest_share(room / "root", certificate=certificate) as share:
        share.disk.catalog.write_text(CATALOG)
        (room / "scratch").mkdir()
        tree = write_tree(room / "tree")
        env = share.env() | {"TMPDIR": str(room / "scratch")}
        yield share, peak("publish", "--from", tree, "--version", "v1", env=env)


def test_publishing(published: tuple[RestShare, int], capsys: pytest.CaptureFixture[str]) -> None:
    """Publishing 1.3 GB over TLS keeps the process below 200 MiB, read back and all."""
    _, reached = published
    report("publish", reached, capsys)
    assert reached < LIMIT_BYTES


def test_staging(
    published: tuple[RestShare, int], room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`init` stages 1.3 GB over TLS, every byte verified, below 200 MiB."""
    share, _ = published
    share.disk.mark("v1")
    store = room / "store"
    store.mkdir()
    reached = peak("init", "--no-warm", "--store", store, env=share.env())
    report("init", reached, capsys)
    assert (store / "current").readlink().name == "v1"
    assert reached < LIMIT_BYTES


def write_tree(directory: Path) -> Path:
    """A tree as operators make it, with weights of random bytes behind a true header.

    sentence-transformers is not installed here, so no process loads them: what is measured is the
    moving of bytes alone.
    """
    home = directory / "sentence_transformers" / "large"
    home.mkdir(parents=True)
    count = WEIGHTS_BYTES // 4
    (home / "config.json").write_text(json.dumps({"hidden_size": 1024, "vocab_size": 30522}))
    (home / "tokenizer.json").write_text(json.dumps({"model": {}}))
    sentences.write_modules(home)
    tensor = {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}
    header = json.dumps({"weight": tensor}).encode()
    with (home / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, 4 * count, MIB):
            file.write(os.urandom(min(MIB, 4 * count - start)))
    return directory


def peak(*args: str | Path, env: dict[str, str]) -> int:
    """Run `model-agent` with `args` to its good end: the most bytes it had resident.

    Its children, which load models and do not move bytes, are not counted.
    """
    seen = [0]
    with agents.start(*args, env=env) as process:
        watch = threading.Thread(target=_watch, args=(process.pid, seen))
        watch.start()
        done = agents.finish(process, timeout=TIMEOUT_SECONDS)
        watch.join()
    assert done.code == 0, done.sentence
    return seen[0]


def report(what: str, reached: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Show a peak, also where the test passes."""
    with capsys.disabled():
        print(f"\n{what}: {reached / MIB:.0f} MiB at most, {WEIGHTS_BYTES / MIB:.0f} MiB moved")


def _watch(pid: int, seen: list[int]) -> None:
    """Note the kernel's own high-water mark until the process ends.

    That of `getrusage` would not do: it begins with what the parent had when it forked.
    """
    while high := _high_water(pid):
        seen[0] = high
        time.sleep(0.01)


def _high_water(pid: int) -> int:
    try:
        return proc.memory("VmHWM", pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0
