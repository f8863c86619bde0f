"""A store that several agents work on, or that belongs to a group of users."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.matrix import case
from tests.faults.serving import Serving, serving
from tests.support import models, workers
from tests.support.traffic import Traffic
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.pods import Pod

_GROUP: Final = 2000


def as_user(uid: int) -> tuple[str, ...]:
    """What has a command run as a user whose only tie to the store is its group.

    It may read all, for this test's interpreter may stand in a closed directory; no more than that.
    """
    ids = (f"--reuid={uid}", f"--regid={uid}", f"--groups={_GROUP}")
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return ("setpriv", *ids, "--bounding-set=-all,+dac_read_search", *reading)


def give_to_group(store: Path) -> None:
    """Do as Kubernetes does with a volume and an `fsGroup`; and let others pass to it."""
    os.chown(store, 0, _GROUP)
    store.chmod(0o2775)
    for directory in store.parents:
        if directory.name.startswith(("test_", "popen-", "pytest-")):
            directory.chmod(0o711)


@contextmanager
def second_pod(pod: Pod) -> Iterator[Serving]:
    """Another worker with a sidecar of its own, over the same store."""
    log = pod.root / "second.log"
    with workers.worker(pod.store, model=models.MINILM, log=log) as worker:
        worker.wait("ready")
        with pod.sidecar(worker.admin) as sidecar:
            made = Serving(pod, worker, sidecar, Traffic(worker.serving))
            made.traffic.start()
            try:
                yield made
            finally:
                made.traffic.stop()
            assert made.traffic.failures == [], made.traffic.failures[:3]


@case("store", "two sidecars on one store")
def test_two_sidecars(pod: Pod) -> None:
    """Each bump is staged once at a time, and both workers serve it."""
    with serving(pod) as one, second_pod(pod) as other:
        one.settle("v1")
        one.allowed.add("v3")
        for version in ("v2", "v3"):
            one.mark(f"{version}\n")
            other.sidecar.look_now()
            one.settle(version)
            other.settle(version)
            pod.agent("verify", version)
            assert one.sidecar.metric("model_agent_quarantined_releases") == 0
            assert other.sidecar.metric("model_agent_quarantined_releases") == 0


@case("store", "init beside a sidecar")
def test_init_beside_a_sidecar(pod: Pod) -> None:
    """Both work on the same bump at once; the worker serves it, and `init` ends well."""
    with serving(pod) as running:
        running.settle("v1")
        running.allowed.add("v3")
        for version in ("v2", "v3"):
            running.mark(f"{version}\n")
            assert f"{version} is active" in pod.agent("init")
            running.settle(version)
            pod.agent("verify", version)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
@case("store", "arbitrary uids with group write")
def test_several_users_of_one_group(fresh: Pod) -> None:
    """Init, sidecar and worker are three users of the volume's group; files are still shared."""
    give_to_group(fresh.store)
    fresh.agent("promote", "v1")
    fresh.prefix = as_user(1001)
    fresh.agent("init")
    fresh.prefix = as_user(1002)
    with serving(fresh, prefix=as_user(1003)) as running:
        for version in ("v2", "v1", "v2"):
            running.mark(f"{version}\n")
            running.settle(version)
        shared = [
            next((fresh.store / "releases" / version).rglob("*/snapshots/*/tokenizer.json"))
            for version in ("v1", "v2")
        ]
        assert shared[0].samefile(shared[1])
        owners = {path.lstat().st_uid for path in (fresh.store / "releases").rglob("*.onnx*")}
        assert owners == {1001, 1002}
        bad = next((fresh.store / "releases" / "v1").rglob("model.onnx"))
        running.mark("v1\n")
        running.settle("v1")
        os.truncate(bad, 1000)
        running.sidecar.wait_for("sync.repaired", version="v1")
        until(lambda: bad.stat().st_uid == 1002)
        running.settle("v1")
