"""Every fault can be had on demand, and is seen through the real SDK; the share stays whole."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.storage.fileshare import ExponentialRetry

from tests.support.azure_clients import code_of, key_credential, share_client

if TYPE_CHECKING:
    from azure.storage.fileshare import ShareClient, ShareFileClient

    from tests.support.azure_double import Double

DATA: Final = bytes(range(256)) * 4096
PATIENCE: Final = 20.0


@pytest.fixture
def file(keyed: ShareClient, double: Double) -> ShareFileClient:
    """A file of 1 MiB, and counters at zero."""
    client = keyed.get_file_client("file")
    client.upload_file(DATA)
    double.reset_counters()
    return client


def read(file: ShareFileClient, **options: Any) -> bytes:
    """All of the file."""
    return file.download_file(**options).readall()


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("throttled", 429, "TooManyRequests"),
        ("busy", 503, "ServerBusy"),
        ("sharing_violation", 409, "SharingViolation"),
        ("forbidden", 403, "AuthorizationPermissionMismatch"),
    ],
)
def test_error_answers(
    double: Double, file: ShareFileClient, kind: str, status: int, code: str
) -> None:
    """An error answer has its status, code and Retry-After, and nothing was done."""
    double.fault(kind, operation="PutRange", retry_after=7)
    with pytest.raises(HttpResponseError) as refused:
        file.upload_range(b"x", offset=0, length=1)
    assert (refused.value.status_code, code_of(refused.value)) == (status, code)
    response: Any = refused.value.response
    assert response.headers["Retry-After"] == "7"
    assert read(file) == DATA


def test_sdk_retries_busy(double: Double, keyed: ShareClient, file: ShareFileClient) -> None:
    """One 503 is retried by the SDK; the second request goes through."""
    double.fault("busy", operation="GetFile")
    policy = ExponentialRetry(
        initial_backoff=0, increment_base=0, retry_total=1, random_jitter_range=0
    )
    patient = {"retry_policy": policy}
    with share_client(double, keyed.share_name, key_credential(double), **patient) as share:
        assert read(share.get_file_client("file")) == DATA
    assert [entry["status"] for entry in double.requests("GetFile")] == [503, 206]


def test_nth_and_count(double: Double, file: ShareFileClient) -> None:
    """A rule hits the nth request that matches, `count` times, on its path only."""
    double.fault("busy", operation="GetFile", path="/file$", nth=2, count=2)
    double.fault("busy", operation="GetFile", path="/other$", count=None)
    outcomes: list[bool | None] = []
    for _ in range(5):
        try:
            outcomes.append(read(file) == DATA)
        except HttpResponseError:
            outcomes.append(None)
    assert outcomes == [True, None, None, True, True]
    assert [(rule["seen"], rule["hits"]) for rule in double.faults()] == [(5, 2), (0, 0)]


def test_truncated_body(double: Double, file: ShareFileClient) -> None:
    """A body cut short under its full Content-Length is an error, never a short read."""
    double.fault("truncate", operation="GetFile", after=1000)
    with pytest.raises(AzureError):
        read(file)
    (entry,) = double.requests("GetFile")
    assert (entry["bytes_out"], entry["faults"]) == (1000, ["truncate"])
    assert read(file) == DATA


def test_flipped_bit(double: Double, file: ShareFileClient) -> None:
    """A flipped bit passes unnoticed, unless the range's MD5 is asked for and compared."""
    double.fault("flip", operation="GetFile", at=-1)
    spoilt = read(file)
    assert (len(spoilt), spoilt[:-1], spoilt[-1]) == (len(DATA), DATA[:-1], DATA[-1] ^ 1)
    double.fault("flip", operation="GetFile")
    with pytest.raises(AzureError, match="MD5"):
        read(file, validate_content=True)


def test_flipped_bit_on_upload(double: Double, file: ShareFileClient) -> None:
    """A bit flipped on the way up is stored, unless the range came with its MD5."""
    double.fault("flip", operation="PutRange", upload=True, count=2)
    with pytest.raises(HttpResponseError) as refused:
        file.upload_range(b"abc", offset=0, length=3, validate_content=True)
    assert code_of(refused.value) == "Md5Mismatch"
    assert read(file) == DATA
    file.upload_range(b"abc", offset=0, length=3)
    assert read(file)[:3] == b"acc"


def test_lost_answer(double: Double, file: ShareFileClient) -> None:
    """A rename whose answer is lost was done: the SDK's own retry finds the source gone."""
    double.fault("lost", operation="RenameFile")
    with pytest.raises((ServiceRequestError, ServiceResponseError), match="closed"):
        file.rename_file("renamed", overwrite=True)
    with pytest.raises(ResourceNotFoundError):
        file.rename_file("renamed", overwrite=True)
    (lost, _) = double.requests("RenameFile")
    assert lost["status"] == 0
    assert not file.exists()


def test_error_after_commit(double: Double, file: ShareFileClient) -> None:
    """An error answer can also come after the work was done."""
    double.fault("timed_out", operation="PutRange", committed=True)
    with pytest.raises(HttpResponseError):
        file.upload_range(b"x", offset=0, length=1)
    assert read(file)[:1] == b"x"


@pytest.mark.parametrize("committed", [False, True])
def test_reset(double: Double, file: ShareFileClient, committed: bool) -> None:
    """A reset connection is an error; the work was done only if the rule says so."""
    double.fault("reset", operation="PutRange", committed=committed)
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        file.upload_range(b"x", offset=0, length=1)
    assert read(file)[:1] == (b"x" if committed else DATA[:1])


def test_reset_is_a_reset(double: Double, file: ShareFileClient) -> None:
    """A reset is one on the network too (RST), not an orderly end of the connection."""
    # A request without a body: one that is still being sent may meet the reset as a broken pipe.
    double.fault("reset", operation="GetFile")
    with pytest.raises((ServiceRequestError, ServiceResponseError), match="reset by peer"):
        read(file)


def test_stalled_read(double: Double, keyed: ShareClient, file: ShareFileClient) -> None:
    """A stalled body times out in a client that has a deadline; clearing the rule frees it."""
    double.fault("stall", operation="GetFile", after=10, count=None)
    hasty = {"read_timeout": 0.3}
    with (
        share_client(double, keyed.share_name, key_credential(double), **hasty) as share,
        pytest.raises(AzureError),
    ):
        read(share.get_file_client("file"))
    double.heal()
    assert read(file) == DATA


def test_stall_ends(double: Double, file: ShareFileClient) -> None:
    """A stall of some seconds delays the body by these seconds, and no byte is lost."""
    double.fault("stall", operation="GetFile", seconds=0.3)
    start = time.monotonic()
    assert read(file) == DATA
    assert 0.3 <= time.monotonic() - start < PATIENCE


def test_delayed_answer(double: Double, file: ShareFileClient) -> None:
    """A delayed answer comes late, and whole."""
    double.fault("delay", seconds=0.2)
    start = time.monotonic()
    assert read(file) == DATA
    assert 0.2 <= time.monotonic() - start < PATIENCE


@pytest.mark.parametrize("way", ["down", "up"])
def test_throttled_bandwidth(double: Double, file: ShareFileClient, way: str) -> None:
    """Bodies pass at the given rate, both ways, never faster."""
    double.fault("throttle", bytes_per_second=2 * len(DATA), count=None)
    start = time.monotonic()
    if way == "down":
        assert read(file) == DATA
    else:
        file.upload_range(DATA, offset=0, length=len(DATA))
    assert 0.4 <= time.monotonic() - start < PATIENCE


def test_faults_add_up(double: Double, file: ShareFileClient) -> None:
    """Several rules that hit one request all apply."""
    double.fault("throttle", bytes_per_second=4 * len(DATA), count=None)
    double.fault("flip", at=0)
    double.fault("delay", seconds=0.1)
    start = time.monotonic()
    assert read(file) == flip_first(DATA)
    assert time.monotonic() - start >= 0.3


def flip_first(data: bytes) -> bytes:
    """`data` with the lowest bit of its first byte inverted."""
    return bytes([data[0] ^ 1]) + data[1:]


def test_counters(double: Double, file: ShareFileClient) -> None:
    """Requests, bytes both ways and statuses are counted by operation, until reset."""
    file.upload_range(DATA, offset=0, length=len(DATA))
    read(file)
    counted = double.counters()
    sent = {"requests": 1, "bytes_in": len(DATA), "bytes_out": 0, "statuses": {"201": 1}}
    got = {"requests": 1, "bytes_in": 0, "bytes_out": len(DATA), "statuses": {"206": 1}}
    assert counted["operations"] == {"PutRange": sent, "GetFile": got}
    assert counted["total"]["requests"] == 2
    assert [entry["range"] for entry in double.requests("PutRange")] == ["bytes=0-1048575"]
    double.reset_counters()
    assert double.counters()["operations"] == {}


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"kind": "explode"},
        {"kind": "status"},
        {"kind": "status", "status": 42},
        {"kind": "flip", "bytes": 3},
        {"kind": "throttle", "bytes_per_second": 0},
        {"kind": "busy", "path": "("},
        [],
        "busy",
    ],
    ids=str,
)
def test_bad_rules(double: Double, rule: object) -> None:
    """A rule that would do nothing, or not what it says, is refused and not put in force."""
    answer = double.control.post("/_control/faults", json=rule)
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert double.faults() == []
