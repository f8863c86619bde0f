"""Where memory holds one model only: the new one is refused, or takes the old one's place."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from agent.worker import Holder
from agent.worker.replacing import Gap
from tests.support.holding import PATIENCE, Loader, Model, open_release, serving, settle
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.worker import Release
    from agent.worker.replacing import Swap


@pytest.fixture
def release(tmp_path: Path) -> Callable[..., Release]:
    """Stages a release of a version, with the content that is given, and opens it."""
    return partial(open_release, tmp_path)


def crowded(loader: Loader, first: Release, swap: Swap = "replace") -> Holder[Model]:
    """A holder that serves `first` and whose memory holds one model."""
    holder = loader.holder(swap, crowded=True)
    holder.reload(first)
    settle(holder, first.version)
    return holder


class Waiting(threading.Thread):
    """A request that is sent now and answered some time."""

    def __init__(self, holder: Holder[Model]) -> None:
        super().__init__(daemon=True)
        self._holder = holder
        self.answer: str | None = "none yet"
        self.start()

    def run(self) -> None:
        """Wait for the answer."""
        self.answer = serving(self._holder)

    def wait(self) -> str | None:
        """The version that answered; None if none did."""
        self.join(PATIENCE)
        return self.answer


def test_beside_refuses_what_does_not_fit(release: Callable[..., Release]) -> None:
    """Nothing is loaded, v1 serves on, and the reason has the numbers and what to do."""
    loader = Loader()
    holder = crowded(loader, release("v1"), swap="beside")
    holder.reload(release("v2"))
    settle(holder, "v2", "failed")
    reason = str(holder.status().reason)
    assert "v2 needs 2 MiB and 1 MiB is free." in reason
    assert "--swap replace" in reason
    assert (loader.begun, serving(holder)) == (["v1"], "v1")


@pytest.mark.parametrize("swap", ["beside", "replace"])
def test_what_fits_is_loaded_beside(swap: Swap, release: Callable[..., Release]) -> None:
    """Where memory holds both there is no gap, whatever is said of one."""
    loader = Loader("v2")
    holder = loader.holder(swap)
    holder.reload(release("v1"))
    settle(holder, "v1")
    holder.reload(release("v2"))
    until(lambda: "v2" in loader.begun)
    assert serving(holder) == "v1"
    loader.let("v2")
    settle(holder, "v2")


def test_an_estimate_that_fails_keeps_nothing_out(release: Callable[..., Release]) -> None:
    """Memory that cannot be told is no reason to refuse a release."""

    def fits(_: Release) -> str | None:
        raise OSError("no /proc")

    loader = Loader()
    holder = Holder(loader.load, loader.check, fits=fits)
    for version in ("v1", "v2"):
        holder.reload(release(version))
        settle(holder, version)


def test_replace_frees_the_old_one_first(
    release: Callable[..., Release], caplog: pytest.LogCaptureFixture
) -> None:
    """One model at a time; requests wait in the gap, are answered by v2, and the gap is logged."""
    loader = Loader("v2")
    with caplog.at_level(logging.INFO, "agent.worker"):
        holder = crowded(loader, release("v1"))
        holder.reload(release("v2"))
        until(lambda: "v2" in loader.begun)
        status = holder.status()
        assert (status.version, status.state) == (None, "loading")
        assert (loader.closed, list(loader.models)) == (["v1"], [])
        waiting = Waiting(holder)
        loader.let("v2")
        assert waiting.wait() == "v2"
        until(lambda: "model.replaced version=v2 gap_seconds=" in caplog.text)
    assert loader.most_models == 1


def test_batches_end_before_the_old_one_goes(release: Callable[..., Release]) -> None:
    """A batch that runs on v1 ends on it; v2 is not loaded before."""
    loader = Loader()
    holder = crowded(loader, release("v1"))
    with holder.lease() as (model, _):
        holder.reload(release("v2"))
        until(lambda: holder.status().version is None)
        assert (model.version, loader.closed, loader.begun) == ("v1", [], ["v1"])
        del model
    settle(holder, "v2")


@pytest.mark.parametrize("how", ["load", "check"])
def test_a_failure_brings_the_old_one_back(how: str, release: Callable[..., Release]) -> None:
    """v1 is loaded again from its own release; the reason says so, and how long the gap was."""
    loader = Loader("v1")
    loader.let("v1")
    holder = crowded(loader, release("v1"))
    if how == "load":
        loader.faults["v2"] = ValueError("torn weights")
    else:
        loader.unfit.add("v2")
    holder.reload(release("v2"))
    until(lambda: loader.begun == ["v1", "v2", "v1"])
    waiting = Waiting(holder)
    loader.let("v1")
    assert waiting.wait() == "v1"
    settle(holder, "v2", "failed")
    status = holder.status()
    assert status.version == "v1"
    assert "v1 was loaded again; nothing answered for" in str(status.reason)
    assert ("torn weights" if how == "load" else "not fit") in str(status.reason)
    assert loader.most_models == 1


def test_when_nothing_loads_any_more(release: Callable[..., Release]) -> None:
    """Both reasons are said, requests are turned away and not kept; the next reload heals it."""
    loader = Loader("v2")
    holder = crowded(loader, release("v1"))
    holder.reload(release("v2"))
    until(lambda: "v2" in loader.begun)
    waiting = Waiting(holder)
    loader.faults |= {"v1": ValueError("gone"), "v2": ValueError("torn")}
    loader.let("v2")
    settle(holder, "v2", "failed")
    assert waiting.wait() is None
    reason = str(holder.status().reason)
    assert "v1: gone" in reason
    assert "v2: torn" in reason
    assert holder.status().version is None
    holder.reload(release("v3"))
    settle(holder, "v3")
    assert serving(holder) == "v3"


def test_a_newer_request_in_the_gap_wins(release: Callable[..., Release]) -> None:
    """v2 is dropped unchecked when v3 is wanted, and v1 is not loaded in between."""
    loader = Loader("v2")
    holder = crowded(loader, release("v1"))
    holder.reload(release("v2"))
    until(lambda: "v2" in loader.begun)
    holder.reload(release("v3"))
    waiting = Waiting(holder)
    loader.let("v2")
    settle(holder, "v3")
    assert waiting.wait() == "v3"
    assert loader.begun == ["v1", "v2", "v3"]
    assert "v2" not in loader.checked


def test_going_back_in_the_gap(release: Callable[..., Release]) -> None:
    """The old one, asked for again while it is gone, is loaded again."""
    loader = Loader("v2")
    holder = crowded(loader, first := release("v1"))
    holder.reload(release("v2"))
    until(lambda: "v2" in loader.begun)
    holder.reload(first)
    loader.let("v2")
    settle(holder, "v1")
    assert serving(holder) == "v1"
    assert holder.status().reason is None


def test_a_newer_request_that_fails_too(release: Callable[..., Release]) -> None:
    """v2 was overtaken by v3, v3 fails: v1 is back, and the failure is v3's."""
    loader = Loader("v2")
    loader.faults["v3"] = ValueError("torn")
    holder = crowded(loader, release("v1"))
    holder.reload(release("v2"))
    until(lambda: "v2" in loader.begun)
    holder.reload(release("v3"))
    loader.let("v2")
    settle(holder, "v3", "failed")
    assert holder.status().version == "v1"


def test_a_gap_is_not_nice(release: Callable[..., Release]) -> None:
    """While nothing serves, the load has nothing to yield to."""
    nices: list[int] = []

    def load(release: Release) -> Model:
        nices.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return Model(release)

    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    holder = Holder(load, swap="replace", fits=lambda _: "It does not fit.")
    for version in ("v1", "v2", "v3"):
        holder.reload(release(version))
        settle(holder, version)
    assert nices == [own] * 3


def test_going_back_while_room_is_estimated(release: Callable[..., Release]) -> None:
    """v1, asked for again before it was taken out of service, stays: no gap for nothing."""
    loader, asked = Loader(), threading.Event()

    def misfit(_: Release) -> str:
        holder.reload(release("v1"))
        asked.set()
        return "There is no room."

    holder = Holder(loader.load, loader.check, close=loader.close, swap="replace", fits=misfit)
    holder.reload(release("v1"))
    settle(holder, "v1")
    holder.reload(release("v2"))
    assert asked.wait(PATIENCE)
    until(lambda: all(thread.name != "model-loader" for thread in threading.enumerate()))
    assert (serving(holder), holder.status().state) == ("v1", "ready")
    assert (loader.begun, loader.closed) == (["v1"], [])


def test_going_back_while_the_last_batch_ends(release: Callable[..., Release]) -> None:
    """v1, asked for again before it is closed, serves on and is not loaded again."""
    loader = Loader()
    holder = crowded(loader, release("v1"))
    with holder.lease():
        holder.reload(release("v2"))
        until(lambda: holder.status().version is None)
        holder.reload(release("v1"))
    settle(holder, "v1")
    assert (serving(holder), loader.begun, loader.closed) == ("v1", ["v1"], [])


def test_a_gap_that_breaks_is_over(
    release: Callable[..., Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens to the loader in a gap, no request waits for ever, and a reload heals it."""
    holder = crowded(Loader(), release("v1"))
    with monkeypatch.context() as patch:
        patch.setattr(Gap, "next", lambda *_: 1 / 0)
        with holder.lease():
            holder.reload(release("v2"))
            until(lambda: holder.status().version is None)
            request = Waiting(holder)
        assert request.wait() is None
        settle(holder, "v2", "failed")
    holder.reload(release("v2"))
    settle(holder, "v2")


@pytest.mark.slow
def test_under_a_storm_no_request_is_lost(release: Callable[..., Release]) -> None:
    """With reloads at random, one of which always fails, every request is answered by one model."""
    loader = Loader()
    loader.unfit.add("v4")
    versions = ["v1", "v2", "v3", "v4"]
    releases = {version: release(version) for version in versions}
    holder = crowded(loader, releases["v1"])
    stop = threading.Event()
    answers: list[str | None] = []

    def request() -> None:
        while not stop.is_set():
            answers.append(serving(holder))

    threads = [threading.Thread(target=request, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    choose = random.Random(7)
    for _ in range(60):
        holder.reload(releases[choose.choice(versions)])
        time.sleep(choose.random() / 200)  # not to win a race: to make many of them
    holder.reload(releases["v3"])
    settle(holder, "v3")
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert set(answers) <= {"v1", "v2", "v3"}
    assert loader.most_loads == 1
    assert loader.most_models == 1
