"""Requests are answered together where that is quicker, and each from exactly one release."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agent.worker import Holder, NotServingError, from_request
from embeddings_worker.batching import Batcher, BusyError
from tests.support.stores import bare_release
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from agent.worker import Release

PATIENCE = 300.0


class Model:
    """Gives each text's length as its vector; a run waits while `gate` is closed."""

    def __init__(self, release: Release) -> None:
        self.version = release.version
        self.runs: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def embed(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """The vectors, unless a text is "poison"."""
        self.runs.append(list(texts))
        assert self.gate.wait(PATIENCE)
        if "poison" in texts:
            raise ValueError("poison")
        return [np.array([len(text)], np.float32) for text in texts]

    def count_tokens(self, texts: Sequence[str]) -> int:
        """One token a character."""
        return sum(map(len, texts))


@pytest.fixture
def holder(tmp_path: Path) -> Holder[Model]:
    """A holder that serves v1."""
    held = Holder(Model)
    reload(held, tmp_path, "v1")
    return held


@pytest.fixture
def batcher(holder: Holder[Model]) -> Iterator[Batcher]:
    """A batcher that runs up to four texts at a time."""
    yield from running(holder)


def running(holder: Holder[Model], **options: Any) -> Iterator[Batcher]:
    batcher = Batcher(holder, **{"max_batch": 4, "wait": 0.02, **options})
    batcher.start()
    yield batcher
    batcher.stop(timeout=PATIENCE)


def reload(holder: Holder[Model], store: Path, version: str) -> None:
    digest = bare_release(store, version).digest
    path = f"releases/{version}"
    holder.reload(from_request(store, version=version, path=path, digest=digest))
    until(lambda: holder.status().version == version)


def model_of(holder: Holder[Model]) -> Model:
    with holder.lease() as (model, _):
        return model


class Blocked:
    """A batcher that is kept busy until `go`."""

    def __init__(self, model: Model, batcher: Batcher) -> None:
        self._model = model
        model.gate.clear()
        self._first = batcher.submit(["first"])
        until(lambda: model.runs)

    def go(self) -> None:
        """Let the run end that keeps it busy."""
        self._model.gate.set()
        self._first.result(PATIENCE)

    @property
    def runs(self) -> list[list[str]]:
        """The runs that came after that one."""
        return self._model.runs[1:]


@pytest.fixture
def blocked(holder: Holder[Model], batcher: Batcher) -> Blocked:
    """The batcher, kept busy."""
    return Blocked(model_of(holder), batcher)


def test_an_answer_is_in_the_order_of_its_texts(batcher: Batcher) -> None:
    """Each text gets its own vector, with the tokens of the request and the release's name."""
    answer = batcher.submit(["aaa", "a", "aa"]).result(PATIENCE)
    assert [float(vector[0]) for vector in answer.vectors] == [3, 1, 2]
    assert (answer.tokens, answer.version) == (6, "v1")


def test_what_waits_is_run_together(blocked: Blocked, batcher: Batcher) -> None:
    """Requests that came during a run are one run, and each gets its own part of it."""
    futures = [batcher.submit(texts) for texts in (["a"], ["bb", "ccc"], ["dddd"])]
    blocked.go()
    lengths = [[float(v[0]) for v in f.result(PATIENCE).vectors] for f in futures]
    assert lengths == [[1], [2, 3], [4]]
    assert blocked.runs == [["a", "bb", "ccc", "dddd"]]


def test_a_request_that_does_not_fit_is_next(blocked: Blocked, batcher: Batcher) -> None:
    """A run holds whole requests: what would make it too large waits, in its order."""
    futures = [batcher.submit(texts) for texts in (["a", "b"], ["c", "d", "e"], ["f"])]
    blocked.go()
    for future in futures:
        future.result(PATIENCE)
    assert blocked.runs == [["a", "b"], ["c", "d", "e", "f"]]


def test_a_request_larger_than_a_batch_has_one_release(
    blocked: Blocked, batcher: Batcher, holder: Holder[Model], tmp_path: Path
) -> None:
    """All texts of one request are given to one model, and the answer names its release."""
    large = batcher.submit([str(n) for n in range(11)])
    reload(holder, tmp_path, "v2")
    blocked.go()
    answer = large.result(PATIENCE)
    assert (len(answer.vectors), answer.version) == (11, "v2")
    assert [len(run) for run in model_of(holder).runs] == [11]


def test_one_bad_text_fails_only_its_own_request(blocked: Blocked, batcher: Batcher) -> None:
    """When a run fails, its requests are run one by one."""
    good, bad, other = (batcher.submit([text]) for text in ("good", "poison", "other"))
    blocked.go()
    with pytest.raises(ValueError, match="poison"):
        bad.result(PATIENCE)
    assert good.result(PATIENCE).tokens == 4
    assert other.result(PATIENCE).tokens == 5


def test_a_request_whose_client_has_gone_is_not_run(blocked: Blocked, batcher: Batcher) -> None:
    """A cancelled request costs nothing and harms nobody."""
    gone, here = batcher.submit(["gone"]), batcher.submit(["here"])
    assert gone.cancel()
    blocked.go()
    here.result(PATIENCE)
    assert blocked.runs == [["here"]]


def test_without_a_model_the_request_is_told_so() -> None:
    """A request before the first model fails with the holder's reason."""
    for batcher in running(Holder(Model)):
        with pytest.raises(NotServingError):
            batcher.submit(["a"]).result(PATIENCE)


def test_too_much_at_once_is_turned_away(holder: Holder[Model]) -> None:
    """Memory for waiting texts is bounded, and what waits already is still answered."""
    model = model_of(holder)
    for batcher in running(holder, max_waiting=3):
        model.gate.clear()
        running_now = batcher.submit(["a"])
        until(lambda: model.runs)
        waiting = batcher.submit(["b", "c"])
        with pytest.raises(BusyError):
            batcher.submit(["d", "e"])
        model.gate.set()
        assert running_now.result(PATIENCE).tokens == 1
        assert waiting.result(PATIENCE).tokens == 2
        assert batcher.submit(["d"] * 9).result(PATIENCE).tokens == 9


def test_stopping_answers_what_waits(blocked: Blocked, batcher: Batcher) -> None:
    """Requests that were accepted before the stop are answered before the thread ends."""
    futures = [batcher.submit(["b"] * n) for n in (3, 3, 9, 1)]
    stopping = threading.Thread(target=batcher.stop, kwargs={"timeout": 2 * PATIENCE}, daemon=True)
    stopping.start()
    blocked.go()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    assert [future.result(0).tokens for future in futures] == [3, 3, 9, 1]


def test_an_old_model_is_not_kept_by_the_batcher(
    batcher: Batcher, holder: Holder[Model], tmp_path: Path
) -> None:
    """After a reload, and no request since, the old model is gone from memory."""
    old = weakref.ref(model_of(holder))
    batcher.submit(["a"]).result(PATIENCE)
    reload(holder, tmp_path, "v2")
    until(lambda: old() is None)


def test_a_run_holds_texts_of_similar_length() -> None:
    """A long text does not have every short one padded to its length."""
    from embeddings_worker.embedder import batches

    short, long = ["query"] * 5, ["a passage of a document " * 50] * 2
    texts = [short[0], long[0], *short[1:], long[1]]
    runs = list(batches(texts, 4))
    assert [[len(texts[i]) for i in run] for run in runs] == [[5] * 4, [5], [1200] * 2]
    assert sorted(index for run in runs for index in run) == list(range(7))
    assert list(batches([], 4)) == []
