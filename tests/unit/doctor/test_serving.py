"""The doctor's look at the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.doctor import serving
from tests.support.parts import Parts
from tests.support.scripted import scripted
from tests.unit.doctor.cases import case_of, seen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.doctor.case import Case
    from tests.support.scripted import ScriptedWorker

OTHER = {"version": "v2", "digest": "0" * 64}


@pytest.fixture
def worker() -> Iterator[ScriptedWorker]:
    """A worker that serves nothing yet."""
    with scripted(lambda _, __: 500) as running:
        yield running


@pytest.fixture
def case(worker: ScriptedWorker, tmp_path: Path) -> Case:
    """A case of that worker, whose store has v1 active."""
    Parts(tmp_path).hold("v1", active="v1")
    return case_of(tmp_path, reload_url=worker.url)


def serve(worker: ScriptedWorker, case: Case) -> None:
    """Have the worker serve the active release."""
    worker.serve("v1", case.store.manifest("v1").digest)


def test_it_serves_the_active_release(worker: ScriptedWorker, case: Case) -> None:
    """All is well, and nothing was asked of it but what it serves."""
    serve(worker, case)
    assert seen(serving.worker, case) == [("ok", "The worker serves v1, which is active.")]
    assert worker.asked == []


def test_it_is_not_up(tmp_path: Path) -> None:
    """A worker that has not started yet is a warning."""
    ((level, sentence),) = seen(serving.worker, case_of(tmp_path, reload_url="http://127.0.0.1:9"))
    assert (level, sentence) == ("warn", "No worker answers at http://127.0.0.1:9.")


def test_it_is_loading(worker: ScriptedWorker, case: Case) -> None:
    """A load that goes on is waited for."""
    serve(worker, case)
    worker.load(OTHER)
    assert seen(serving.worker, case) == [("warn", "The worker serves v1 and loads v2.")]


def test_it_failed(worker: ScriptedWorker, case: Case) -> None:
    """A load that failed is exit 8, with the worker's own reason."""
    serve(worker, case)
    worker.load(OTHER, state="failed", reason="no memory")
    (found,) = serving.worker(case)
    assert (found.level, found.exit_code) == ("fail", 8)
    assert found.seen == "The worker serves v1 and failed to load v2: no memory."


@pytest.mark.parametrize("digest", ["0" * 64, None], ids=["other bytes", "another release"])
def test_it_serves_something_else(digest: str | None, worker: ScriptedWorker, case: Case) -> None:
    """Another release, or other bytes under the same version, is a warning."""
    worker.serve("v1" if digest else "v2", digest or case.store.manifest("v1").digest)
    ((level, sentence),) = seen(serving.worker, case)
    assert (level, "and v1 is active in the store" in sentence) == ("warn", True)
