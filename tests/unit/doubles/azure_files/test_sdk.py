"""The real SDK works against the double as it does against the service."""

from __future__ import annotations

import gc
import hashlib
import itertools
import random
import warnings
from typing import TYPE_CHECKING, Any, Final

import pytest
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.fileshare import ContentSettings, ShareLeaseClient

from tests.support.azure_clients import code_of, key_credential, share_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.storage.fileshare import ShareClient, ShareFileClient

    from tests.support.azure_double import Double

SIZE: Final = 20_000_000
DATA: Final = random.Random(3).randbytes(SIZE)
READ_ONLY: Final = "ReadOnly"


def put(share: ShareClient, path: str, data: bytes = b"bytes") -> ShareFileClient:
    """A small file on the share."""
    file = share.get_file_client(path)
    file.upload_file(data)
    return file


def spans(file: ShareFileClient, **options: Any) -> list[tuple[int, int]]:
    """Where the file has data."""
    return [(found["start"], found["end"]) for found in file.list_ranges(**options)]


def test_large_file_round_trip(share: ShareClient) -> None:
    """What is uploaded in parallel ranges comes back in parallel ranges, MD5s checked."""
    share.create_directory("a b")
    file = share.get_file_client("a b/größe + %41.bin")
    file.upload_file(DATA, max_concurrency=4, validate_content=True)
    for validate in (False, True):
        stream = file.download_file(max_concurrency=4, validate_content=validate)
        assert stream.readall() == DATA
    assert file.download_file(offset=SIZE - 10, length=5).readall() == DATA[-10:-5]


def test_properties_are_kept(keyed: ShareClient) -> None:
    """Metadata, content settings and SMB properties are what was set, and cleared when not."""
    file = keyed.get_file_client("file")
    md5 = bytearray(hashlib.md5(b"bytes", usedforsecurity=False).digest())
    settings = ContentSettings(content_type="text/plain", content_md5=md5)
    file.upload_file(b"bytes", content_settings=settings, metadata={"a_b": "1", "ab": "2"})
    found = file.get_file_properties()
    assert found.metadata == {"a_b": "1", "ab": "2"}
    assert found.content_settings.content_type == "text/plain"
    assert found.content_settings.content_md5 == md5
    assert found.file_attributes == "Archive"
    file.set_http_headers(ContentSettings(content_language="fi"), file_attributes="ReadOnly|Hidden")
    found = file.get_file_properties()
    assert found.content_settings.content_type is None
    assert found.content_settings.content_language == "fi"
    assert found.file_attributes == "ReadOnly | Hidden"


def test_directories(keyed: ShareClient) -> None:
    """Directories are created, described and deleted; only empty ones can be deleted."""
    directory = keyed.create_directory("outer", metadata={"k": "v"})
    directory.create_subdirectory("inner")
    assert directory.get_directory_properties().metadata == {"k": "v"}
    with pytest.raises(HttpResponseError) as refused:
        directory.delete_directory()
    assert code_of(refused.value) == "DirectoryNotEmpty"
    directory.delete_subdirectory("inner")
    directory.delete_directory()
    assert not directory.exists()


def test_listing(share: ShareClient) -> None:
    """A listing comes in pages, by prefix, with sizes, and with what `include` asks for."""
    for number in range(7):
        put(share, f"file {number} & more", bytes(number))
    share.create_directory("dir")
    pages = list(share.list_directories_and_files(results_per_page=3).by_page())
    sizes = [[(item.name, vars(item).get("size")) for item in page] for page in pages]
    assert [len(page) for page in sizes] == [3, 3, 2]
    files = [(f"file {n} & more", n) for n in range(7)]
    assert sorted(itertools.chain(*sizes), key=str) == sorted([("dir", None), *files], key=str)
    (found,) = share.list_directories_and_files(
        name_starts_with="FILE 5", include=["timestamps", "Etag", "Attributes", "PermissionKey"]
    )
    properties = share.get_file_client(found.name).get_file_properties()
    assert (found.etag, found.last_modified) == (properties.etag, properties.last_modified)
    assert found.file_attributes == properties.file_attributes


def test_unspeakable_names(keyed: ShareClient) -> None:
    """A name that XML cannot hold is listed encoded, and comes out of the SDK as it went in."""
    put(keyed, "name\uffff.bin")
    assert [item.name for item in keyed.list_directories_and_files()] == ["name\uffff.bin"]


def test_names_ignore_case(keyed: ShareClient) -> None:
    """Names are found in any case, and kept as first given, also when written over."""
    put(keyed, "Größe.BIN", b"one")
    put(keyed, "gRÖßE.bin", b"three")
    assert keyed.get_file_client("GRÖßE.bin").download_file().readall() == b"three"
    assert [item.name for item in keyed.list_directories_and_files()] == ["Größe.BIN"]


def test_new_file_is_zeros(keyed: ShareClient) -> None:
    """A created file has its full length at once, of zeros, and no ranges."""
    file = keyed.get_file_client("zeros")
    file.create_file(3_000_000)
    assert spans(file) == []
    assert file.download_file().readall() == bytes(3_000_000)


def test_ranges(share: ShareClient) -> None:
    """Ranges are written and cleared; their list says where data is, in grains of 512."""
    file = share.get_file_client("ranges")
    file.create_file(10_000)
    file.upload_range(DATA[:1000], offset=1024, length=1000, validate_content=True)
    file.upload_range(DATA[:512], offset=4096, length=512)
    assert spans(file) == [(1024, 2047), (4096, 4607)]
    assert spans(file, results_per_page=1) == [(1024, 2047), (4096, 4607)]
    file.clear_range(offset=1024, length=512)
    assert spans(file, offset=0, length=4100) == [(1536, 2047), (4096, 4099)]
    expected = bytes(1536) + DATA[512:1000] + bytes(2072) + DATA[:512] + bytes(5392)
    assert file.download_file().readall() == expected
    file.resize_file(1600)
    assert spans(file) == [(1536, 1599)]


def test_every_write_changes_etag(keyed: ShareClient) -> None:
    """Each change gives a new ETag and a Last-Modified; reading changes neither."""
    file = keyed.get_file_client("file")
    answers = [file.create_file(1024)]
    answers += [file.upload_range(b"x", offset=0, length=1), file.clear_range(0, 512)]
    answers += [file.set_file_metadata({"a": "b"}), file.set_http_headers(ContentSettings())]
    etags = [answer["etag"] for answer in answers]
    assert len(set(etags)) == len(etags)
    assert all(answer["last_modified"] for answer in answers)
    file.download_file().readall()
    assert file.get_file_properties().etag == etags[-1]


def test_empty_file(keyed: ShareClient) -> None:
    """An empty file can be uploaded, and downloaded, though it has no byte to ask for."""
    put(keyed, "empty", b"")
    assert keyed.get_file_client("empty").download_file().readall() == b""


def test_rename_file_over_another(share: ShareClient) -> None:
    """A rename replaces only when told to, and takes bytes, metadata and ranges along."""
    share.create_directory("dir")
    file = put(share, "new", b"new bytes")
    file.set_file_metadata({"k": "v"})
    put(share, "dir/old", b"old")
    with pytest.raises(ResourceExistsError):
        file.rename_file("dir/old")
    renamed = file.rename_file("dir/old", overwrite=True)
    assert renamed.download_file().readall() == b"new bytes"
    assert renamed.get_file_properties().metadata == {"k": "v"}
    assert not file.exists()


def test_rename_respects_read_only(keyed: ShareClient) -> None:
    """A read-only destination is replaced only if the request ignores that."""
    file, old = put(keyed, "new", b"new"), put(keyed, "old")
    old.set_http_headers(ContentSettings(), file_attributes=READ_ONLY)
    with pytest.raises(HttpResponseError) as refused:
        file.rename_file("old", overwrite=True)
    assert code_of(refused.value) == "ReadOnlyAttribute"
    renamed = file.rename_file("old", overwrite=True, ignore_read_only=True)
    assert renamed.download_file().readall() == b"new"


def test_rename_directory(share: ShareClient) -> None:
    """A directory is renamed with all in it, but never onto another directory."""
    share.create_directory("staging").create_subdirectory("inner")
    put(share, "staging/inner/file", b"deep")
    share.create_directory("releases")
    with pytest.raises(ResourceExistsError):
        share.get_directory_client("staging").rename_directory("releases", overwrite=True)
    share.get_directory_client("staging").rename_directory("releases/v1")
    assert share.get_file_client("releases/v1/inner/file").download_file().readall() == b"deep"
    assert not share.get_directory_client("staging").exists()


def test_file_lease(share: ShareClient) -> None:
    """A leased file is changed, renamed and deleted only by who holds the lease; anyone breaks."""
    file = put(share, "lock")
    lease = file.acquire_lease()
    assert file.get_file_properties().lease.state == "leased"
    with pytest.raises(HttpResponseError) as refused:
        file.upload_range(b"x", offset=0, length=1)
    assert code_of(refused.value) == "LeaseIdMissing"
    with pytest.raises(HttpResponseError) as refused:
        put(share, "other").rename_file("lock", overwrite=True)
    assert code_of(refused.value) == "LeaseIdMissing"
    file.upload_range(b"x", offset=0, length=1, lease=lease)
    with pytest.raises(HttpResponseError) as refused:
        file.acquire_lease()
    assert code_of(refused.value) == "LeaseAlreadyPresent"
    lease.change("11111111-2222-3333-4444-555555555555")
    assert ShareLeaseClient(file).break_lease() == 0
    assert file.get_file_properties().lease.state == "broken"
    file.acquire_lease().release()
    file.delete_file()


def test_share_lease(keyed: ShareClient) -> None:
    """A share's lease lasts 15 to 60 seconds or for ever, and keeps the share from deletion."""
    with pytest.raises(HttpResponseError) as refused:
        keyed.acquire_lease(lease_duration=14)
    assert code_of(refused.value) == "InvalidHeaderValue"
    lease = keyed.acquire_lease(lease_duration=60)
    lease.renew()
    with pytest.raises(HttpResponseError) as refused:
        keyed.delete_share()
    assert code_of(refused.value) == "LeaseIdMissing"
    assert 0 < lease.break_lease(lease_break_period=30) <= 30
    assert keyed.get_share_properties().lease.state == "breaking"
    assert lease.break_lease(lease_break_period=0) == 0
    keyed.delete_share()


@pytest.mark.parametrize(
    ("act", "error", "code"),
    [
        (lambda s: s.create_share(), ResourceExistsError, "ShareAlreadyExists"),
        (lambda s: s.create_directory("a/b"), ResourceNotFoundError, "ParentNotFound"),
        (lambda s: s.create_directory("dir"), ResourceExistsError, "ResourceAlreadyExists"),
        (lambda s: put(s, "dir"), ResourceExistsError, "ResourceTypeMismatch"),
        (lambda s: put(s, "no/file"), ResourceNotFoundError, "ParentNotFound"),
        (lambda s: put(s, "a|b"), HttpResponseError, "InvalidResourceName"),
        (lambda s: put(s, "COM1"), HttpResponseError, "InvalidResourceName"),
        (lambda s: put(s, "a" * 256), HttpResponseError, "InvalidFileOrDirectoryPathName"),
        (
            lambda s: s.get_file_client("no").download_file(),
            ResourceNotFoundError,
            "ResourceNotFound",
        ),
        (
            lambda s: s.get_file_client("file").download_file(offset=5, length=1),
            HttpResponseError,
            "InvalidRange",
        ),
        (
            lambda s: s.get_file_client("file").upload_range(b"xy", offset=4, length=2),
            HttpResponseError,
            "InvalidRange",
        ),
        (
            lambda s: s.get_file_client("file").upload_range(bytes(4194305), 0, 4194305),
            HttpResponseError,
            "RequestBodyTooLarge",
        ),
        (
            lambda s: s.get_file_client("file").create_file(1, file_permission="abc"),
            HttpResponseError,
            "FileInvalidPermission",
        ),
        (
            lambda s: s.get_file_client("file").set_file_metadata({"a-b": "c"}),
            HttpResponseError,
            "InvalidMetadata",
        ),
    ],
)
def test_errors(
    keyed: ShareClient,
    act: Callable[[ShareClient], object],
    error: type[HttpResponseError],
    code: str,
) -> None:
    """Each mistake gets the service's own code, and so the SDK's own exception."""
    put(keyed, "file")
    keyed.create_directory("dir")
    with pytest.raises(error) as refused:
        act(keyed)
    assert code_of(refused.value) == code
    assert keyed.get_file_client("file").download_file().readall() == b"bytes"


def test_download_notices_a_change(keyed: ShareClient, double: Double) -> None:
    """The chunks of a download carry one ETag, so a change between two chunks is noticed."""
    small = {"max_single_get_size": 1 << 20, "max_chunk_get_size": 1 << 20}
    with share_client(double, keyed.share_name, key_credential(double), **small) as share:
        file = put(share, "file", bytes(3 << 20))
        assert file.download_file().readall() == bytes(3 << 20)
        assert [entry["status"] for entry in double.requests("GetFile")] == [206] * 3
        chunks = file.download_file().chunks()
        file.upload_range(b"x", offset=0, length=1)
        with pytest.raises(ResourceModifiedError):
            list(chunks)
    # The SDK never reads the chunk that it refuses: its connection is closed by the collector.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        del chunks
        gc.collect()
