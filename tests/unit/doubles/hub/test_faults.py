"""Every fault can be had on demand, and is seen through the real client; no bad file is kept."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.support.hub_clients import Answer, Client
from tests.support.hub_double import Hub, pointer_of, write_repo
from tests.unit.doubles.hub.conftest import COMMIT, FILES, REPO, WEIGHTS

pytestmark = pytest.mark.slow  # every call is a process of the real client

STEPS: Final = ("ModelInfo", "Tree", "ResolveHead", "Resolve", "Content")
# The client hands on what it read in pieces of this size: it resumes at a multiple of it.
PIECE: Final = 10 * 1024 * 1024
LARGE: Final = random.Random(5).randbytes(PIECE + 100_000)
CONFIG: Final = FILES["config.json"]


def load(client: Client, name: str) -> Answer:
    """Ask for one file."""
    return client.ask("download", repo=REPO, filename=name)


def attempt(client: Client, step: str) -> Answer:
    """A call that comes to this step."""
    if step == "ModelInfo":
        return client.ask("brief_info", repo=REPO)
    if step == "Tree":
        return client.ask("tree", repo=REPO)
    return load(client, "model.onnx" if step == "Content" else "config.json")


def data(answer: Answer) -> bytes:
    """What was downloaded."""
    return Path(answer.value).read_bytes()


def blobs(client: Client) -> list[bytes]:
    """Every file that the client keeps as downloaded, or in part."""
    return [path.read_bytes() for path in client.cache.glob("models--*/blobs/*")]


def statuses(hub: Hub, step: str) -> list[int]:
    """The statuses that a step was answered with."""
    return [entry["status"] for entry in hub.requests(step)]


@pytest.fixture
def large(root: Path) -> str:
    """A repository with a file that takes the client more than one piece."""
    write_repo(root, "acme/large-file", COMMIT, {"model.onnx": LARGE})
    return "acme/large-file"


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("throttled", 429, "rate limit"),
        ("busy", 503, "Service Unavailable"),
        ("forbidden", 403, "Forbidden"),
        ("unauthorized", 401, "Invalid credentials"),
        ("not_found", 404, "Repository Not Found"),
    ],
)
def test_error_answers(hub: Hub, client: Client, kind: str, status: int, words: str) -> None:
    """An error answer to an API call reaches the caller at once, with its status and words."""
    for step in ("ModelInfo", "Tree"):
        hub.fault(kind, operation=step)
        answer = attempt(client, step)
        assert answer.status == status
        assert words in answer.sentence
        assert ("RepositoryNotFoundError" in answer.kinds) is (kind == "not_found")
        assert statuses(hub, step) == [status]


@pytest.mark.parametrize(
    ("kind", "status"), [("busy", 503), ("forbidden", 403), ("unauthorized", 401)]
)
@pytest.mark.parametrize("step", ["Resolve", "Content"])
def test_error_instead_of_file(hub: Hub, client: Client, step: str, kind: str, status: int) -> None:
    """An error in place of a file's bytes is raised, not retried, and nothing is kept."""
    hub.fault(kind, operation=step)
    assert attempt(client, step).status == status
    assert statuses(hub, step) == [status]
    assert blobs(client) == []
    assert attempt(client, step).error == ""


@pytest.mark.parametrize("kind", ["throttled", "busy"])
def test_retried_head(hub: Hub, client: Client, kind: str) -> None:
    """The client asks again for a file's metadata when the Hub is busy."""
    hub.fault(kind, operation="ResolveHead")
    assert data(load(client, "config.json")) == CONFIG
    assert statuses(hub, "ResolveHead")[1:] == [200]


@pytest.mark.parametrize("step", ["Resolve", "Content"])
def test_throttled(hub: Hub, client: Client, step: str) -> None:
    """The client waits as long as a 429 tells it to, and then has the file."""
    hub.fault("throttled", operation=step, retry_after=1)
    start = time.monotonic()
    answer = attempt(client, step)
    assert answer.error == ""
    assert time.monotonic() - start >= 2.0  # it adds one second
    assert "Rate limited" in answer.said
    assert statuses(hub, step) == [429, 200]


def test_throttled_headers(hub: Hub) -> None:
    """A 429 says when to come back by both of its headers."""
    hub.fault("throttled", retry_after=7, code="TooMany", message="Slower")
    answer = httpx.get(f"{hub.url}/api/models/{REPO}", trust_env=False)
    assert (answer.headers["Retry-After"], answer.headers["X-Error-Code"]) == ("7", "TooMany")
    assert answer.headers["RateLimit"] == '"resolvers";r=0;t=7'
    assert answer.json() == {"error": "Slower"}


@pytest.mark.parametrize("kind", ["forbidden", "html_page"])
def test_no_metadata(hub: Hub, client: Client, kind: str) -> None:
    """A proxy's refusal or page in place of a file's metadata reads as a Hub that is away."""
    hub.fault(kind, operation="ResolveHead", count=None)
    assert load(client, "config.json").error == "LocalEntryNotFoundError"
    hub.heal()
    kept = load(client, "config.json")
    hub.fault(kind, operation="ResolveHead", count=None)
    assert load(client, "config.json") == kept


@pytest.mark.parametrize("kind", ["html_page", "lfs_pointer"])
@pytest.mark.parametrize("step", ["Resolve", "Content"])
def test_other_body(hub: Hub, client: Client, step: str, kind: str) -> None:
    """A page or a pointer under status 200 is caught by its size, and nothing is kept."""
    hub.fault(kind, operation=step)
    answer = attempt(client, step)
    assert answer.error == "OSError"
    assert "Consistency check failed" in answer.sentence
    assert statuses(hub, step) == [200]
    assert blobs(client) == []


def test_what_replaces_a_body(hub: Hub) -> None:
    """A page is HTML; a pointer is that of the very file; neither has the file's headers."""
    url = f"{hub.url}/{REPO}/resolve/main/model.onnx"
    got = []
    for kind in ("html_page", "lfs_pointer"):
        hub.fault(kind, operation="Content")
        got.append(httpx.get(url, follow_redirects=True, trust_env=False))
        assert (got[-1].status_code, "ETag" in got[-1].headers) == (200, False)
    page, pointer = got
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.text.startswith("<!DOCTYPE html>")
    assert pointer.content == pointer_of(WEIGHTS)


def test_replaced_unnoticed(hub: Hub, client: Client) -> None:
    """Another body of the right size passes unnoticed: the client compares no digest."""
    other = "x" * len(CONFIG)
    hub.fault("replace", operation="Resolve", body=other, headers={"Content-Type": "text/x"})
    assert data(load(client, "config.json")) == other.encode()
    (entry,) = hub.requests("Resolve")
    assert (entry["bytes_out"], entry["faults"]) == (len(other), ["replace"])


def test_replaced_and_cut(hub: Hub) -> None:
    """What takes a body's place can be spoilt as that could, and takes an error's place too."""
    hub.fault("replace", body="a page of {size} bytes")
    hub.fault("flip", at=0)
    answer = httpx.get(f"{hub.url}/{REPO}/resolve/main/none", trust_env=False)
    assert (answer.status_code, answer.text) == (200, "` page of 15 bytes")


@pytest.mark.parametrize("rule", [{}, {"body": 3}, {"body": "x", "status": 200}], ids=str)
def test_bad_replacements(hub: Hub, rule: dict[str, Any]) -> None:
    """A replacement without a text, or with what it does not take, is refused."""
    answer = hub.control.post("/_control/faults", json={"kind": "replace", **rule})
    assert answer.status_code == 400
    assert hub.faults() == []


def test_flipped_bit(hub: Hub, client: Client) -> None:
    """A flipped bit passes unnoticed: the client compares no digest."""
    hub.fault("flip", operation="Content", at=-1)
    spoilt = data(load(client, "model.onnx"))
    assert (spoilt[:-1], spoilt[-1]) == (WEIGHTS[:-1], WEIGHTS[-1] ^ 1)


def test_resumed(hub: Hub, client: Client, large: str) -> None:
    """After a body cut short, the client goes on from the last whole piece, by a range."""
    hub.fault("truncate", operation="Content", after=PIECE + 50_000)
    assert data(client.ask("download", repo=large, filename="model.onnx")) == LARGE
    first, second = hub.requests("Content")
    assert (first["range"], first["status"]) == (None, 200)
    assert (second["range"], second["status"]) == (f"bytes={PIECE}-", 206)
    assert second["bytes_out"] == len(LARGE) - PIECE


@pytest.mark.parametrize("step", ["Resolve", "Content"])
@pytest.mark.parametrize("kind", ["truncate", "lost"])
def test_started_again(hub: Hub, client: Client, step: str, kind: str) -> None:
    """A file cut short before its first piece, or not answered at all, is asked for again."""
    hub.fault(kind, operation=step)
    answer = attempt(client, step)
    assert data(answer) == (WEIGHTS if step == "Content" else CONFIG)
    assert "Trying to resume" in answer.said
    assert statuses(hub, step) == [200 if kind == "truncate" else 0, 200]


@pytest.mark.parametrize("step", STEPS)
def test_reset(hub: Hub, client: Client, step: str) -> None:
    """A connection reset before the answer ends the call, and nothing is kept."""
    hub.fault("reset", operation=step)
    answer = attempt(client, step)
    assert answer.error == "ReadError"
    assert "reset by peer" in answer.sentence
    assert blobs(client) == []


def test_stalled(hub: Hub, client: Client) -> None:
    """A body that stops costs the client its read timeout, then it starts again."""
    hub.fault("stall", operation="Content", after=1000)
    hasty = Client(hub, client.home, {"HF_HUB_DOWNLOAD_TIMEOUT": "1"})
    answer = load(hasty, "model.onnx")
    assert data(answer) == WEIGHTS
    assert "timed out" in answer.said
    assert statuses(hub, "Content")[-1] == 200


def test_silent(hub: Hub, client: Client) -> None:
    """Metadata that does not come in time is asked for once more."""
    hub.fault("delay", operation="ResolveHead", seconds=60)
    hasty = Client(hub, client.home, {"HF_HUB_ETAG_TIMEOUT": "1"})
    assert data(load(hasty, "config.json")) == CONFIG
    assert hub.faults()[0]["seen"] == 2


def test_slow(hub: Hub, client: Client) -> None:
    """Files pass at the given rate, never faster."""
    hub.fault("throttle", operation="Content", bytes_per_second=2 * len(WEIGHTS), count=None)
    assert data(load(client, "model.onnx")) == WEIGHTS
    assert hub.requests("Content")[0]["seconds"] >= 0.4


def test_counters(hub: Hub, client: Client) -> None:
    """Requests, bytes and statuses are counted by operation; `path` and `nth` choose a file."""
    hub.fault("busy", operation="Content", path="none$")
    hub.fault("flip", operation="Content", path="model.onnx$", nth=2)
    assert client.ask("snapshot", repo=REPO, allow_patterns=["*.onnx", "*.json"]).error == ""
    counted = hub.counters()["operations"]
    assert counted.keys() == set(STEPS)
    file = {"requests": 1, "bytes_in": 0, "statuses": {"200": 1}}
    assert counted["Content"] == file | {"bytes_out": len(WEIGHTS)}
    assert counted["Resolve"] == file | {"bytes_out": len(CONFIG)}
    assert counted["ResolveHead"]["statuses"] == {"200": 1, "302": 1}
    assert [(rule["seen"], rule["hits"]) for rule in hub.faults()] == [(0, 0), (1, 0)]
