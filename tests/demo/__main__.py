"""Tells the story: a release goes out, a better one follows, a bad one does not, one goes back."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import models
from tests.support.pods import Pod
from tests.support.shares import flip, tree
from tests.support.traffic import Traffic

if TYPE_CHECKING:
    from tests.support.models import Weights
    from tests.support.sidecars import Sidecar
    from tests.support.workers import Worker

_BOLD, _DIM, _PLAIN = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "", "")


def main() -> int:
    """Tell it; 0 if no request failed."""
    root = Path(tempfile.mkdtemp(prefix="model-agent-demo-"))
    try:
        pod = Pod(root)
        pod.seconds = 600.0
        return Story(pod).tell()
    finally:
        shutil.rmtree(root)


class Story:
    """The story, chapter by chapter, and the figures that it ends with."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._began = time.monotonic()
        self._figures: list[tuple[str, str]] = []

    def tell(self) -> int:
        """Tell it all; 0 if no request failed."""
        self._chapter("An operator publishes two releases of the real all-MiniLM-L6-v2")
        self._publish("v1", "inline")
        self._publish("v2", "external")
        self._say("v2 has its weights beside the graph, which loads faster; same embedding space.")
        self._say(self._pod.agent("promote", "v1"))

        self._chapter("A pod starts on an empty store")
        cold = time.monotonic()
        self._say("init: " + self._pod.agent("init"))
        with self._pod.worker() as worker:
            worker.wait("ready")
            worker.embed("hello world").raise_for_status()
            self._figure("cold start, empty store to first answer", time.monotonic() - cold)
            self._say("The worker answers: every byte verified, model warmed, canary checked.")
            with self._pod.sidecar(worker.admin) as sidecar:
                return self._serve(worker, sidecar)

    def _serve(self, worker: Worker, sidecar: Sidecar) -> int:
        traffic = Traffic(worker.serving)
        traffic.start()
        traffic.wait_for("v1", more=100)
        self._say("Two clients send requests without pause from here on.")
        self._bump(traffic)
        self._bad_release(traffic, sidecar)
        self._roll_back(traffic, sidecar)
        traffic.stop()
        return self._close(traffic)

    def _bump(self, traffic: Traffic) -> None:
        self._chapter("The operator promotes v2")
        self._say(self._pod.agent("promote", "v2"))
        seconds = traffic.wait_for("v2")
        self._figure("marker bump to first answer from v2", seconds)
        self._say(f"v2 answers {seconds:.1f} s later: staged, verified, checked, hot-reloaded.")
        traffic.wait_for("v2", more=100)

    def _bad_release(self, traffic: Traffic, sidecar: Sidecar) -> None:
        self._chapter("A bad release: v3 has new weights, and a bit flips on the share")
        self._publish("v3", "fp16")
        weights = next(self._pod.share.release("v3").rglob("model.onnx"))
        flip(weights, weights.stat().st_size // 2)
        self._say(f"One bit of {weights.name} is flipped; its size is the same.")
        self._say(self._pod.agent("promote", "v3"))
        event = sidecar.wait_for("release.quarantined", version="v3")
        self._say(f"Refused: {event['reason']}")
        self._figures.append(("what refused v3", event["reason"].split(":")[0].split("/")[-1]))
        traffic.wait_for("v2", more=100)
        self._say(f"v2 answers all the while; v3 gave {traffic.by_release['v3']} answers.")

    def _roll_back(self, traffic: Traffic, sidecar: Sidecar) -> None:
        self._chapter("The operator rolls back")
        self._say(self._pod.agent("rollback"))
        sidecar.wait_for("marker.read", version="v2", previous=["v1"])
        traffic.wait_for("v2", more=50)
        self._say("v2 is what runs already, so nothing moves. Once more, to v1:")
        self._say(self._pod.agent("rollback"))
        seconds = traffic.wait_for("v1")
        self._figure("roll-back to first answer from v1", seconds)
        self._say(f"v1 answers {seconds:.1f} s later: it was still in the store.")
        traffic.wait_for("v1", more=100)

    def _close(self, traffic: Traffic) -> int:
        median, tail = traffic.latencies()
        answers = ", ".join(f"{v} {n}" for v, n in sorted(traffic.by_release.items()) if n)
        self._figures += [
            ("requests sent", f"{traffic.sent} ({answers})"),
            ("requests failed", str(len(traffic.failures))),
            ("latency, median and 99th percentile", f"{median:.0f} ms, {tail:.0f} ms"),
        ]
        self._chapter("In figures")
        width = max(len(name) for name, _ in self._figures)
        for name, value in self._figures:
            print(f"  {name:<{width}}  {value}")
        for failure in traffic.failures[:5]:
            print(f"  failed: {failure}")
        return 1 if traffic.failures else 0

    def _publish(self, version: str, weights: Weights) -> None:
        files = self._pod.root / f"files-{version}"
        models.write_minilm_onnx(files, weights=weights)
        source = tree(self._pod.root / version, files)
        done = self._pod.publish_tree(version, source).ok()
        self._say(done.stdout.splitlines()[0])

    def _chapter(self, title: str) -> None:
        print(f"\n{_BOLD}{title}{_PLAIN}", flush=True)

    def _say(self, text: str) -> None:
        for line in text.splitlines():
            seconds = time.monotonic() - self._began
            print(f"  {_DIM}{seconds:5.1f} s{_PLAIN}  {line}", flush=True)

    def _figure(self, name: str, seconds: float) -> None:
        self._figures.append((name, f"{seconds:.1f} s"))


if __name__ == "__main__":
    sys.exit(main())
