"""How the doctor makes its checks, and how it looks at the network and at processes."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from agent import logs, settings
from agent.context import Context
from agent.doctor import azure, examination, serving
from agent.doctor.case import Case
from agent.doctor.examination import Check
from agent.doctor.judge import findings
from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from agent.doctor.judge.findings import Finding


def made(check: Check) -> list[Finding]:
    """What comes of a check of a case that has nothing in it."""
    case = Case(Context(settings.parse({"share": "/nowhere"}, {}), logs.get()), {})
    return examination._made(check, case)


def test_a_check_that_hangs() -> None:
    """A check ends at its deadline, with what it found by then, and blocks nobody."""
    never = threading.Event()

    def look(_: Case) -> Iterator[Finding]:
        yield findings.ok("One.")
        never.wait(60)

    found = made(Check("slow", look, 0.2))
    never.set()
    assert [each.level for each in found] == ["ok", "fail"]
    assert (found[1].seen, found[1].exit_code) == ("Looking at the slow took over 0.2 s.", 3)


def test_a_check_that_fails() -> None:
    """An expected error of a check is its finding; what came before stays."""

    def look(_: Case) -> Iterator[Finding]:
        yield findings.ok("One.")
        raise ConfigError("Two.", remedy="Three.")

    found = made(Check("failing", look, 5))
    assert [(each.level, each.seen, each.exit_code) for each in found] == [
        ("ok", "One.", 0),
        ("fail", "Two.", 2),
    ]


def test_a_check_that_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake in a check is exit 1, its trace goes to stderr, and it hides no other check."""

    def look(_: Case) -> Iterator[Finding]:
        raise TimeoutError("oops")
        yield

    (found,) = made(Check("broken", look, 5))
    assert (found.level, found.exit_code, "oops" in found.seen) == ("fail", 1, True)
    assert "Traceback" in capsys.readouterr().err


def test_what_is_seen_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name's addresses, whether they accept connections, and whether a proxy is between."""
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        seen = azure.network(url)
        assert (seen.addresses, seen.connects, seen.proxied) == (("127.0.0.1",), True, False)
        monkeypatch.setenv("http_proxy", "http://user:password@127.0.0.1:9")
        assert azure.network(url).proxied
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert not azure.network(url).proxied
    assert not azure.network(url).connects
    assert azure.network("http://nobody.invalid").addresses == ()


def test_the_same_directory(tmp_path: Path) -> None:
    """A variable is right by where it leads, also before anything is active in the store."""
    store, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    store.mkdir()
    elsewhere.symlink_to(store)
    environ = {
        "FASTEMBED_CACHE_PATH": f"{elsewhere}/fastembed/",
        "HF_HOME": f"{elsewhere}/fastembed",
        "HOME": "/",
    }
    seen = serving._process("worker", environ, Path("/"), store)
    assert seen.same == frozenset({"FASTEMBED_CACHE_PATH"})
    assert "HOME" not in seen.variables
    (store / "huggingface").mkdir()
    environ = {"HF_HOME": str(elsewhere / "huggingface" / ".")}
    assert serving._process("worker", environ, Path("/"), store).same == frozenset({"HF_HOME"})


def test_processes_beside_this_one() -> None:
    """Other processes are seen as far as they may be; the doctor's own is not one of them."""
    names = [process.name for process in serving._others(Path("/nowhere"))]
    assert any(name.startswith(f"process {os.getppid()} (") for name in names)
    assert not any(name.startswith(f"process {os.getpid()} (") for name in names)
