"""A model is replaced without a request failing, whatever order things happen in."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
import weakref
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING

import pytest

from agent.worker import Holder, NotServingError
from agent.worker import loader as loading
from tests.support.holding import Loader, Model, open_release, serving, settle, started
from tests.support.stores import activate, bare_release
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.worker import Release


@pytest.fixture
def release(tmp_path: Path) -> Callable[..., Release]:
    """Stages a release of a version, with the content that is given, and opens it."""
    return partial(open_release, tmp_path)


def test_at_start_current_is_loaded(tmp_path: Path) -> None:
    """A worker serves what `current` names when it starts."""
    bare_release(tmp_path, "v1")
    activate(tmp_path, "v1")
    holder = Loader().holder()
    holder.follow(tmp_path)
    settle(holder, "v1")
    assert serving(holder) == "v1"


def test_without_current_it_stays_up_and_takes_a_reload(
    tmp_path: Path, release: Callable[..., Release]
) -> None:
    """No `current` is a failed state with a reason and no target; a reload ends it."""
    holder = Loader().holder()
    holder.follow(tmp_path)
    status = holder.status()
    assert (status.version, status.state, status.target) == (None, "failed", None)
    assert status.reason
    with pytest.raises(NotServingError, match="current"), holder.lease():
        pass
    holder.reload(release("v1"))
    settle(holder, "v1")
    assert holder.status().reason is None


def test_a_lost_current_does_not_stop_what_serves(
    tmp_path: Path, release: Callable[..., Release]
) -> None:
    """When `current` is read again and is broken, the state says so and the model serves on."""
    holder = started(Loader(), release("v1"))
    holder.follow(tmp_path)
    assert holder.status().state == "failed"
    assert serving(holder) == "v1"
    holder.reload(release("v1"))
    assert holder.status().state == "ready"


def test_the_old_model_serves_while_the_new_one_loads(release: Callable[..., Release]) -> None:
    """A load is beside, not instead: state and target speak of the new, version of the old."""
    loader = Loader("v2")
    holder = started(loader, release("v1"))
    holder.reload(release("v2"))
    until(lambda: "v2" in loader.begun)
    status = holder.status()
    assert (status.version, status.state) == ("v1", "loading")
    assert status.target == release("v2").target
    assert serving(holder) == "v1"
    loader.let("v2")
    settle(holder, "v2")
    assert serving(holder) == "v2"


def test_before_the_first_model_there_is_nothing_to_lease(
    release: Callable[..., Release],
) -> None:
    """A lease before the first model is loaded says that it is loading."""
    loader = Loader("v1")
    holder = loader.holder()
    holder.reload(release("v1"))
    with pytest.raises(NotServingError, match="loading"), holder.lease():
        pass
    loader.let("v1")
    settle(holder, "v1")


def test_a_batch_ends_on_the_model_it_began_on(release: Callable[..., Release]) -> None:
    """The old model is closed and freed after its last batch, not before."""
    loader = Loader()
    holder = started(loader, release("v1"))
    old = weakref.ref(next(iter(loader.models)))
    with holder.lease() as (model, pinned):
        holder.reload(release("v2"))
        settle(holder, "v2")
        assert serving(holder) == "v2"
        assert (model.version, pinned.version) == ("v1", "v1")
        assert loader.closed == []
        del model
    until(lambda: old() is None)
    assert loader.closed == ["v1"]


def test_a_failed_load_keeps_the_old_model(release: Callable[..., Release]) -> None:
    """A load that raises changes nothing but the state, whose reason is one line."""
    loader = Loader()
    loader.faults["v2"] = RuntimeError("bad\n  bytes")
    holder = started(loader, release("v1"))
    holder.reload(release("v2"))
    settle(holder, "v2", "failed")
    status = holder.status()
    assert (status.version, status.reason) == ("v1", "bad bytes")
    assert serving(holder) == "v1"


def test_a_model_that_fails_its_check_never_serves(release: Callable[..., Release]) -> None:
    """A model that loads and does not pass is closed and freed; the old one serves on."""
    loader = Loader()
    loader.unfit.add("v2")
    holder = started(loader, release("v1"))
    holder.reload(release("v2"))
    settle(holder, "v2", "failed")
    assert holder.status().reason == "v2 is not fit"
    assert serving(holder) == "v1"
    assert loader.closed == ["v2"]
    until(lambda: [model.version for model in loader.models] == ["v1"])


@pytest.mark.parametrize("fault", [SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_whatever_a_load_raises_is_a_failure(
    fault: BaseException, release: Callable[..., Release]
) -> None:
    """A library that calls `exit()` does not leave the state at "loading" for ever."""
    loader = Loader()
    loader.faults["v1"] = fault
    holder = loader.holder()
    holder.reload(release("v1"))
    settle(holder, "v1", "failed")
    assert holder.status().reason == (str(fault) or type(fault).__name__)
    loader.faults.clear()
    holder.reload(release("v1"))
    settle(holder, "v1")


def test_a_close_that_fails_ends_nothing(release: Callable[..., Release]) -> None:
    """An error while an old model is closed is logged, and the next reload works."""

    def close(model: Model) -> None:
        raise OSError(model.version)

    holder: Holder[Model] = Holder(Model, close=close)
    for version in ("v1", "v2", "v3"):
        holder.reload(release(version))
        settle(holder, version)
    assert serving(holder) == "v3"


def test_a_failed_target_is_tried_anew(release: Callable[..., Release]) -> None:
    """Asking again for what failed loads again; what was wrong may be repaired."""
    loader = Loader()
    loader.unfit.add("v2")
    holder = started(loader, release("v1"))
    holder.reload(release("v2"))
    settle(holder, "v2", "failed")
    loader.unfit.clear()
    holder.reload(release("v2"))
    settle(holder, "v2")
    assert loader.begun == ["v1", "v2", "v2"]


def test_the_same_request_again_changes_nothing(release: Callable[..., Release]) -> None:
    """A request for what is loading or served starts no load and changes no state."""
    loader = Loader("v2")
    holder = started(loader, release("v1"))
    holder.reload(release("v1"))
    assert holder.status().state == "ready"
    for _ in range(3):
        holder.reload(release("v2"))
        assert holder.status().state == "loading"
    loader.let("v2")
    settle(holder, "v2")
    holder.reload(release("v2"))
    assert holder.status().state == "ready"
    assert loader.begun == ["v1", "v2"]


def test_the_same_version_with_other_content_is_another_release(
    release: Callable[..., Release],
) -> None:
    """A release is known by its digest too: a version that was staged anew is loaded anew."""
    loader = Loader()
    holder = started(loader, release("v1"))
    anew = release("v1", "other content")
    holder.reload(anew)
    until(lambda: holder.status().digest == anew.digest)
    assert loader.begun == ["v1", "v1"]


def test_the_newest_request_wins(release: Callable[..., Release]) -> None:
    """A load that was overtaken is dropped, unchecked; the newest target serves."""
    loader = Loader("v2")
    holder = started(loader, release("v1"))
    seen: set[str | None] = {serving(holder)}
    holder.reload(release("v2"))
    until(lambda: "v2" in loader.begun)
    holder.reload(release("v3"))
    status = holder.status()
    assert (status.state, status.target) == ("loading", release("v3").target)
    loader.let("v2")
    while holder.status().state != "ready":
        seen.add(serving(holder))
    assert seen <= {"v1", "v3"}
    assert serving(holder) == "v3"
    assert loader.checked == ["v1", "v3"]
    until(lambda: [model.version for model in loader.models] == ["v3"])


def test_a_load_that_is_overtaken_in_its_check_is_dropped(
    release: Callable[..., Release],
) -> None:
    """A model that passes its check too late does not serve, not even for a moment."""
    loader = Loader("check v2", "v3")
    holder = started(loader, release("v1"))
    holder.reload(release("v2"))
    until(lambda: "v2" in loader.checked)
    holder.reload(release("v3"))
    loader.let("check v2")
    until(lambda: "v3" in loader.begun)
    assert (serving(holder), holder.status().state) == ("v1", "loading")
    assert loader.closed == ["v2"]
    loader.let("v3")
    settle(holder, "v3")


def test_a_stale_failure_is_not_the_targets(release: Callable[..., Release]) -> None:
    """The failure of a load that was overtaken is never reported for the newer target."""
    loader = Loader("v2", "v3")
    loader.faults["v2"] = RuntimeError("bad")
    holder = started(loader, release("v1"))
    holder.reload(release("v2"))
    until(lambda: "v2" in loader.begun)
    holder.reload(release("v3"))
    loader.let("v2")
    until(lambda: "v3" in loader.begun)
    status = holder.status()
    assert (status.state, status.reason) == ("loading", None)
    loader.let("v3")
    settle(holder, "v3")


def test_going_back_is_at_once(release: Callable[..., Release]) -> None:
    """Asked back to what serves while another loads, the worker is ready and drops the load."""
    loader = Loader("v2")
    holder = started(loader, release("v1"))
    holder.reload(release("v2"))
    until(lambda: "v2" in loader.begun)
    holder.reload(release("v1"))
    status = holder.status()
    assert (status.version, status.state) == ("v1", "ready")
    loader.let("v2")
    until(lambda: loader.closed == ["v2"])
    assert serving(holder) == "v1"
    assert holder.status().state == "ready"


def test_a_request_that_flips_back_takes_the_load_that_runs(
    release: Callable[..., Release],
) -> None:
    """v2, then v1, then v2 again while v2 loads: that one load serves."""
    loader = Loader("v2")
    holder = started(loader, release("v1"))
    for version in ("v2", "v1", "v2"):
        holder.reload(release(version))
    until(lambda: "v2" in loader.begun)
    loader.let("v2")
    settle(holder, "v2")
    assert loader.begun == ["v1", "v2"]


def test_a_model_that_was_not_checked_never_serves(release: Callable[..., Release]) -> None:
    """A load that was dropped does not come back when its release is asked for again."""
    loader = Loader("v2")
    holder = started(loader, release("v1"))
    holder.reload(release("v2"))
    until(lambda: "v2" in loader.begun)
    holder.reload(release("v1"))
    loader.let("v2")
    until(lambda: loader.closed == ["v2"])
    holder.reload(release("v2"))
    loader.let("v2")
    settle(holder, "v2")
    assert loader.checked == ["v1", "v2"]
    assert loader.begun == ["v1", "v2", "v2"]


def test_nor_when_it_is_asked_for_again_at_the_last_moment(
    release: Callable[..., Release],
) -> None:
    """Between the decision not to check and the swap, a flip back must not let it through."""
    loader = Loader("v2")

    class Flipping(loading.Loader[Model]):
        def _examine(self, model: Model, release: Release, wanted: Callable[[], bool]) -> None:
            try:
                super()._examine(model, release, wanted)
            finally:
                if not loader.closed and release.version == "v2":
                    holder.reload(release)

    holder = loader.holder()
    kept = {each.name: getattr(holder._loader, each.name) for each in fields(holder._loader)}
    holder._loader = Flipping(**kept)
    holder.reload(release("v1"))
    settle(holder, "v1")
    holder.reload(release("v2"))
    until(lambda: "v2" in loader.begun)
    holder.reload(release("v1"))
    loader.let("v2")
    loader.let("v2")
    settle(holder, "v2")
    assert loader.checked == ["v1", "v2"]


@pytest.mark.slow
def test_under_a_storm_every_batch_has_one_release(release: Callable[..., Release]) -> None:
    """With requests and reloads at random, no lease fails or mixes, and memory holds two models."""
    loader = Loader()
    loader.unfit.add("v4")
    versions = ["v1", "v2", "v3", "v4"]
    releases = {version: release(version) for version in versions}
    holder = started(loader, releases["v1"])
    stop = threading.Event()
    batches: list[str] = []
    errors: list[BaseException] = []

    def request() -> None:
        while not stop.is_set():
            try:
                batches.append(serving(holder) or "none")
            except BaseException as error:  # noqa: BLE001 - what this test is about
                errors.append(error)

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
        thread.join()
    assert not errors
    assert set(batches) <= {"v1", "v2", "v3"}
    assert loader.most_loads == 1
    assert loader.most_models <= 2


def test_a_load_waits_for_the_last_batch_of_the_old_model(
    release: Callable[..., Release],
) -> None:
    """While a batch still runs on a replaced model, no third one is loaded."""
    loader = Loader()
    holder = started(loader, release("v1"))
    with holder.lease():
        holder.reload(release("v2"))
        settle(holder, "v2")
        holder.reload(release("v3"))
        with pytest.raises(TimeoutError):
            until(lambda: "v3" in loader.begun, seconds=0.2)
        assert holder.status().state == "loading"
    settle(holder, "v3")


@pytest.mark.skipif(sys.platform != "linux", reason="a thread's own priority is Linux's")
def test_a_load_beside_a_serving_model_is_nice(release: Callable[..., Release]) -> None:
    """The first load has nothing to be nice to; later ones yield, and no other thread does."""
    nices = []

    def load(release: Release) -> Model:
        nices.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return Model(release)

    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    holder = Holder(load)
    for version in ("v1", "v2"):
        holder.reload(release(version))
        settle(holder, version)
    assert nices == [own, 19]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


def test_a_loader_that_could_not_be_started(
    release: Callable[..., Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the container's limit of threads a reload fails, v1 serves on, and the next one loads."""
    holder = started(Loader(), release("v1"))
    until(lambda: all(thread.name != "model-loader" for thread in threading.enumerate()))

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            holder.reload(release("v2"))
    assert (serving(holder), holder.status().state) == ("v1", "failed")
    holder.reload(release("v2"))
    settle(holder, "v2")


def test_an_instance_is_one_start(release: Callable[..., Release]) -> None:
    """`instance` stays for a holder's life and is another for the next one."""
    one, other = Loader().holder(), Loader().holder()
    before = one.status().instance
    one.reload(release("v1"))
    settle(one, "v1")
    assert one.status().instance == before
    assert other.status().instance != before
