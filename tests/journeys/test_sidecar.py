"""The sidecar against real processes: releases reach the worker, and bad ones never do."""

from __future__ import annotations

import hashlib
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from agent.release import manifest
from tests.support.pods import Pod
from tests.support.scripted import ScriptedWorker, obey, scripted, stuck
from tests.support.shares import ELSEWHERE, EXTERNAL, INLINE, flip
from tests.support.workers import until

TEXTS = ["A man is eating food.", "The sky is blue."]


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """A pod with v1 active; its share has v2, of the same space, and v3, of another one."""
    made = Pod(tmp_path)
    for version, kind in (("v1", INLINE), ("v2", EXTERNAL), ("v3", ELSEWHERE)):
        made.share.add(version, kind)
    made.agent("promote", "v1")
    made.agent("init")
    return made


def flip_weights(pod: Pod, version: str) -> Path:
    """Flip one bit of a file that no other release has; give that file."""
    path = max(pod.share.release(version).rglob("*.data"), key=lambda p: p.stat().st_size)
    flip(path, path.stat().st_size // 2)
    return path


def test_bad_release_never_replaces_a_good_one_and_the_good_one_recovers(
    pod: Pod,
) -> None:
    """Good → bad → the same good again: the worker serves the good one all the while."""
    before = (pod.store / "releases" / "v1" / "manifest.json").read_bytes()
    flipped = flip_weights(pod, "v2")
    with pod.worker() as worker:
        worker.wait("ready")
        with pod.sidecar(worker.admin) as sidecar:
            pod.agent("promote", "v2")
            sidecar.look_now()
            refused = sidecar.wait_for("release.quarantined", version="v2")
            assert flipped.name in refused["reason"]
            until(lambda: sidecar.metric("model_agent_quarantined_releases") or None)
            assert sidecar.metric("model_agent_verify_failures_total") == 1
            assert not (pod.store / "releases" / "v2").exists()
            assert pod.active() == "v1"
            pod.agent("promote", "v1")
            sidecar.look_now()
            sidecar.wait_for("marker.read", version="v1", previous=["v2"])
            until(lambda: sidecar.status()["desired"] == "v1" or None)
            assert worker.embed(*TEXTS).headers["X-Model-Version"] == "v1"
            assert sidecar.get("/readyz").status_code == 200
    assert (pod.store / "releases" / "v1" / "manifest.json").read_bytes() == before


@pytest.mark.slow
def test_quarantined_release_is_tried_again_when_it_changes(pod: Pod) -> None:
    """A release that was refused is served once its content, or the marker, is another."""
    flipped = flip_weights(pod, "v2")
    with scripted(obey) as worker, pod.sidecar(worker.url) as sidecar:
        pod.agent("promote", "v2")
        sidecar.look_now()
        sidecar.wait_for("release.quarantined", version="v2")
        flip(flipped, flipped.stat().st_size // 2)
        sidecar.look_now()
        until(lambda: "quarantined" in sidecar.status()["doing"] or None)
        assert worker.asked == [] or worker.asked[-1]["version"] == "v1"
        pod.agent("promote", "v2", "--allow-new-space")
        sidecar.look_now()
        sidecar.wait_for("sync.done", version="v2")
        assert pod.state()["quarantined"] == {}


@pytest.mark.slow
def test_a_sidecar_asks_for_no_gpu(pod: Pod) -> None:
    """Its checks run on the CPU whatever `--device` says: settings are shared with `init`."""
    with scripted(obey) as worker, pod.sidecar(worker.url, "--device", "cuda") as sidecar:
        pod.agent("promote", "v2")
        sidecar.look_now()
        assert sidecar.wait_for("model.warmed", version="v2")["device"] == "cpu"
        sidecar.wait_for("sync.done", version="v2")


@pytest.mark.slow
def test_current_waits_for_the_worker(pod: Pod) -> None:
    """A worker that is not up is normal: the release is staged and waits, and `current` stays."""
    with scripted(obey) as gone:
        url = gone.url
    with pod.sidecar(url) as sidecar:
        pod.agent("promote", "v2")
        sidecar.look_now()
        sidecar.wait_for("model.warmed", version="v2")
        until(lambda: "waits for it" in sidecar.status()["doing"] or None)
        assert pod.active() == "v1"
        assert sidecar.get("/readyz").status_code == 200
        assert sidecar.get("/healthz").status_code == 200
    with scripted(obey) as worker, pod.sidecar(worker.url) as sidecar:
        sidecar.wait_for("sync.done", version="v2")
        assert [request["version"] for request in worker.asked] == ["v2"]
        assert worker.asked[0]["path"] == "releases/v2"
        assert worker.asked[0]["digest"] == pod.share.manifest("v2").digest
    assert pod.active() == "v2"


@pytest.mark.slow
def test_two_reloads_that_kill_the_worker_count_as_a_failed_one(pod: Pod) -> None:
    """A worker that restarts while it loads is asked once more, and then no more."""

    def die(worker: ScriptedWorker, request: dict[str, str]) -> int:
        if request["version"] == "v1":
            return obey(worker, request)
        worker.serve("v1", digest)
        worker.model |= {"instance": worker.model["instance"] + "+", "target": None}
        return 202

    digest = pod.share.manifest("v1").digest
    with scripted(die) as worker:
        worker.serve("v1", digest)
        pod.agent("promote", "v2")
        with pod.sidecar(worker.url) as sidecar:
            assert "restarted while it loaded" in sidecar.wait_for("sync.failed")["reason"]
            sidecar.look_now()
            assert "never ended" in sidecar.wait_for("release.quarantined")["reason"]
            assert [r["version"] for r in worker.asked if r["version"] == "v2"] == ["v2", "v2"]
    assert pod.active() == "v1"


@pytest.mark.slow
def test_two_killed_attempts_are_remembered_on_disk(pod: Pod) -> None:
    """Agents that are killed while the worker loads leave a record; the third gives up."""
    with scripted(stuck) as worker:
        worker.serve("v1", pod.share.manifest("v1").digest)
        pod.agent("promote", "v2")
        for count in (1, 2):
            with pod.sidecar(worker.url) as sidecar:
                worker.wait_asked(count)
                assert pod.state()["attempts"] == {"v2": count}
                sidecar.process.kill()
                sidecar.process.wait()
        with pod.sidecar(worker.url) as sidecar:
            sidecar.wait_for("release.quarantined", version="v2")
            assert worker.wait_asked(3)["version"] == "v1"


@pytest.mark.slow
def test_worker_that_cannot_be_told_is_left_alone(pod: Pod) -> None:
    """`--reload-method none` stages, checks and activates, and never calls the worker."""
    with (
        scripted(obey) as worker,
        pod.sidecar(worker.url, "--reload-method", "none") as sidecar,
    ):
        pod.agent("promote", "v2")
        sidecar.look_now()
        sidecar.wait_for("sync.done", version="v2")
        assert worker.asked == []
        assert worker.looks == 0
    assert pod.active() == "v2"


def write_big_release(share: Path, version: str) -> None:
    """Put a release on the share whose 400 MB take a while to stage."""
    release = share / "releases" / version
    shutil.copytree(share / "releases" / "v1", release)
    old = manifest.parse((release / "manifest.json").read_bytes())
    size, chunk = 400 * 1024 * 1024, old.chunk_size
    with (release / "big.bin").open("wb") as file:
        file.truncate(size)
    zeros = hashlib.sha256(bytes(chunk)).hexdigest()
    big = manifest.File(path="big.dat", size=size, sha256=zeros, chunks=(zeros,) * (size // chunk))
    (release / "big.bin").rename(release / "big.dat")
    fields: dict[str, Any] = {name: getattr(old, name) for name in ("created", "generator")}
    new = manifest.build(
        **fields,
        version=version,
        chunk_size=chunk,
        files=[*old.files, big],
        models=list(old.models),
    )
    (release / "manifest.json").write_bytes(new.encoded)


@pytest.mark.slow
def test_sigterm_in_the_middle_of_staging(pod: Pod) -> None:
    """SIGTERM ends the agent within 5 s while it stages; the store is good, the next goes on."""
    write_big_release(pod.share.root, "v4")
    staging = pod.store / ".agent" / "staging" / "v4"
    with scripted(obey) as worker:
        with pod.sidecar(worker.url) as sidecar:
            worker.wait_asked(1)
            (pod.share.root / "VERSION").write_text("v4\n")
            sidecar.look_now()
            until(lambda: (staging / "big.dat").exists() or None)
            began = time.monotonic()
            sidecar.process.send_signal(signal.SIGTERM)
            assert sidecar.process.wait(10) == 0
            assert time.monotonic() - began < 5
        assert pod.active() == "v1"
        assert not (pod.store / "releases" / "v4").exists()
        pod.agent("verify", "v1")
        with pod.sidecar(worker.url) as sidecar:
            staged = sidecar.wait_for("release.staged", version="v4")
            assert staged.get("resumed_bytes", 0) + staged.get("share_bytes", 0) == 400 * 2**20
            sidecar.wait_for("sync.done", version="v4")


def test_idle_sidecar_imports_nothing_heavy(pod: Pod) -> None:
    """An idle sidecar maps no onnxruntime, NumPy or tokenizers, and runs few threads."""
    with scripted(obey) as worker, pod.sidecar(worker.url) as sidecar:
        worker.wait_asked(1)
        mapped = Path(f"/proc/{sidecar.process.pid}/maps").read_bytes()
        assert not any(name in mapped for name in (b"onnxruntime", b"numpy", b"tokenizers"))
        assert len(list(Path(f"/proc/{sidecar.process.pid}/task").iterdir())) < 10
