"""Reads of a file's bytes over REST, straight into the buffer that they are to lie in."""

from __future__ import annotations

import logging
import tracemalloc
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Final

import pytest

from agent.shares.azurefiles.files import Files
from agent.shares.azurefiles.service import GET
from tests.support.azure_clients import key_credential, share_client
from tests.support.azure_double import Double, running_double
from tests.support.certificates import make_certificate
from tests.support.listening import Silent, listening
from tests.support.services import service

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARE: Final = "models"
FILE: Final = "model.onnx"
DATA: Final = bytes(range(256)) * (GET // 256)


@pytest.fixture(scope="module", params=["http", "TLS"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Double]:
    """A double with one file of a chunk."""
    certificate = None
    if request.param == "TLS":
        certificate = make_certificate(tmp_path_factory.mktemp("certificate"))
    with running_double(f"--share={SHARE}", certificate=certificate) as double:
        with share_client(double, SHARE, key_credential(double)) as client:
            client.get_file_client(FILE).upload_file(DATA)
        yield double


@pytest.fixture
def double(running: Double, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """The same, trusted, and without the faults of the test before."""
    if running.ca:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.ca))
    yield running
    running.heal()


def files(endpoint: str, *, seconds: float = 20.0) -> Files:
    """The share's files, as the agent sees them."""
    return Files(service(endpoint, SHARE), seconds=seconds)


def test_a_chunk_takes_no_memory_but_its_buffer(double: Double) -> None:
    """The bytes of a chunk are not held a second time on their way to its buffer."""
    share, buffer = files(double.url), memoryview(bytearray(GET))
    share.read_into(FILE, buffer, 0)
    buffer[:] = bytes(GET)
    tracemalloc.start()
    try:
        assert share.read_into(FILE, buffer, 0) == GET
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert buffer == DATA
    assert peak < GET / 8


def test_a_connection_is_used_again(double: Double, caplog: pytest.LogCaptureFixture) -> None:
    """One reader makes one connection, however many chunks it reads."""
    share, buffer = files(double.url), memoryview(bytearray(GET))
    with caplog.at_level(logging.DEBUG, logger="urllib3"):
        for _ in range(3):
            share.read_into(FILE, buffer, 0)
    made = [line for line in caplog.messages if line.startswith(("Starting new", "Resetting"))]
    assert len(made) == 1


@pytest.mark.parametrize("after", [0, 1, GET // 2, GET - 1])
def test_an_answer_that_breaks_off_is_asked_for_again(after: int, double: Double) -> None:
    """Wherever in a body the connection ends, the whole chunk is there in the end."""
    double.fault("truncate", operation="GetFile", after=after, count=1)
    buffer = memoryview(bytearray(GET))
    assert files(double.url).read_into(FILE, buffer, 0) == GET
    assert buffer == DATA
    assert [rule["hits"] for rule in double.faults()] == [1]


@pytest.mark.parametrize("after", [0, GET - 1])
def test_an_answer_that_stalls_is_asked_for_again(after: int, double: Double) -> None:
    """Wherever a body stops to come, it is waited for no longer than one try may take."""
    double.fault("stall", operation="GetFile", after=after, count=1)
    buffer = memoryview(bytearray(GET))
    assert files(double.url, seconds=1).read_into(FILE, buffer, 0) == GET
    assert buffer == DATA
    assert [rule["hits"] for rule in double.faults()] == [1]


class Proxy(Silent, BaseHTTPRequestHandler):
    """Passes on the file in pieces, and does not say how many bytes will come."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The whole file, whatever is asked for."""
        self.send_response(206)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("x-ms-request-id", "1")
        self.send_header("Content-Range", f"bytes 0-{GET - 1}/{GET}")
        self.end_headers()
        for piece in (DATA[:1000], DATA[1000:], b""):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))


def test_an_answer_in_pieces_is_read() -> None:
    """A proxy that sends a body in pieces (Transfer-Encoding: chunked) is understood."""
    buffer = memoryview(bytearray(GET))
    with listening(Proxy) as url:
        assert files(url).read_into(FILE, buffer, 0) == GET
    assert buffer == DATA
