"""Answers over HTTP that are compressed, or without end."""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Final

from azure.storage.fileshare import ContentSettings

from agent.shares.azurefiles.files import Files
from agent.sidecar.worker_client import WorkerClient
from tests.support.azure_clients import key_credential, share_client
from tests.support.azure_double import running_double
from tests.support.listening import Silent, listening
from tests.support.services import service

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOMB: Final = gzip.compress(bytes(64 * 1024 * 1024))
_GOOD: Final = b'{"state": "ready", "instance": "i"}'


@contextmanager
def worker(body: bytes, **headers: str) -> Iterator[str]:
    """A server that answers with these bytes."""
    asked: list[str] = []

    class Handler(Silent, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Accept-Encoding"])
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as url:
        yield url
    assert asked == ["identity"]


async def test_a_worker_that_answers_is_heard() -> None:
    """A plain answer is read, and no other was asked for."""
    with worker(_GOOD) as url:
        assert await WorkerClient(url, timeout=1).view()


async def test_a_worker_that_compresses_is_none() -> None:
    """What comes compressed is not decompressed: it is no answer."""
    with worker(gzip.compress(_GOOD), Content_Encoding="gzip") as url:
        assert await WorkerClient(url, timeout=1).view() is None


async def test_a_worker_without_end_is_none() -> None:
    """An answer of megabytes is not read to its end: it is no answer."""
    with worker(_GOOD + b" " * 300_000) as url:
        assert await WorkerClient(url, timeout=1).view() is None


def test_a_file_that_is_marked_as_compressed_is_read_as_stored() -> None:
    """A share that says `gzip` of a file makes nothing of it: its bytes are what is read."""
    with running_double("--share=models") as double:
        with share_client(double, "models", key_credential(double)) as client:
            marked = ContentSettings(content_encoding="gzip")
            client.get_file_client("bomb").upload_file(_BOMB, content_settings=marked)
        files = Files(service(double.url, "models"))
        assert files.read("bomb", len(_BOMB)) == _BOMB
        buffer = memoryview(bytearray(len(_BOMB)))
        assert files.read_into("bomb", buffer, 0) == len(_BOMB)
        assert buffer == _BOMB
