"""What becomes of `publish CATALOG` when the Hub, or what stands before it, misbehaves.

Every cell of the table is a real publisher against the loopback Hub: a fault that passes ends in a
verified release, one that lasts in an exit code with a sentence, in bounded time; the share is
untouched then, and the same command succeeds once the Hub is well again.
"""

from __future__ import annotations

import re
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from tests.support import models
from tests.support.agents import assert_failed
from tests.support.hubs import HubPod, hub_pod
from tests.support.listening import Silent, listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.agents import Result

PATIENCE: Final = "3s"
# Less than the Hub is given, so that it was not waited for.
PROMPT_SECONDS: Final = 60.0
LONG: Final = ("--hub-timeout", "10m")
_SENTENCE: Final = re.compile(r"model-agent: \S.*[^.]\. [A-Z].*\.")


class Cell(NamedTuple):
    """One fault at one step: what it is called, the rule, and the exit code if it lasts."""

    fault: str
    step: str
    rule: dict[str, Any]
    code: int
    says: str


def cell(fault: str, step: str, code: int, says: str, **rule: Any) -> Cell:
    """A cell; the rule's kind is the fault unless it is given."""
    return Cell(fault, step, {"kind": fault, "operation": step, **rule}, code, says)


# Small files are answered by Resolve, weights by a redirect to Content.
PASSING: Final = (
    cell("throttled", "ModelInfo", 3, "busy or throttles", retry_after=1),
    cell("busy", "ModelInfo", 3, "busy or throttles"),
    cell("reset", "ModelInfo", 3, "does not answer"),
    cell("truncate", "ModelInfo", 3, "does not answer"),
    cell("stall", "ModelInfo", 3, "", after=0),
    cell("throttled", "Resolve", 3, "busy or throttles", retry_after=1),
    cell("busy", "Resolve", 3, "busy or throttles"),
    cell("reset", "Resolve", 3, "does not answer"),
    cell("truncate", "Resolve", 3, "does not answer"),
    cell("flip", "Resolve", 5, "has another digest than the Hub says"),
    cell("html_page", "Resolve", 5, "is an HTML page"),
    cell("throttled", "Content", 3, "busy or throttles", retry_after=1),
    cell("busy", "Content", 3, "busy or throttles"),
    cell("reset", "Content", 3, "does not answer"),
    cell("truncate", "Content", 3, "does not answer"),
    cell("flip", "Content", 5, "has another digest than the Hub says"),
    cell("html_page", "Content", 5, "is an HTML page"),
    cell("lfs_pointer", "Content", 5, "is a Git-LFS pointer"),
    cell("stall", "Content", 3, "", after=1000),
)
FINAL: Final = (
    cell("unauthorized", "ModelInfo", 3, "refuses"),
    cell("forbidden", "ModelInfo", 3, "refuses"),
    cell("not_found", "ModelInfo", 4, "has no model"),
    cell("forbidden", "Resolve", 3, "refuses"),
)


def _name(cell: Cell) -> str:
    return f"{cell.fault}-{cell.step}"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[HubPod]:
    """A Hub, an empty share."""
    with hub_pod(tmp_path) as here:
        yield here


@pytest.mark.slow
@pytest.mark.parametrize("cell", PASSING, ids=_name)
def test_a_fault_that_passes(cell: Cell, here: HubPod) -> None:
    """One bad answer costs a retry, and the release is whole."""
    here.hub.fault(**cell.rule, count=1)
    began = time.monotonic()
    done = here.publish("--hub-timeout", PATIENCE)
    _row(cell, "once", done.code, began)
    assert any(rule["hits"] for rule in here.hub.faults()), "the fault met nothing"
    assert done.code == 0, done.sentence
    assert here.run("verify", "2026-11-25", "--on", "share").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("cell", [*PASSING, *FINAL], ids=_name)
def test_a_fault_that_lasts(cell: Cell, here: HubPod) -> None:
    """It ends in its exit code, with a sentence, in bounded time; nothing is on the share."""
    here.hub.fault(**cell.rule, count=None)
    began = time.monotonic()
    done = here.publish("--hub-timeout", PATIENCE)
    _row(cell, "lasting", done.code, began)
    assert done.code == cell.code, done.sentence
    assert cell.says in done.sentence
    assert _SENTENCE.fullmatch(done.sentence), done.sentence
    assert "Traceback" not in "\n".join(done.lines)
    assert list(here.share.root.iterdir()) == []
    here.hub.heal()
    again = here.publish()
    assert again.code == 0, again.sentence


def _row(cell: Cell, how: str, code: int, began: float) -> None:
    seconds = time.monotonic() - began
    print(f"| {cell.step} | {cell.fault} | {how} | exit {code} | {seconds:.1f} |")


def test_a_hub_that_never_answers(here: HubPod) -> None:
    """One that takes the connection and says nothing costs --hub-timeout, not a pod in Init."""
    here.hub.fault("delay", seconds=60, count=None)
    began = time.monotonic()
    done = here.run("init", "--hub-timeout", "2s")
    assert done.code == 3, done.sentence
    assert time.monotonic() - began < 20
    assert "2 s" in done.sentence or "does not answer" in done.sentence


def refusing_proxy(status: int) -> AbstractContextManager[str]:
    """A proxy that lets nobody through."""

    class Proxy(Silent, BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.send_error(status)

    return listening(Proxy)


def assert_told_at_once(done: Result, began: float, *words: str) -> None:
    """Exit 3 and these words, without the tries that help against what passes."""
    assert_failed(done, 3, *words)
    assert "keeps trying" not in done.sentence
    assert time.monotonic() - began < PROMPT_SECONDS


@pytest.mark.parametrize("status", [403, 407])
def test_a_proxy_that_refuses(status: int, here: HubPod) -> None:
    """It is named with what it said."""
    with refusing_proxy(status) as proxy:
        env = {"HF_ENDPOINT": "https://hub.invalid", "HTTPS_PROXY": proxy, "https_proxy": proxy}
        began = time.monotonic()
        done = here.publish(*LONG, env=env)
    assert_told_at_once(done, began, "The proxy refuses to connect", str(status), "HTTPS_PROXY")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"HF_ENDPOINT": "mirror.example/hf"}, "HF_ENDPOINT is 'mirror.example/hf'"),
        (
            {"HF_ENDPOINT": "https://127.0.0.1:9", "SSL_CERT_FILE": "/nowhere/ca.pem"},
            "/nowhere/ca.pem, which SSL_CERT_FILE names, cannot be read",
        ),
    ],
)
def test_a_hub_that_is_set_up_wrongly(env: dict[str, str], said: str, here: HubPod) -> None:
    """What is set wrongly is named."""
    began = time.monotonic()
    assert_told_at_once(here.publish(*LONG, env=env), began, said)


@pytest.mark.slow
def test_a_token(tmp_path: Path) -> None:
    """A private model needs HF_TOKEN; without it the sentence says so, and no log shows a token."""
    with hub_pod(tmp_path, "--token=hf_secret") as here:
        done = here.publish()
        assert done.code == 3, done.sentence
        assert "HF_TOKEN" in done.sentence
        known = here.publish(env={"HF_TOKEN": "hf_secret"})
        assert known.code == 0, known.sentence
        assert "hf_secret" not in "\n".join(known.lines)


@pytest.mark.slow
def test_a_gated_model(tmp_path: Path) -> None:
    """A gated model says that its terms must be accepted."""
    with hub_pod(tmp_path, f"--gated={models.MINILM_REPO}", "--outsider=hf_other") as here:
        done = here.publish(env={"HF_TOKEN": "hf_other"})
        assert done.code == 3, done.sentence
        assert "is gated" in done.sentence
        assert "Accept" in done.sentence


@pytest.mark.slow
def test_a_model_that_was_renamed(tmp_path: Path) -> None:
    """A model under its former name is found, and the log says what it is called now."""
    former = "Qdrant/all-MiniLM-L6-v2-former"
    with hub_pod(tmp_path, f"--renamed={former}={models.MINILM_REPO}") as here:
        text = here.catalog.read_text().replace('"fastembed"', '"huggingface"')
        here.catalog.write_text(text.replace("optimize = true", f'repo = "{former}"'))
        done = here.publish()
        assert [each["now"] for each in done.named("hub.renamed")] == [models.MINILM_REPO]


def test_a_revision_that_is_gone(here: HubPod) -> None:
    """A pinned commit that the Hub does not have is exit 4, and how to pin another is said."""
    text = here.catalog.read_text().replace("0123456789abcdef" * 2 + "01234567", "e" * 40)
    here.catalog.write_text(text)
    done = here.publish()
    assert done.code == 4, done.sentence
    assert "e" * 40 in done.sentence
    assert "catalog pin" in done.sentence


def test_an_unknown_name(here: HubPod) -> None:
    """A name that FastEmbed does not know lists the near ones."""
    here.catalog.write_text(here.catalog.read_text().replace("all-MiniLM-L6-v2", "all-MiniLM-L6"))
    done = here.publish()
    assert done.code == 2, done.sentence
    assert models.MINILM in done.sentence


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('repo = "acme/copy"', "FastEmbed looks for Qdrant/all-MiniLM-L6-v2-onnx"),
        (
            """
[[model]]
name = "nomic-ai/nomic-embed-text-v1.5"
loader = "fastembed"
[[model]]
name = "nomic-ai/nomic-embed-text-v1.5-Q"
loader = "fastembed"
revision = "0123456789abcdef0123456789abcdef01234567"
""",
            "nomic-ai/nomic-embed-text-v1.5 and nomic-ai/nomic-embed-text-v1.5-Q at two revisions",
        ),
    ],
    ids=["another repository", "two revisions of one"],
)
def test_what_fastembed_would_not_find(more: str, said: str, here: HubPod) -> None:
    """A catalog whose release FastEmbed could not load is exit 2, before the Hub is asked."""
    here.catalog.write_text(here.catalog.read_text() + more)
    done = here.publish()
    assert done.code == 2, done.sentence
    assert said in done.sentence
