"""Today's worker answers 0.1.0's agent, and today's agent understands 0.1.0's worker."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from agent.sidecar.worker_client import WorkerClient
from agent.worker import Holder, Release, admin_listener
from tests.compatibility.trees import HOME, lay_out
from tests.support.scripted import obey, scripted

if TYPE_CHECKING:
    from pathlib import Path


def recorded(name: str) -> dict[str, Any]:
    """An answer of 0.1.0's worker."""
    answer: dict[str, Any] = json.loads((HOME / "worker" / f"{name}.json").read_bytes())
    return answer


def load(release: Release) -> str:
    """Stand for a model."""
    return release.version


async def settled(session: aiohttp.ClientSession) -> dict[str, Any]:
    """The answer of `GET /model` once nothing loads."""
    async with asyncio.timeout(20):
        while True:
            async with session.get("/model") as answer:
                said: dict[str, Any] = await answer.json()
            if said["state"] != "loading":
                return said
            await asyncio.sleep(0.01)


async def test_a_request_is_obeyed(tmp_path: Path) -> None:
    """On 0.1.0's store, a request that 0.1.0 sent is obeyed, and every answer has its fields."""
    store = lay_out("stores/quarantined", tmp_path)
    request = (HOME / "agent" / "reload.json").read_bytes()
    holder = Holder(load)
    async with (
        admin_listener(holder, store=store, address="127.0.0.1:0") as url,
        aiohttp.ClientSession(url) as session,
    ):
        holder.follow(store)
        assert (await settled(session))["version"] == "v1"
        async with session.post("/reload", data=request) as accepted:
            assert accepted.status == 202
            assert recorded("loading").keys() <= (await accepted.json()).keys()
        said, before = await settled(session), recorded("ready")
    assert {key: said[key] for key in before if key != "instance"} == {
        key: before[key] for key in before if key != "instance"
    }


async def test_a_request_is_refused(tmp_path: Path) -> None:
    """For other content than is staged, today's worker gives a sentence where 0.1.0's did."""
    store = lay_out("stores/quarantined", tmp_path)
    request = {"version": "v1", "path": "releases/v1", "digest": "0" * 64}
    async with (
        admin_listener(Holder(load), store=store, address="127.0.0.1:0") as url,
        aiohttp.ClientSession(url) as session,
        session.post("/reload", json=request) as refused,
    ):
        assert refused.status == 409
        said = await refused.json()
        assert said.keys() == recorded("refused").keys()
        assert request["digest"] in said["error"]


@pytest.mark.parametrize("name", ["ready", "loading", "failed", "empty"])
async def test_an_answer_is_understood(name: str) -> None:
    """What serves, what was asked for, what became of that: all of it is read from the answer."""
    said = recorded(name)
    with scripted(obey) as worker:
        worker.model = said
        view = await WorkerClient(worker.url, timeout=5).view()
    assert view is not None
    assert (view.state, view.reason, view.instance) == (
        said["state"],
        said["reason"],
        said["instance"],
    )
    serving, target = view.serving, view.target
    assert (serving and serving.version, serving and serving.digest) == (
        said["version"],
        said["digest"],
    )
    asked = said["target"] or {"version": None, "digest": None}
    assert (target and target.version, target and target.digest) == (
        asked["version"],
        asked["digest"],
    )
