"""The 1.3 GB model is made a release inside 512 MiB, or it is said beforehand that it cannot."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import agents, models
from tests.support.groups import limited_group
from tests.support.hubs import HubPod, hub_pod
from tests.support.shares import REVISION

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.support.groups import Group

pytestmark = pytest.mark.slow

LIMIT: Final = 512 * 1024 * 1024
MIB: Final = 1024 * 1024
CATALOG: Final = f"""\
version = "v1"
[[model]]
name = "{models.BGE_LARGE}"
loader = "fastembed"
revision = "{REVISION}"
optimize = true
[[model]]
name = "{models.MINILM}"
loader = "sentence-transformers"
revision = "{REVISION}"
"""


@pytest.fixture
def group() -> Iterator[Group]:
    """A control group of 512 MiB."""
    with limited_group(LIMIT) as made:
        yield made


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubPod]:
    """A Hub that has bge-large in its true shape and size, weights inside, and the real MiniLM."""
    with hub_pod(tmp_path_factory.mktemp("limit")) as here:
        models.write_bge_large(here.root / "hub" / models.BGE_LARGE_REPO / REVISION)
        models.write_minilm_safetensors(here.root / "hub" / models.MINILM / REVISION)
        here.catalog.write_text(CATALOG)
        yield here
    shutil.rmtree(here.root)


@contextmanager
def limited(group: Group, here: HubPod, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Run `model-agent` in the group."""
    process = here.start(*args, prefix=group.prefix)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_optimised_in_512_mib(group: Group, here: HubPod) -> None:
    """Download, rewriting, hashing, the canary and the share's copy all fit; none is killed."""
    began, peak = time.monotonic(), 0
    with limited(group, here, "publish", str(here.catalog)) as process:
        while process.poll() is None:
            peak = max(peak, group.anonymous())
            time.sleep(0.02)
        done = agents.finish(process)
    seconds = time.monotonic() - began
    print(f"\npublish of 1.34 GB in 512 MiB: peak {peak // MIB} MiB of its own, {seconds:.0f} s")
    assert done.code == 0, done.sentence
    assert [model for model in here.share.manifest("v1").models if not model.canary] == []
    assert here.run("verify", "v1", "--on", "share").code == 0


def test_as_it_is_needs_more(group: Group, here: HubPod) -> None:
    """Weights inside the graph do not fit: it is said before they are loaded, and how to go on."""
    arguments = ("publish", str(here.catalog), "--no-optimize", "--version", "v2")
    with limited(group, here, *arguments) as process:
        done = agents.finish(process, timeout=300)
    assert done.code == 2, done.sentence
    assert "the limit here is 512 MiB" in done.sentence
    assert "--optimize" in done.sentence
    assert not here.share.release("v2").exists()
