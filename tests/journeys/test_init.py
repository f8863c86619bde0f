"""`init`: a verified release is active afterwards, the desired one if that is possible at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from structlog.testing import capture_logs

from agent.errors import NoSpaceError, WarmupError
from agent.models import footprint
from agent.sync import init
from agent.sync.record import Record
from tests.support import stores
from tests.support.agents import assert_failed
from tests.support.pods import Pod
from tests.support.shares import (
    FOLDER,
    HALF,
    INLINE,
    SNAPSHOT,
    flip,
    in_memory,
    snapshot,
    tree,
)
from tests.support.steps import steps_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.context import Context
    from agent.errors import AgentError
    from tests.support.agents import Result
    from tests.support.forks import Forks

UNKNOWN = {
    "empty": b"",
    "torn": b"\n# previous: v1\n",
    "zeros": b"\0" * 512,
    "too long": b"v2\n" + b"#" * 5000,
    "no UTF-8": b"v2\xff\xfe\n",
    "a path": b"../v2\n",
    "prose": b"please serve v2\n",
}


@pytest.fixture
def pod() -> Iterator[Pod]:
    """A pod with an empty share and an empty store, in memory."""
    with in_memory() as scratch:
        yield Pod(scratch)


def assert_fell_back(done: Result, *, active: str, desired: str) -> None:
    """It ended well, and said loudly that what is active is not what is desired."""
    assert done.code == 0, done.lines
    (event,) = done.named("init.fell_back")
    assert (event["level"], event["active"], event["desired"]) == ("error", active, desired)
    assert any("NOT the desired release" in line for line in done.lines if line[0] != "{")


def corrupt(pod: Pod, version: str) -> None:
    """Flip a bit of a release on the share."""
    flip(pod.share.release(version) / SNAPSHOT / "model.onnx")


def with_v1(pod: Pod) -> Context:
    """The pod's own context, with v1 in its store."""
    pod.share.add("v1")
    pod.share.mark("v1")
    pod.run("init")
    return pod.context()


def test_without_a_marker_the_catalogs_version(pod: Pod) -> None:
    """Without a marker the catalog's own version is taken, whatever else is there."""
    pod.share.add_plain("catalogued", "newer")
    assert pod.init().code == 0
    assert pod.active() == "catalogued"


def test_without_a_marker_the_only_complete_release(pod: Pod) -> None:
    """Without a marker the only complete release is taken; incomplete ones do not count."""
    pod.share.add_plain("catalogued", "v1", "v2")
    for version in ("catalogued", "v2"):
        (pod.share.release(version) / "manifest.json").unlink()
    assert pod.init().code == 0
    assert pod.active() == "v1"
    assert pod.held() == {"v1"}


def test_without_a_marker_several_releases(pod: Pod) -> None:
    """Without a marker, which of several releases to serve is for the operator to say: exit 4."""
    pod.share.add_plain("v1", "v2")
    assert_failed(pod.init(), 4, "VERSION", "v1", "v2", "promote")
    assert pod.active() is None
    assert pod.held() == set()


def test_an_empty_share(pod: Pod) -> None:
    """With nothing on the share, and no Hub to ask, exit 4 says what would help."""
    words = ("There is no marker VERSION and no release", "model-agent publish")
    assert_failed(pod.init("--populate", "never"), 4, *words)
    assert pod.active() is None


@pytest.mark.parametrize("data", UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_marker_changes_nothing(data: bytes, pod: Pod) -> None:
    """A marker that is being written, or is no marker, never changes what is active."""
    pod.share.add_plain("v1", "v2")
    pod.share.mark("v1")
    assert pod.init().code == 0
    before = snapshot(pod.store / "releases")
    (pod.share.root / "VERSION").write_bytes(data)
    done = pod.init()
    assert done.code == 0, done.lines
    assert done.named("marker.unknown")
    assert pod.active() == "v1"
    assert snapshot(pod.store / "releases") == before
    assert pod.state()["desired"] == "v1"


def test_a_marker_that_is_gone_changes_nothing(pod: Pod) -> None:
    """Without a marker what is active stays, even where the catalog names another release."""
    pod.share.add_plain("v1", "catalogued")
    pod.share.mark("v1")
    assert pod.init().code == 0
    (pod.share.root / "VERSION").unlink()
    assert pod.init().code == 0
    assert pod.active() == "v1"


def test_the_share_is_away_with_good_data(pod: Pod) -> None:
    """A dead share does not kill a pod that has good data: every byte is hashed, and it says so."""
    pod.share.add_plain("v1")
    pod.share.mark("v1")
    assert pod.init().code == 0
    pod.share.root.rename(pod.share.root.with_name("away"))
    done = pod.init("--no-fallback")
    assert done.code == 0, done.lines
    assert pod.active() == "v1"
    assert done.named("release.verified")
    assert done.named("init.share_unusable")


def test_the_share_is_away_with_nothing(pod: Pod) -> None:
    """A dead share and an empty store are exit 3."""
    shutil.rmtree(pod.share.root)
    assert_failed(pod.init(), 3, str(pod.share.root))
    assert pod.active() is None


def test_the_share_is_away_with_rot(pod: Pod) -> None:
    """A dead share does not make a release good that is corrupt in the store."""
    pod.share.add_plain("v1")
    pod.share.mark("v1")
    assert pod.init().code == 0
    flip(pod.store / "releases/v1" / SNAPSHOT / "model.onnx")
    pod.share.root.rename(pod.share.root.with_name("away"))
    assert pod.init().code in {3, 5}


def test_fallback_along_the_chain(pod: Pod) -> None:
    """A bad bump falls back along `# previous:`, in its order, to the first good release."""
    pod.share.add_plain("v1", "v2", "v3", "v4")
    corrupt(pod, "v4")
    corrupt(pod, "v3")
    pod.share.mark("v4", "previous: v3 missing v1 v2")
    done = pod.init()
    assert_fell_back(done, active="v1", desired="v4")
    assert pod.active() == "v1"
    assert pod.held() == {"v1"}
    assert set(pod.state()["quarantined"]) == {"v3", "v4"}
    assert pod.state()["desired"] == "v4"
    assert SNAPSHOT in pod.state()["quarantined"]["v4"]["reason"]


@pytest.mark.parametrize("why", ["corrupt", "missing", "incomplete"])
def test_fallback_to_the_store(why: str, pod: Pod) -> None:
    """Without a chain, a bad bump falls back to what the store holds."""
    pod.share.add_plain("v1", "v2")
    pod.share.mark("v1")
    assert pod.init().code == 0
    before = snapshot(pod.store / "releases")
    if why == "corrupt":
        corrupt(pod, "v2")
    elif why == "missing":
        shutil.rmtree(pod.share.release("v2"))
    else:
        (pod.share.release("v2") / "manifest.json").unlink()
    pod.share.mark("v2")
    assert_fell_back(pod.init(), active="v1", desired="v2")
    assert pod.active() == "v1"
    assert snapshot(pod.store / "releases") == before


def test_the_chain_comes_before_the_store(pod: Pod) -> None:
    """What the operators served last is a better fallback than what the store happens to hold."""
    pod.share.add_plain("v1", "v2", "v3")
    pod.share.mark("v1")
    assert pod.init().code == 0
    corrupt(pod, "v3")
    pod.share.mark("v3", "previous: v2")
    assert_fell_back(pod.init(), active="v2", desired="v3")
    assert pod.active() == "v2"


@pytest.mark.parametrize(("why", "code"), [("corrupt", 5), ("missing", 4)])
def test_no_fallback(why: str, code: int, pod: Pod) -> None:
    """With `--no-fallback` a bad bump fails by its own exit code, and the store stays as it is."""
    pod.share.add_plain("v1", "v2")
    pod.share.mark("v1")
    assert pod.init().code == 0
    before = snapshot(pod.store / "releases")
    if why == "corrupt":
        corrupt(pod, "v2")
    else:
        shutil.rmtree(pod.share.release("v2"))
    pod.share.mark("v2", "previous: v1")
    assert_failed(pod.init("--no-fallback"), code, "releases/v2")
    assert pod.active() == "v1"
    assert snapshot(pod.store / "releases") == before


def test_a_bump_that_is_mended(pod: Pod) -> None:
    """A release that failed is tried again once its content has changed: no marker is needed."""
    pod.share.add_plain("v1", "v2")
    corrupt(pod, "v2")
    pod.share.mark("v2", "previous: v1")
    assert_fell_back(pod.init(), active="v1", desired="v2")
    shutil.rmtree(pod.share.release("v2"))
    pod.share.add_files("v2", {"model.onnx": b"mended" * 50_000})
    done = pod.init()
    assert done.code == 0, done.lines
    assert pod.active() == "v2"
    assert pod.state()["quarantined"] == {}


def test_a_second_run_moves_nothing(pod: Pod) -> None:
    """Once the release is in the store, `init` hashes it there and reads no byte of the share's."""
    pod.share.add_plain("v1")
    pod.share.mark("v1")
    first = pod.init()
    assert first.named("release.staged")[0]["share_bytes"] == pod.share.manifest("v1").size
    before = snapshot(pod.store / "releases")
    inodes = {path.stat().st_ino for path in (pod.store / "releases").rglob("*")}
    second = pod.init()
    assert second.code == 0
    assert second.named("release.staged") == []
    assert not any("share_bytes" in event for event in second.events)
    assert snapshot(pod.store / "releases") == before
    assert {path.stat().st_ino for path in (pod.store / "releases").rglob("*")} == inodes


def test_another_dimension_is_another_space(pod: Pod) -> None:
    """Vectors of another length are of another space, whatever a canary says."""
    pod.share.add_plain("v1", "v2")
    pod.share.sign("v2", lambda raw: raw["models"][0].update(dim=48))
    pod.share.mark("v1")
    assert pod.init().code == 0
    pod.share.mark("v2")
    assert_failed(pod.init("--no-fallback"), 9, "48", "32")
    assert pod.active() == "v1"


@pytest.mark.slow
def test_the_same_space_in_other_bytes(pod: Pod) -> None:
    """Half-precision weights of the same model are of the same space."""
    pod.share.add("v1", INLINE)
    pod.share.add("v2", HALF)
    pod.share.mark("v1")
    assert pod.init().code == 0
    pod.share.mark("v2")
    assert pod.init("--no-fallback").code == 0
    assert pod.active() == "v2"


def test_a_canary_that_does_not_sing(pod: Pod) -> None:
    """A model that gives other vectors than its manifest says is exit 7, and is not activated."""
    pod.share.add("v1")

    def negate(raw: Any) -> None:
        canary = raw["models"][0]["canary"]
        canary["vectors"][2] = [-x for x in canary["vectors"][2]]

    pod.share.sign("v1", negate)
    pod.share.mark("v1")
    assert_failed(pod.run("init", "--no-fallback"), 7, "canary", "-1.0000")
    assert pod.active() is None
    assert "canary" in pod.state()["quarantined"]["v1"]["reason"]


def test_a_model_that_does_not_load(pod: Pod) -> None:
    """A model whose bytes are as published but do not load is exit 7; `--no-warm` does not look."""
    models = pod.share.add("v1").models
    (pod.share.release("v1") / SNAPSHOT / "model.onnx").write_bytes(b"no model at all")
    stores.write_manifest(pod.share.release("v1"), models)
    pod.share.mark("v1")
    done = pod.run("init", "--no-fallback")
    assert_failed(done, 7, "does not load on cpu")
    assert pod.active() is None
    assert pod.init("--no-fallback").code == 0
    assert pod.active() == "v1"
    assert not (pod.store / ".agent/warmup.json").exists()


def test_the_report_of_a_warm_up(pod: Pod) -> None:
    """`warmup.json` says what each model did: where it ran, how long, how near its canary."""
    pod.share.add("v1")
    pod.share.mark("v1")
    done = pod.run("init")
    assert done.code == 0, done.lines
    report = json.loads((pod.store / ".agent/warmup.json").read_text())
    assert (report["schema"], report["version"]) == (1, "v1")
    (model,) = report["models"]
    assert model["name"] == pod.share.manifest("v1").models[0].name
    assert (model["loader"], model["device"]) == ("fastembed", "cpu")
    assert model["provider"] == "CPUExecutionProvider"
    assert (model["dim"], model["max_length"]) == (32, 512)
    assert model["canary_cosine"] > 0.999999
    for name in ("load_seconds", "first_seconds", "steady_seconds"):
        assert 0 < model[name] < 60, name
    assert 10**7 < model["peak_rss_bytes"] < 10**9
    assert "vectors" not in model
    assert pod.state()["attempts"] == {}


@pytest.mark.parametrize("flags", [(), ("--warm-shapes", "1x8")], ids=["as before", "in shapes"])
def test_what_has_passed_here_is_not_run_again(pod: Pod, flags: tuple[str, ...]) -> None:
    """`init` once more hashes every byte and runs no model, unless it is told what to run."""
    pod.share.add("v1")
    pod.share.mark("v1")
    assert pod.run("init").named("model.warmed")
    again = pod.run("init", *flags)
    assert again.named("release.verified")
    assert bool(again.named("model.warmed")) == bool(flags)
    assert bool(again.named("warmup.skipped")) != bool(flags)
    (done,) = again.named("init.done")
    assert ("check_seconds" in done) == bool(flags)


def test_a_quarantine_drops_what_had_passed(pod: Pod) -> None:
    """A worker, or a check in other shapes, refused it: the next `init` that tries it runs it."""
    here = with_v1(pod)
    steps_of(here).quarantine("v1", "the worker said no", None)
    assert pod.run("init").named("model.warmed")


@pytest.mark.slow
def test_a_check_on_record_alone_is_not_enough(pod: Pod) -> None:
    """Report and state agree, or the model is run."""
    pod.share.add("v1")
    pod.share.mark("v1")
    pod.run("init")
    state = pod.store / ".agent/state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"checked": {}}))
    assert pod.run("init").named("model.warmed")


def test_what_the_disk_of_the_store_does_not_give(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is staged again, as what it gives wrong is: the share has it."""
    here, whole = with_v1(pod), os.preadv
    sick = (here.store.path("v1") / here.store.manifest("v1").files[-1].path).stat().st_ino

    def fail(descriptor: int, *args: Any) -> int:
        if os.fstat(descriptor).st_ino == sick:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return whole(descriptor, *args)

    monkeypatch.setattr(os, "preadv", fail)
    with capture_logs() as said:
        assert init.run(here).active == "v1"
    events = [each["event"] for each in said]
    assert "store.corrupt" in events
    assert "release.staged" in events


@pytest.mark.slow
def test_what_passed_elsewhere_is_run(pod: Pod) -> None:
    """A store that outlives its pod may be on a node that was started again, or in a new image."""
    pod.share.add("v1")
    pod.share.mark("v1")
    pod.run("init")
    state = pod.store / ".agent/state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"ground": "of another boot"}))
    assert pod.run("init").named("model.warmed")


@pytest.mark.parametrize(
    ("number", "kind", "sentence"),
    [
        (errno.ENOSPC, NoSpaceError, r"The warm-up could not start: /\S+ is full\. Give"),
        (errno.EAGAIN, WarmupError, r"could not start: Resource temporarily unavailable\. Look"),
    ],
)
def test_a_warm_up_that_cannot_start_is_no_attempt(
    number: int,
    kind: type[AgentError],
    sentence: str,
    pod: Pod,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full /tmp or a limit of processes is not the release's fault, however often it is met."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    here = with_v1(pod)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(kind, match=sentence) as failure:
        steps_of(here).check("v1")
    assert not failure.value.blames_release
    assert Record(here.store.agent, here.log).state.attempts == {}


def test_a_warm_up_that_crashes_is_an_attempt(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that breaks the runtime counts as one that kills it: the second time is the last."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nkill -SEGV $$\n")
    broken.chmod(0o755)
    here = with_v1(pod)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(WarmupError, match=r"crashed \(SIGSEGV\)"):
        steps_of(here).check("v1")
    assert Record(here.store.agent, here.log).state.attempts == {"v1": 1}


def test_what_nobody_expected_is_no_kill(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process lives, so that two of those do not count as a release that kills it."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise LookupError

    here = with_v1(pod)
    monkeypatch.setattr(footprint, "require", fail)
    with pytest.raises(LookupError):
        steps_of(here).check("v1")
    assert Record(here.store.agent, here.log).state.attempts == {}


@pytest.mark.slow
def test_other_bytes_are_run(pod: Pod) -> None:
    """What another release has passed says nothing of this one."""
    for version, kind in (("v1", INLINE), ("v2", HALF)):
        pod.share.add(version, kind)
        pod.share.mark(version)
        assert pod.run("init").named("model.warmed"), version


def test_a_pickle(pod: Pod) -> None:
    """A release that holds a pickle is exit 9, or a fallback, unless `--allow-pickle`."""
    pod.share.add_plain("v1")
    pod.share.add_files("v2", {"pytorch_model.bin": b"pickle" * 1000})
    pod.share.mark("v2", "previous: v1")
    assert_failed(pod.init("--no-fallback"), 9, "pytorch_model.bin", "--allow-pickle")
    assert pod.active() is None
    assert pod.held() == set()
    assert_fell_back(pod.init(), active="v1", desired="v2")


def test_a_pickle_that_is_allowed(pod: Pod) -> None:
    """`--allow-pickle` lets a pickle through."""
    pod.share.add_files("v1", {"pytorch_model.bin": b"pickle" * 1000})
    pod.share.mark("v1")
    assert pod.init("--allow-pickle").code == 0
    assert pod.active() == "v1"


def test_allowing_a_pickle_helps_at_once(pod: Pod) -> None:
    """What the sentence of a refused pickle says to do helps, without another promotion."""
    pod.share.add_plain("v1")
    pod.share.add_files("v2", {"pytorch_model.bin": b"pickle" * 1000})
    pod.share.mark("v2", "previous: v1")
    assert_fell_back(pod.init(), active="v1", desired="v2")
    assert pod.init("--allow-pickle").code == 0
    assert pod.active() == "v2"


def test_no_gpu_is_not_the_releases_fault(pod: Pod) -> None:
    """`--device cuda` without a GPU is exit 7: no fallback, no quarantine, what is active stays."""
    pod.share.add("v1", HALF)
    pod.share.add("v2")
    pod.share.mark("v1")
    assert pod.init().code == 0
    pod.share.mark("v2", "previous: v1")
    done = pod.run("init", "--device", "cuda")
    assert_failed(done, 7, "cuda")
    assert done.named("init.fell_back") == []
    assert pod.active() == "v1"
    assert pod.state()["quarantined"] == {}
    assert pod.state()["attempts"] == {}


def test_no_space_is_not_the_releases_fault(pod: Pod) -> None:
    """A release that does not fit is exit 6: no fallback, no quarantine, nothing touched."""
    pod.share.add_plain("v1", "v2")
    pod.share.mark("v1")
    assert pod.init().code == 0
    pod.share.mark("v2", "previous: v1")
    before = snapshot(pod.store / "releases")
    assert_failed(pod.init("--store-limit", "200k"), 6, "--store-limit")
    assert pod.active() == "v1"
    assert snapshot(pod.store / "releases") == before
    assert pod.state()["quarantined"] == {}


def test_a_marker_elsewhere(pod: Pod) -> None:
    """`--marker` names another marker on the same share, such as one a fleet."""
    pod.share.add_plain("v1", "v2")
    pod.share.mark("v1")
    (pod.share.root / "canary").mkdir()
    (pod.share.root / "canary/VERSION").write_text("v2\n")
    assert pod.init("--marker", "canary/VERSION").code == 0
    assert pod.active() == "v2"


def test_unchanged_files_are_linked(pod: Pod) -> None:
    """A bump that changes one file moves that file only."""
    same = b"same" * 50_000
    for version in ("v1", "v2"):
        files = {"model.onnx": version.encode() * 1000, "tokenizer.json": same}
        pod.share.add_files(version, files)
    pod.share.mark("v1")
    assert pod.init().code == 0
    pod.share.mark("v2")
    (staged,) = pod.init().named("release.staged")
    assert staged["share_bytes"] == 2000
    one, other = (pod.store / f"releases/{v}/{SNAPSHOT}/tokenizer.json" for v in ("v1", "v2"))
    assert one.samefile(other)
    assert (pod.store / "current" / FOLDER / "refs/main").is_file()


def test_a_share_that_goes_away_costs_nothing_staged(pod: Pod, forks: Forks) -> None:
    """What was half staged is still there after an `init` that came up on the old release."""
    for version in ("v1", "v2"):
        pod.share.add_files(version, {"model.onnx": version.encode() * 200_000})
    pod.share.mark("v1")
    other = pod.another("other")
    assert pod.init().code == other.init().code == 0
    pod.share.mark("v2")
    steps = forks.run("init", "--no-warm", env=other.env).steps
    last_write = len(steps) - steps[::-1].index("pwritev")
    assert pod.init(step=last_write).code == -9
    away = pod.share.root.rename(pod.share.root.with_name("away"))
    assert pod.init().code == 0
    assert pod.active() == "v1"
    away.rename(pod.share.root)
    done = pod.init()
    assert done.code == 0
    assert "resumed_bytes" in "".join(done.lines)


def test_the_desired_release_is_remembered(pod: Pod) -> None:
    """While the share is away, the state still says which release is desired."""
    pod.share.add_plain("v1")
    pod.share.mark("v1")
    assert pod.init().code == 0
    pod.share.root.rename(pod.share.root.with_name("away"))
    done = pod.init()
    assert done.code == 0, done.sentence
    assert pod.state()["desired"] == "v1"


@pytest.mark.slow
def test_a_hand_made_release_survives_the_first_publish(tmp_path: Path) -> None:
    """A marker that names the hand-made tree still means it once `releases/` holds another one."""
    pod = Pod(tmp_path)
    tree(pod.share.root)
    pod.share.mark("today")
    done = pod.publish_tree("v2", tree(tmp_path / "new"))
    assert done.code == 0, done.sentence
    done = pod.run("init")
    assert done.code == 0, done.sentence
    assert pod.active() == "today"
    assert pod.run("promote", "yesterday").code == 4
