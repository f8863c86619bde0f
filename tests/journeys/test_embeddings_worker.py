"""The embeddings worker as a process: it serves, reloads, refuses and stops as the contract says.

Its releases are tiny models of different seeds, so that the vectors themselves tell which release
an answer came from.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from msgspec.structs import replace

from agent.release.manifest import Canary
from agent.store import records
from agent.warmup import passes, report
from agent.warmup.protocol import Measured
from tests.support import models, stores
from tests.support.workers import APP, ROOT, until, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.release.canary import Precision
    from agent.release.manifest import Manifest
    from tests.support.workers import Worker

WIDE = 512
NAME, REPO = models.MINILM, models.MINILM_REPO
TEXTS = [
    "when does the library open",
    "lecture notes " * 40,
    "where can I eat at noon?",
    "campus map",
    "how to renew a book that I borrowed",
    "exam dates " * 9,
]


@dataclass(frozen=True)
class Sources:
    """Tiny models by seed: their files, canaries, and vectors of `TEXTS`; and one not so tiny."""

    files: list[Path]
    canaries: list[Canary]
    vectors: list[dict[str, list[float]]]
    wide: Path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Two tiny models in different embedding spaces, embedded by stock FastEmbed."""
    from fastembed import TextEmbedding

    made = Sources([], [], [], wide=tmp_path_factory.mktemp("wide"))
    models.write_tiny(made.wide, hidden=WIDE)
    for seed in range(2):
        root = tmp_path_factory.mktemp(f"seed{seed}")
        models.write_tiny(root / "files", seed=seed)
        made.files.append(root / "files")
        scratch = root / "cache"
        canary = stores.canary_of(root / "files", name=NAME, repo=REPO, scratch=scratch)
        made.canaries.append(canary)
        stock = TextEmbedding(NAME, cache_dir=str(scratch), local_files_only=True, threads=1)
        vectors = {text: next(iter(stock.embed([text]))).tolist() for text in TEXTS}
        made.vectors.append(vectors)
    return made


@dataclass(frozen=True)
class Shelf:
    """A store, and how tests put releases into it."""

    root: Path
    sources: Sources
    staged: dict[str, Manifest] = field(default_factory=dict)

    def stage(
        self, version: str, *, seed: int = 0, canary: Canary | None = None, repo: str = REPO
    ) -> Manifest:
        """Stage a release with the model of `seed`, and its canary unless another is given."""
        self.staged[version] = stores.fastembed_release(
            self.root,
            version,
            self.sources.files[seed],
            name=NAME if repo == REPO else repo,
            repo=repo,
            canary=canary or self.sources.canaries[seed],
        )
        return self.staged[version]

    def stage_slow(self, version: str) -> Manifest:
        """Stage a release whose check takes a second or more, and then fails."""
        texts = tuple(f"{number} words " * 20 for number in range(200))
        canary = Canary(texts=texts, vectors=((1.0,) * WIDE,) * len(texts))
        self.staged[version] = stores.fastembed_release(
            self.root, version, self.sources.wide, name=NAME, repo=REPO, canary=canary, dim=WIDE
        )
        return self.staged[version]


@pytest.fixture
def shelf(tmp_path: Path, sources: Sources) -> Shelf:
    """A store with v1 (seed 0) active."""
    shelf = Shelf(tmp_path / "store", sources)
    shelf.stage("v1")
    stores.activate(shelf.root, "v1")
    return shelf


@pytest.fixture
def serving(shelf: Shelf, tmp_path: Path) -> Iterator[Worker]:
    """A worker that serves v1 of the shelf, in batches of four."""
    with worker(shelf.root, "--max-batch", "4", model=NAME, log=tmp_path / "log") as running:
        running.wait("ready", "v1")
        yield running


@pytest.fixture(scope="module")
def steady(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that serves v1 and that no test changes."""
    root = tmp_path_factory.mktemp("steady")
    shelf = Shelf(root / "store", sources)
    shelf.stage("v1")
    stores.activate(shelf.root, "v1")
    with worker(shelf.root, model=NAME, log=root / "log") as running:
        running.wait("ready", "v1")
        yield running


def vectors_of(answer: Any) -> list[list[float]]:
    return [item["embedding"] for item in answer.json()["data"]]


def test_vectors_are_fastembeds(steady: Worker, sources: Sources) -> None:
    """Texts of mixed length, in one request, get the vectors of stock FastEmbed, in order."""
    answer = steady.embed(*TEXTS, model=NAME)
    assert answer.status_code == 200
    assert answer.headers["X-Model-Version"] == "v1"
    expected = [sources.vectors[0][text] for text in TEXTS]
    np.testing.assert_allclose(vectors_of(answer), expected, atol=1e-5)


def test_the_answer_has_openais_shape(steady: Worker) -> None:
    """An OpenAI client finds what it looks for: order, model name and tokens used."""
    body = steady.embed("campus map", "campus map campus map").json()
    assert (body["object"], body["model"]) == ("list", NAME)
    assert [item["index"] for item in body["data"]] == [0, 1]
    once = steady.embed("campus map").json()["usage"]["prompt_tokens"]
    # Twice the text is twice the tokens, but for the two that mark start and end.
    assert body["usage"]["prompt_tokens"] == once + (2 * (once - 2) + 2)
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"]


def test_base64_holds_the_same_numbers(steady: Worker) -> None:
    """Float and base64 differ in form only."""
    plain = vectors_of(steady.embed("campus map"))[0]
    coded = steady.embed("campus map", encoding_format="base64").json()["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(coded), "<f4").tolist() == pytest.approx(plain)


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (404, {"model": "text-embedding-3-small"}),
        (400, {"input": []}),
        (400, {"input": [[101, 102]]}),
        (400, {"input": ["a"] * 2049}),
        (400, {"encoding_format": "hex"}),
        (400, {"dimensions": 16}),
    ],
)
def test_a_bad_request_is_told_so(steady: Worker, status: int, fields: dict[str, Any]) -> None:
    """Errors have OpenAI's shape and name the release that serves."""
    answer = steady.embed("a", **fields)
    assert answer.status_code == status
    assert answer.headers["X-Model-Version"] == "v1"
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_an_unknown_path_is_a_404_in_json(steady: Worker) -> None:
    """What a client asks for by mistake is answered like any other error."""
    answer = steady.http.post("/v1/chat/completions", json={})
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Not Found")


def test_reload_is_not_on_the_serving_port(steady: Worker) -> None:
    """Clients of the serving port cannot reload or inspect the worker."""
    assert steady.http.post("/reload", json={}).status_code == 404
    assert steady.http.get("/model").status_code == 404


@pytest.mark.slow
def test_every_answer_under_load_is_from_exactly_one_release(serving: Worker, shelf: Shelf) -> None:
    """Through eight reloads under load no request fails, and no answer mixes two releases."""
    shelf.stage("v2", seed=1)
    expected = {"v1": shelf.sources.vectors[0], "v2": shelf.sources.vectors[1]}
    stop = threading.Event()
    seen: list[str] = []
    wrong: list[object] = []

    def ask(number: int) -> None:
        texts = (TEXTS * 3)[number : 1 + 5 * number]  # 1 to 13 texts, where a batch is four
        while not stop.is_set():
            answer = serving.embed(*texts)
            version = answer.headers.get("X-Model-Version", "none")
            if answer.status_code != 200 or not np.allclose(
                vectors_of(answer), [expected[version][text] for text in texts], atol=1e-4
            ):
                wrong.append((answer.status_code, version, answer.text[:200]))
            seen.append(version)

    threads = [threading.Thread(target=ask, args=[number], daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for version in ["v2", "v1"] * 4:
        before = len(seen)
        assert serving.reload(shelf.staged[version]).status_code == 202
        serving.wait("ready", version)
        until(lambda before=before: len(seen) > before + 8)  # type: ignore[misc]
    stop.set()
    for thread in threads:
        thread.join(20)
    assert wrong == []
    assert set(seen) == {"v1", "v2"}


def test_a_model_that_misses_its_canary_never_serves(serving: Worker, shelf: Shelf) -> None:
    """A release whose model gives other vectors than its canary is refused, with the cosine."""
    serving.reload(shelf.stage("v2", seed=1, canary=shelf.sources.canaries[0]))
    model = serving.wait("failed", "v2")
    assert model["version"] == "v1"
    assert NAME in model["reason"]
    assert "cosine" in model["reason"]


def stage_passed(shelf: Shelf, *, wrong: int, precision: Precision = "fp32") -> Manifest:
    """Stage v2 as if the agent had just run it, with a canary that is wrong in one text."""
    right = shelf.sources.canaries[0]
    vectors = list(right.vectors)
    vectors[wrong] = tuple(-number for number in vectors[wrong])
    staged = shelf.stage("v2", canary=replace(right, vectors=tuple(vectors)))
    seen = Measured(staged.models[0].ref, 32, 512, precision, device="cpu", cosines=(1.0,))
    agent = shelf.root / ".agent"
    records.directory(agent).mkdir(parents=True)
    report.write(agent, staged, [seen])
    records.write(agent, staged, shelf.root / "releases/v2")
    return staged


def test_what_the_agent_ran_here_is_held_to_one_text(serving: Worker, shelf: Shelf) -> None:
    """After the agent's own check on this machine's CPU, the other texts are not run again."""
    serving.reload(stage_passed(shelf, wrong=1))
    serving.wait("ready", "v2")


def test_that_text_must_be_right(serving: Worker, shelf: Shelf) -> None:
    """Also of what the agent ran here, a model that gives another vector for it is refused."""
    serving.reload(stage_passed(shelf, wrong=0))
    assert "cosine" in serving.wait("failed", "v2")["reason"]


@pytest.mark.parametrize("why", ["nothing on record", "a file was written", "not fp32"])
def test_all_texts_are_run_otherwise(serving: Worker, shelf: Shelf, why: str) -> None:
    """Where the record is of something else, or of weights that have other kernels."""
    staged = stage_passed(shelf, wrong=1, precision="int8" if why == "not fp32" else "fp32")
    if why == "nothing on record":
        passes.forget(shelf.root / ".agent")
    elif why == "a file was written":
        next((shelf.root / "releases/v2").rglob("model.onnx")).touch()
    serving.reload(staged)
    assert "cosine" in serving.wait("failed", "v2")["reason"]


def test_a_release_without_the_model_says_what_it_holds(serving: Worker, shelf: Shelf) -> None:
    """A release of other models fails, and its reason names them."""
    serving.reload(shelf.stage("v2", repo="Org/other"))
    assert "Org/other (fastembed)" in serving.wait("failed", "v2")["reason"]


def test_a_model_without_a_canary_is_warmed(serving: Worker, shelf: Shelf) -> None:
    """A canary is optional; without one the model must give finite vectors of its dimension."""
    files = shelf.sources.files[1]
    kept = stores.fastembed_release(shelf.root, "v2", files, name=NAME, repo=REPO)
    serving.reload(kept)
    serving.wait("ready", "v2")
    wide = stores.fastembed_release(shelf.root, "v3", files, name=NAME, repo=REPO, dim=48)
    serving.reload(wide)
    assert "48" in serving.wait("failed", "v3")["reason"]


def test_without_current_it_waits_for_a_reload(shelf: Shelf, tmp_path: Path) -> None:
    """A worker in an empty store is alive, not ready, says why, and serves after a reload."""
    (shelf.root / "current").unlink()
    with worker(shelf.root, model=NAME, log=tmp_path / "log") as running:
        model = running.wait("failed")
        assert (model["version"], model["target"]) == (None, None)
        assert running.http.get("/healthz").status_code == 200
        refused = running.embed("a")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        assert int(refused.headers["Retry-After"]) > 0
        assert "X-Model-Version" not in refused.headers
        unready = running.http.get("/readyz")
        assert (unready.status_code, "current" in unready.text) == (503, True)
        running.reload(shelf.staged["v1"])
        running.wait("ready", "v1")
        assert running.http.get("/readyz").status_code == 200
        assert running.embed("a").status_code == 200


def test_sighup_reads_current_again(serving: Worker, shelf: Shelf) -> None:
    """With `--reload-method signal` the agent flips `current` and sends SIGHUP."""
    shelf.stage("v2", seed=1)
    stores.activate(shelf.root, "v2")
    serving.process.send_signal(signal.SIGHUP)
    serving.wait("ready", "v2")


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is here"
)
def test_cuda_is_never_silently_the_cpu(shelf: Shelf, tmp_path: Path) -> None:
    """Asked for CUDA where there is none, the load fails and says so; auto takes the CPU."""
    with worker(shelf.root, "--device", "cuda", model=NAME, log=tmp_path / "log") as running:
        model = running.wait("failed", "v1")
        assert model["version"] is None
        assert "cuda" in model["reason"].lower()
    with worker(shelf.root, "--device", "auto", model=NAME, log=tmp_path / "log") as running:
        running.wait("ready", "v1")


def test_sigterm_answers_what_is_in_flight(serving: Worker) -> None:
    """A request that has begun is answered after SIGTERM, new ones are not taken, exit is 0."""
    host, port = serving.serving.removeprefix("http://").split(":")
    body = json.dumps({"input": TEXTS}).encode()
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: worker\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as begun:
        begun.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert b"100 Continue" in begun.recv(100)  # the worker waits for the rest
        serving.process.terminate()
        until(lambda: refuses(host, int(port)))
        begun.sendall(body)
        answer = begun.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["data"]) == len(TEXTS)
    assert serving.process.wait(10) == 0


def test_sigterm_answers_who_keeps_a_connection(serving: Worker) -> None:
    """Its next request may be on its way already: it is answered, and told to go elsewhere."""
    host, port = serving.serving.removeprefix("http://").split(":")
    client = HTTPConnection(host, int(port), timeout=20)
    body, said = json.dumps({"input": TEXTS}).encode(), []
    for ending in (False, True):
        if ending:
            serving.process.terminate()
            until(lambda: refuses(host, int(port)))
        client.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
        answer = client.getresponse()
        assert answer.status == 200
        assert len(json.loads(answer.read())["data"]) == len(TEXTS)
        said.append(answer.getheader("Connection"))
    assert said == [None, "close"]
    assert serving.process.wait(10) == 0


@pytest.mark.slow
def test_sigterm_waits_once_for_who_never_ends(serving: Worker) -> None:
    """A request that never comes whole holds the end up for 20 s, within a pod's grace of 45 s."""
    host, port = serving.serving.removeprefix("http://").split(":")
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: worker\r\nContent-Length: 9\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as begun:
        begun.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert b"100 Continue" in begun.recv(100)
        serving.process.terminate()
        assert serving.process.wait(35) == 0


def refuses(host: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) != 0


def test_sigterm_does_not_wait_for_a_load(serving: Worker, shelf: Shelf) -> None:
    """A worker that is told to stop while a model is at work in a thread stops at once, with 0."""
    idle = cpu_seconds(serving)
    serving.reload(shelf.stage_slow("v2"))
    until(lambda: cpu_seconds(serving) > idle + 1.0)  # it is in the midst of the check
    began = time.monotonic()
    serving.process.terminate()
    assert serving.process.wait(10) == 0
    assert time.monotonic() - began < 3
    log = serving.log.read_text()
    assert "Traceback" not in log
    assert "model.failed" not in log  # the check had not come to its end


def cpu_seconds(running: Worker) -> float:
    """What the process has used so far."""
    fields = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("admin", ["0.0.0.0:0", "example.org:8081", "taken"])
def test_a_bad_admin_address_is_exit_2(steady: Worker, tmp_path: Path, admin: str) -> None:
    """An admin listener that others could reach, or that is taken, is a configuration error."""
    admin = steady.admin.removeprefix("http://") if admin == "taken" else admin
    command = [sys.executable, str(APP), "--port", "0", "--admin", admin, "--model", NAME]
    ended = subprocess.run(
        [*command, "--store", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 2
    assert admin in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
