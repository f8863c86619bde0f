"""The sidecar against real processes: releases reach the worker, and bad ones never do."""

from __future__ import annotations

import hashlib
import shutil
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.release import manifest, space
from tests.support import models
from tests.support.cluster import AgentFailedError, Cluster
from tests.support.scripted import ScriptedWorker, obey, scripted
from tests.support.traffic import Traffic
from tests.support.workers import until

TEXTS = ["A man is eating food.", "The sky is blue."]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A share with v1, v2 (the same space, other files) and v3 (another space)."""
    cluster = Cluster(tmp_path_factory.mktemp("releases"))
    cluster.publish("v1", models.write_tiny)
    cluster.publish("v2", partial(models.write_tiny, weights="external"))
    cluster.publish("v3", partial(models.write_tiny, seed=1))
    return cluster.share


@pytest.fixture
def cluster(releases: Path, tmp_path: Path) -> Cluster:
    """A cluster whose store has v1 active."""
    made = Cluster(tmp_path)
    shutil.copytree(releases, made.share, dirs_exist_ok=True)
    made.agent("promote", "v1")
    made.agent("init")
    return made


def flip_a_bit(share: Path, version: str) -> Path:
    """Flip one bit of a file that no other release has; give that file."""
    path = max((share / "releases" / version).rglob("*.data"), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


def test_every_bump_reaches_the_worker_and_no_request_fails(cluster: Cluster) -> None:
    """v1→v2→v1→v2 are all served, each answer comes from one release, and none is lost."""
    shown: dict[str, list[list[float]]] = {}

    def check(release: str, vectors: list[list[float]]) -> str | None:
        expected = shown.setdefault(release, vectors)
        lowest = min(space.cosine(a, b) for a, b in zip(expected, vectors, strict=True))
        return None if lowest > 0.9999 else f"{release} gave other vectors: {lowest}"

    with cluster.worker() as worker:
        worker.wait("ready")
        with cluster.sidecar(worker.admin) as sidecar:
            traffic = Traffic(worker.serving, check=check)
            traffic.start()
            for version in ("v2", "v1", "v2"):
                cluster.agent("promote", version)
                sidecar.look_now()
                sidecar.wait_for("sync.done", version=version)
                traffic.wait_for(version, more=10)
                assert cluster.active() == version
                sidecar.events.clear()
            traffic.stop()
            assert sidecar.metric('model_agent_syncs_total{status="success"}') == 3
            assert sidecar.metric("model_agent_last_reload_successful") == 1
            for phase in ("stage", "check", "reload", "activate"):
                assert 0 < sidecar.metric(f'model_agent_phase_seconds{{phase="{phase}"}}') < 60
            of_model = f'{{device="cpu",model="{models.MINILM}"}}'
            assert sidecar.metric(f"model_agent_canary_cosine{of_model}") > 0.999
            used = sidecar.metric("model_agent_store_used_bytes")
            assert 0 < used < sidecar.metric("model_agent_store_limit_bytes")
            assert sidecar.status()["worker"]["version"] == "v2"
    assert traffic.failures == []
    assert set(traffic.by_release) >= {"v1", "v2"}


def test_bad_release_never_replaces_a_good_one_and_the_good_one_recovers(
    cluster: Cluster,
) -> None:
    """Good → bad → the same good again: the worker serves the good one all the while."""
    before = (cluster.store / "releases" / "v1" / "manifest.json").read_bytes()
    flipped = flip_a_bit(cluster.share, "v2")
    with cluster.worker() as worker:
        worker.wait("ready")
        with cluster.sidecar(worker.admin) as sidecar:
            cluster.agent("promote", "v2")
            sidecar.look_now()
            refused = sidecar.wait_for("release.quarantined", version="v2")
            assert flipped.name in refused["reason"]
            until(lambda: sidecar.metric("model_agent_quarantined_releases") or None)
            assert sidecar.metric("model_agent_verify_failures_total") == 1
            assert not (cluster.store / "releases" / "v2").exists()
            assert cluster.active() == "v1"
            cluster.agent("promote", "v1")
            sidecar.look_now()
            sidecar.wait_for("marker.read", version="v1", previous=["v2"])
            until(lambda: sidecar.status()["desired"] == "v1" or None)
            assert worker.embed(*TEXTS).headers["X-Model-Version"] == "v1"
            assert sidecar.get("/readyz").status_code == 200
    assert (cluster.store / "releases" / "v1" / "manifest.json").read_bytes() == before


@pytest.mark.slow
def test_quarantined_release_is_tried_again_when_it_changes(cluster: Cluster) -> None:
    """A release that was refused is served once its content, or the marker, is another."""
    flipped = flip_a_bit(cluster.share, "v2")
    good = bytearray(flipped.read_bytes())
    good[len(good) // 2] ^= 1
    with scripted(obey) as worker, cluster.sidecar(worker.url) as sidecar:
        cluster.agent("promote", "v2")
        sidecar.look_now()
        sidecar.wait_for("release.quarantined", version="v2")
        flipped.write_bytes(good)
        sidecar.look_now()
        until(lambda: "quarantined" in sidecar.status()["doing"] or None)
        assert worker.asked == [] or worker.asked[-1]["version"] == "v1"
        cluster.agent("promote", "v2", "--allow-new-space")
        sidecar.look_now()
        sidecar.wait_for("sync.done", version="v2")
        assert cluster.state()["quarantined"] == {}


def test_release_out_of_the_embedding_space_is_refused(cluster: Cluster) -> None:
    """Another space is quarantined with that reason, unless the marker allows it."""
    with pytest.raises(AgentFailedError) as refused:
        cluster.agent("promote", "v3")
    assert refused.value.code == 9
    assert "another space" in refused.value.stderr
    with scripted(obey) as worker, cluster.sidecar(worker.url) as sidecar:
        (cluster.share / "VERSION").write_text("v3\n")
        sidecar.look_now()
        event = sidecar.wait_for("release.quarantined", version="v3")
        assert "another space" in event["reason"]
        assert all(request["version"] != "v3" for request in worker.asked)
        (cluster.share / "VERSION").write_text("v3\n# allow-new-space\n")
        sidecar.look_now()
        sidecar.wait_for("sync.done", version="v3")
    assert cluster.active() == "v3"


def test_a_sidecar_asks_for_no_gpu(cluster: Cluster) -> None:
    """Its checks run on the CPU whatever `--device` says: settings are shared with `init`."""
    with scripted(obey) as worker, cluster.sidecar(worker.url, "--device", "cuda") as sidecar:
        cluster.agent("promote", "v2")
        sidecar.look_now()
        assert sidecar.wait_for("model.warmed", version="v2")["device"] == "cpu"
        sidecar.wait_for("sync.done", version="v2")


@pytest.mark.slow
def test_current_waits_for_the_worker(cluster: Cluster) -> None:
    """A worker that is not up is normal: the release is staged and waits, and `current` stays."""
    with scripted(obey) as gone:
        url = gone.url
    with cluster.sidecar(url) as sidecar:
        cluster.agent("promote", "v2")
        sidecar.look_now()
        sidecar.wait_for("model.warmed", version="v2")
        until(lambda: "waits for it" in sidecar.status()["doing"] or None)
        assert cluster.active() == "v1"
        assert sidecar.get("/readyz").status_code == 200
        assert sidecar.get("/healthz").status_code == 200
    with scripted(obey) as worker, cluster.sidecar(worker.url) as sidecar:
        sidecar.wait_for("sync.done", version="v2")
        assert [request["version"] for request in worker.asked] == ["v2"]
        assert worker.asked[0]["path"] == "releases/v2"
        assert worker.asked[0]["digest"] == cluster.digest("v2")
    assert cluster.active() == "v2"


@pytest.mark.slow
def test_release_that_the_worker_cannot_load_is_quarantined(cluster: Cluster) -> None:
    """A worker that tried and failed puts the release away, and is sent back to the active one."""

    def fail_v2(worker: ScriptedWorker, request: dict[str, str]) -> int:
        if request["version"] == "v2":
            worker.load(request, state="failed", reason="out of tune")
            return 202
        return obey(worker, request)

    with scripted(fail_v2) as worker:
        worker.serve("v1", cluster.digest("v1"))
        with cluster.sidecar(worker.url) as sidecar:
            cluster.agent("promote", "v2")
            sidecar.look_now()
            assert "out of tune" in sidecar.wait_for("release.quarantined")["reason"]
            assert worker.wait_asked(1)["version"] == "v2"
            assert worker.wait_asked(2)["version"] == "v1"
            assert sidecar.metric("model_agent_reload_failures_total") == 1
    assert cluster.active() == "v1"


def test_active_release_that_the_worker_refuses_is_checked_again(cluster: Cluster) -> None:
    """It stays, for want of a better one; what it had passed before counts no more."""

    def refuse(worker: ScriptedWorker, request: dict[str, str]) -> int:
        worker.load(request, state="failed", reason="out of tune")
        return 202

    report = cluster.store / ".agent/warmup.json"
    assert report.exists()
    with scripted(refuse) as worker, cluster.sidecar(worker.url) as sidecar:
        assert "out of tune" in sidecar.wait_for("sync.failed", version="v1")["reason"]
        assert not report.exists()
    assert cluster.active() == "v1"


@pytest.mark.slow
def test_stale_failure_of_another_release_is_not_mistaken(cluster: Cluster) -> None:
    """`failed` counts only for the target that was asked for: v1 failed before, v2 still loads."""

    def slowly(worker: ScriptedWorker, request: dict[str, str]) -> int:
        worker.load(request)
        return 202

    with scripted(slowly) as worker:
        worker.serve("v1", cluster.digest("v1"))
        worker.model |= {"state": "failed", "reason": "something older"}
        worker.model |= {"target": {"version": "v0", "digest": "0" * 64}}
        cluster.agent("promote", "v2")
        with cluster.sidecar(worker.url) as sidecar:
            request = worker.wait_asked(1)
            assert request["version"] == "v2"
            worker.serve("v2", request["digest"])
            sidecar.wait_for("sync.done", version="v2")


def test_reload_that_is_not_confirmed_is_taken_back(cluster: Cluster) -> None:
    """After `--reload-timeout` the worker is asked for the active release, and v2 is put off."""

    def never_v2(worker: ScriptedWorker, request: dict[str, str]) -> int:
        if request["version"] == "v2":
            worker.load(request)
            return 202
        return obey(worker, request)

    with scripted(never_v2) as worker:
        worker.serve("v1", cluster.digest("v1"))
        cluster.agent("promote", "v2")
        with cluster.sidecar(worker.url, "--reload-timeout", "300ms") as sidecar:
            failed = sidecar.wait_for("sync.failed", version="v2")
            assert "did not serve v2 within 0.3 s" in failed["reason"]
            assert worker.wait_asked(2)["version"] == "v1"
            assert cluster.active() == "v1"
            assert cluster.state()["quarantined"] == {}


@pytest.mark.slow
def test_two_reloads_that_kill_the_worker_count_as_a_failed_one(cluster: Cluster) -> None:
    """A worker that restarts while it loads is asked once more, and then no more."""

    def die(worker: ScriptedWorker, request: dict[str, str]) -> int:
        if request["version"] == "v1":
            return obey(worker, request)
        worker.serve("v1", digest)
        worker.model |= {"instance": worker.model["instance"] + "+", "target": None}
        return 202

    digest = cluster.digest("v1")
    with scripted(die) as worker:
        worker.serve("v1", digest)
        cluster.agent("promote", "v2")
        with cluster.sidecar(worker.url) as sidecar:
            assert "restarted while it loaded" in sidecar.wait_for("sync.failed")["reason"]
            sidecar.look_now()
            assert "never ended" in sidecar.wait_for("release.quarantined")["reason"]
            assert [r["version"] for r in worker.asked if r["version"] == "v2"] == ["v2", "v2"]
    assert cluster.active() == "v1"


@pytest.mark.slow
def test_two_killed_attempts_are_remembered_on_disk(cluster: Cluster) -> None:
    """Agents that are killed while the worker loads leave a record; the third gives up."""

    def load_for_ever(worker: ScriptedWorker, request: dict[str, str]) -> int:
        if request["version"] == "v2":
            worker.load(request)
            return 202
        return obey(worker, request)

    with scripted(load_for_ever) as worker:
        worker.serve("v1", cluster.digest("v1"))
        cluster.agent("promote", "v2")
        for count in (1, 2):
            with cluster.sidecar(worker.url) as sidecar:
                worker.wait_asked(count)
                assert cluster.state()["attempts"] == {"v2": count}
                sidecar.process.kill()
                sidecar.process.wait()
        with cluster.sidecar(worker.url) as sidecar:
            sidecar.wait_for("release.quarantined", version="v2")
            assert worker.wait_asked(3)["version"] == "v1"


def test_what_init_activated_is_not_asked_for_again(cluster: Cluster) -> None:
    """A worker that serves the active release is left alone; one that serves another is not."""
    with scripted(obey) as worker:
        worker.serve("v1", cluster.digest("v1"))
        with cluster.sidecar(worker.url) as sidecar:
            until(lambda: "no other release" in sidecar.status()["doing"] or None)
            assert worker.asked == []
            worker.serve("v0", "0" * 64)
            sidecar.look_now()
            assert worker.wait_asked(1)["version"] == "v1"


@pytest.mark.slow
def test_share_that_goes_away_changes_nothing(cluster: Cluster) -> None:
    """A dead share leaves the pod alive and ready; what it says later is served."""
    away = cluster.root / "away"
    with scripted(obey) as worker, cluster.sidecar(worker.url) as sidecar:
        worker.wait_asked(1)
        cluster.share.rename(away)
        sidecar.look_now()
        sidecar.wait_for("share.unreachable")
        until(lambda: sidecar.metric("model_agent_share_reachable") == 0 or None)
        assert sidecar.get("/healthz").status_code == 200
        assert sidecar.get("/readyz").status_code == 200
        assert sidecar.status()["share"]["reachable"] is False
        away.rename(cluster.share)
        cluster.agent("promote", "v2")
        sidecar.look_now()
        sidecar.wait_for("sync.done", version="v2")


@pytest.mark.parametrize(
    "torn", [b"", b"\0" * 512, b"v2", b"not a version!\n"], ids=["empty", "NULs", "short", "bad"]
)
def test_marker_that_says_nothing_sound_changes_nothing(cluster: Cluster, torn: bytes) -> None:
    """A torn marker is unknown, never a change; only `v2` without a newline is a good one."""
    with scripted(obey) as worker, cluster.sidecar(worker.url) as sidecar:
        worker.wait_asked(1)
        (cluster.share / "VERSION").write_bytes(torn)
        sidecar.look_now()
        if torn == b"v2":
            sidecar.wait_for("sync.done", version="v2")
            return
        sidecar.wait_for("marker.unknown")
        assert sidecar.status()["desired"] == "v1"
        assert cluster.active() == "v1"


def test_sighup_looks_now(cluster: Cluster) -> None:
    """SIGHUP has the share looked at, however long the poll interval is."""
    with scripted(obey) as worker, cluster.sidecar(worker.url, poll="1h") as sidecar:
        worker.wait_asked(1)
        cluster.agent("promote", "v2")
        sidecar.process.send_signal(signal.SIGHUP)
        sidecar.wait_for("sync.done", version="v2")


@pytest.mark.slow
def test_worker_that_cannot_be_told_is_left_alone(cluster: Cluster) -> None:
    """`--reload-method none` stages, checks and activates, and never calls the worker."""
    with (
        scripted(obey) as worker,
        cluster.sidecar(worker.url, "--reload-method", "none") as sidecar,
    ):
        cluster.agent("promote", "v2")
        sidecar.look_now()
        sidecar.wait_for("sync.done", version="v2")
        assert worker.asked == []
        assert worker.looks == 0
    assert cluster.active() == "v2"


@pytest.mark.slow
def test_unix_socket(cluster: Cluster) -> None:
    """The worker's admin listener may be a socket that both containers mount."""
    socket = f"unix://{cluster.root}/worker.sock"
    with cluster.worker(admin=socket) as worker:
        worker.wait("ready")
        with cluster.sidecar(socket) as sidecar:
            cluster.agent("promote", "v2")
            sidecar.look_now()
            sidecar.wait_for("sync.done", version="v2")
            assert worker.model()["version"] == "v2"


@pytest.mark.slow
def test_only_so_many_releases_are_kept(cluster: Cluster) -> None:
    """`--keep 1` leaves the active release alone in the store."""
    with scripted(obey) as worker, cluster.sidecar(worker.url, "--keep", "1") as sidecar:
        cluster.agent("promote", "v2")
        sidecar.look_now()
        sidecar.wait_for("release.pruned", version="v1")
    assert [p.name for p in (cluster.store / "releases").iterdir()] == ["v2"]


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
def test_sigterm_in_the_middle_of_staging(cluster: Cluster) -> None:
    """SIGTERM ends the agent within 5 s while it stages; the store is good, the next goes on."""
    write_big_release(cluster.share, "v4")
    staging = cluster.store / ".agent" / "staging" / "v4"
    with scripted(obey) as worker:
        with cluster.sidecar(worker.url) as sidecar:
            worker.wait_asked(1)
            (cluster.share / "VERSION").write_text("v4\n")
            sidecar.look_now()
            until(lambda: (staging / "big.dat").exists() or None)
            began = time.monotonic()
            sidecar.process.send_signal(signal.SIGTERM)
            assert sidecar.process.wait(10) == 0
            assert time.monotonic() - began < 5
        assert cluster.active() == "v1"
        assert not (cluster.store / "releases" / "v4").exists()
        cluster.agent("verify", "v1")
        with cluster.sidecar(worker.url) as sidecar:
            staged = sidecar.wait_for("release.staged", version="v4")
            assert staged.get("resumed_bytes", 0) + staged.get("share_bytes", 0) == 400 * 2**20
            sidecar.wait_for("sync.done", version="v4")


def test_newer_marker_ends_a_staging_under_way(cluster: Cluster) -> None:
    """A bump while another release is staged wins: the older one is dropped."""
    write_big_release(cluster.share, "v4")
    staging = cluster.store / ".agent" / "staging" / "v4"
    with scripted(obey) as worker, cluster.sidecar(worker.url, poll="100ms") as sidecar:
        worker.wait_asked(1)
        (cluster.share / "VERSION").write_text("v4\n")
        until(lambda: (staging / "big.dat").exists() or None)
        cluster.agent("promote", "v2")
        sidecar.wait_for("sync.superseded", version="v4")
        sidecar.wait_for("sync.done", version="v2")
        assert not staging.exists()
        assert all(request["version"] != "v4" for request in worker.asked)


def test_idle_sidecar_imports_nothing_heavy(cluster: Cluster) -> None:
    """An idle sidecar maps no onnxruntime, NumPy or tokenizers, and runs few threads."""
    with scripted(obey) as worker, cluster.sidecar(worker.url) as sidecar:
        worker.wait_asked(1)
        mapped = Path(f"/proc/{sidecar.process.pid}/maps").read_bytes()
        assert not any(name in mapped for name in (b"onnxruntime", b"numpy", b"tokenizers"))
        assert len(list(Path(f"/proc/{sidecar.process.pid}/task").iterdir())) < 10
