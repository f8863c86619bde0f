"""What the agent may ask of a worker, where it may ask it, and what it is told."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from agent.errors import ConfigError
from agent.worker import Holder, Release, admin_listener, from_request, open_listener
from tests.support.stores import activate, bare_release

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from agent.release.manifest import Manifest

FIELDS = {"version", "digest", "state", "reason", "target", "instance"}


class Admin:
    """A client of an admin listener."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def model(self) -> dict[str, Any]:
        """The answer of `GET /model`."""
        async with self._session.get("/model") as answer:
            assert answer.status == 200
            body: dict[str, Any] = await answer.json()
            return body

    async def post(self, body: object) -> tuple[int, dict[str, Any]]:
        """Status and answer of `POST /reload`; bytes are sent as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self._session.post("/reload", data=data) as answer:
            return answer.status, await answer.json()

    async def settled(self) -> dict[str, Any]:
        """The answer of `GET /model` once nothing loads."""
        async with asyncio.timeout(300):
            # Over the wire there is no event to wait for.
            while (model := await self.model())["state"] == "loading":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return model


def request_for(manifest: Manifest, **changes: object) -> dict[str, Any]:
    version = manifest.version
    body = {"version": version, "path": f"releases/{version}", "digest": manifest.digest}
    return {**body, **changes}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that holds v1, with `current` at it."""
    bare_release(tmp_path, "v1")
    activate(tmp_path, "v1")
    return tmp_path


@pytest.fixture
async def admin(store: Path) -> AsyncIterator[Admin]:
    """The admin listener of a worker that serves v1; loads of `vbad` fail."""

    def load(release: Release) -> str:
        if release.version == "vbad":
            raise ValueError("bad bytes")
        return release.version

    holder = Holder(load)
    async with (
        admin_listener(holder, store=store, address="127.0.0.1:0") as url,
        aiohttp.ClientSession(url) as session,
    ):
        client = Admin(session)
        holder.follow(store)
        await client.settled()
        yield client


async def test_model_has_exactly_the_fields_of_the_contract(admin: Admin, store: Path) -> None:
    """`GET /model` tells what serves, what became of the latest request, and the instance."""
    digest = bare_release(store, "v1").digest
    model = await admin.model()
    instance = model.pop("instance")
    assert len(instance) == 16
    assert model == {
        "version": "v1",
        "digest": digest,
        "state": "ready",
        "reason": None,
        "target": {"version": "v1", "digest": digest},
    }


async def test_reload_is_accepted_at_once_and_seen_on_model(admin: Admin, store: Path) -> None:
    """A reload is a 202 with the body of `/model`; only `/model` tells that it took."""
    new = bare_release(store, "v2")
    status, body = await admin.post(request_for(new))
    assert (status, set(body)) == (202, FIELDS)
    assert body["target"] == {"version": "v2", "digest": new.digest}
    model = await admin.settled()
    assert (model["version"], model["digest"], model["state"]) == ("v2", new.digest, "ready")


async def test_unknown_fields_are_ignored(admin: Admin, store: Path) -> None:
    """A newer agent may say more than this worker knows."""
    new = bare_release(store, "v2")
    status, _ = await admin.post(request_for(new, deadline=5, more={"a": [1]}))
    assert status == 202
    assert (await admin.settled())["version"] == "v2"


async def test_a_failed_load_is_told_with_its_reason(admin: Admin, store: Path) -> None:
    """After a failure the old version serves, and state and reason speak of the target."""
    bad = bare_release(store, "vbad")
    assert (await admin.post(request_for(bad)))[0] == 202
    model = await admin.settled()
    assert (model["version"], model["state"], model["reason"]) == ("v1", "failed", "bad bytes")
    assert model["target"] == {"version": "vbad", "digest": bad.digest}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b'"v2"',
        b"{}",
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        {"version": "v1", "path": "releases/v1"},
        {"version": "v1", "path": "releases/v1", "digest": None},
        {"version": 1, "path": "releases/v1", "digest": ""},
        {"version": "v1", "path": ["releases", "v1"], "digest": ""},
    ],
)
async def test_what_is_no_request_is_a_400(admin: Admin, body: object) -> None:
    """Malformed JSON, missing fields and wrong types are refused, and nothing changes."""
    before = await admin.model()
    status, answer = await admin.post(body)
    assert (status, set(answer)) == (400, {"error"})
    assert await admin.model() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "../v2"},
        {"path": "/etc"},
        {"path": "releases/../../v2"},
        {"path": "releases/v1"},
        {"version": "v1"},
        {"version": "..", "path": "releases/.."},
        {"version": "v9", "path": "releases/v9"},
        {"digest": "0" * 64},
        {"digest": ""},
    ],
)
async def test_what_is_no_release_is_a_409(
    admin: Admin, store: Path, changes: dict[str, str]
) -> None:
    """A path or digest that is not a release's is refused, says why, and nothing changes."""
    before = await admin.model()
    status, answer = await admin.post(request_for(bare_release(store, "v2"), **changes))
    assert (status, set(answer)) == (409, {"error"})
    assert answer["error"].endswith(".")
    assert await admin.model() == before


async def test_the_request_that_came_last_wins(
    admin: Admin, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are taken in the order in which they came, whatever each costs to look up."""
    looked, overtaken = threading.Event(), threading.Event()

    def slow_for_v2(store: Path, *, version: str, **fields: str) -> Release:
        if version == "v2":
            looked.set()
            overtaken.wait(0.3)
        else:
            overtaken.set()
        return from_request(store, version=version, **fields)

    monkeypatch.setattr("agent.worker.admin.from_request", slow_for_v2)
    first = asyncio.create_task(admin.post(request_for(bare_release(store, "v2"))))
    await asyncio.to_thread(looked.wait, 20)
    await admin.post(request_for(bare_release(store, "v3")))
    await first
    assert (await admin.settled())["version"] == "v3"


async def test_a_unix_socket_is_for_owner_and_group(store: Path) -> None:
    """The socket file has mode 0660, whatever the umask, and the umask is left alone."""
    path = store / "admin.sock"
    mask = os.umask(0o022)
    try:
        async with admin_listener(Holder(str), store=store, address=f"unix://{path}") as url:
            assert url == f"unix://{path}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert os.umask(0o022) == 0o022
            connector = aiohttp.UnixConnector(str(path))
            async with aiohttp.ClientSession("http://worker", connector=connector) as session:
                assert (await Admin(session).model()).keys() == FIELDS
    finally:
        os.umask(mask)


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    """A worker that was killed leaves a socket behind; the next one starts all the same."""
    address = f"unix://{tmp_path}/admin.sock"
    open_listener(address)[0].close()
    assert (tmp_path / "admin.sock").exists()
    listener, _ = open_listener(address)
    with listener, socket.socket(socket.AF_UNIX) as client:
        listener.listen()
        client.connect(f"{tmp_path}/admin.sock")


def test_a_socket_in_use_is_not_taken(tmp_path: Path) -> None:
    """A second worker with the same socket is refused, and the first one stays reachable."""
    address = f"unix://{tmp_path}/admin.sock"
    listener, _ = open_listener(address)
    with listener, socket.socket(socket.AF_UNIX) as client:
        listener.listen()
        with pytest.raises(ConfigError, match="Another process"):
            open_listener(address)
        client.connect(f"{tmp_path}/admin.sock")


def test_a_file_is_never_removed_for_a_socket(tmp_path: Path) -> None:
    """A path with anything but a socket at it is refused, and what is there stays."""
    (tmp_path / "precious").write_text("data")
    with pytest.raises(ConfigError, match="not a socket"):
        open_listener(f"unix://{tmp_path}/precious")
    assert (tmp_path / "precious").read_text() == "data"


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0:0",
        "192.0.2.1:0",
        "[::]:0",
        ":0",
        "*:0",
        "example.org:8081",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:http",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "unix://relative.sock",
        "unix:///no/such/directory/a.sock",
        "unix:///tmp/" + "x" * 200,
    ],
)
def test_an_address_that_others_reach_is_refused(address: str) -> None:
    """The admin listener is on loopback or a socket file, or not at all."""
    with pytest.raises(ConfigError) as caught:
        open_listener(address)
    assert caught.value.exit_code == 2


def test_a_taken_port_is_a_config_error() -> None:
    """Another process on the port is said as such, not as a traceback."""
    listener, url = open_listener("localhost:0")
    with listener, pytest.raises(ConfigError, match="in use"):
        open_listener(url.removeprefix("http://"))


def test_ipv6_loopback_is_loopback() -> None:
    """`[::1]:PORT` is taken where the machine has IPv6."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    listener, url = open_listener("[::1]:0")
    with listener:
        assert url.startswith("http://[::1]:")


def test_the_library_brings_no_agent_along() -> None:
    """A worker that imports the library loads no Azure, Hub, watcher, logging or CLI library."""
    heavy = (
        "azure",
        "huggingface_hub",
        "watchfiles",
        "structlog",
        "click",
        "prometheus_client",
        "agent.shares",
        "agent.store.store",
    )
    code = f"import sys, agent.worker; print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
