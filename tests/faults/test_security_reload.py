"""Who may tell the worker what to load."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.matrix import case
from tests.faults.serving import serving

if TYPE_CHECKING:
    from tests.support.pods import Pod


@case("security", "reload endpoint: a socket for owner and group")
def test_a_socket(pod: Pod) -> None:
    """It has mode 0660, bumps go through it, and the serving port knows neither endpoint."""
    with tempfile.TemporaryDirectory() as short:
        socket = Path(short, "worker.sock")
        with serving(pod, admin=f"unix://{socket}") as running:
            assert stat.S_IMODE(socket.stat().st_mode) == 0o660
            assert running.worker.http.post("/reload", json={}).status_code == 404
            assert running.worker.http.get("/model").status_code == 404
            running.mark("v2\n")
            running.settle("v2")


@case("security", "reload endpoint: requests for what is no release of the store")
def test_requests_that_mean_harm(pod: Pod) -> None:
    """A path out of the store, another digest, no version: each is refused, and v1 serves on."""
    good = {"version": "v1", "path": "releases/v1", "digest": pod.manifest("v1").digest}
    with serving(pod) as running:
        running.settle("v1")
        for harm in (
            {"path": "../../etc"},
            {"path": "/etc"},
            {"version": "../v1", "path": "releases/../v1"},
            {"digest": "0" * 64},
        ):
            answer = running.worker.admin_http.post("/reload", json=good | harm)
            assert 400 <= answer.status_code < 500, (harm, answer.text)
        running.assert_active("v1")
        running.mark("v2\n")
        running.settle("v2")


@case("security", "reload endpoint: an address that others reach")
def test_an_address_that_others_reach(pod: Pod) -> None:
    """The worker does not start on it, and says why; the next start on loopback serves."""
    with (
        pytest.raises(RuntimeError, match=r"ended with 2: .*0\.0\.0\.0:0"),
        pod.worker(admin="0.0.0.0:0"),
    ):
        pass
    with serving(pod) as running:
        running.settle("v1")
        assert running.worker.admin.startswith("http://127.0.0.1:")
