"""The SDK's async clients work against the double too, with each kind of credential."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.azure_clients import (
    AsyncStaticToken,
    async_share_client,
    credential,
    key_credential,
    share_client,
)

if TYPE_CHECKING:
    from tests.support.azure_double import Double

DATA: Final = random.Random(4).randbytes(20_000_000)


# The SDK hands aiohttp whole ranges as bytes.
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
@pytest.mark.parametrize("kind", ["key", "account-sas", "share-sas", "token"])
async def test_round_trip(kind: str, double: Double, tls_double: Double, share_name: str) -> None:
    """Upload, list, rename over another, lease, download, delete: as the sync clients do."""
    of = tls_double if kind == "token" else double
    with share_client(of, share_name, key_credential(of)) as owner:
        owner.create_share()
    proof: Any = AsyncStaticToken() if kind == "token" else credential(kind, of, share_name)
    options = {"token_intent": "backup"} if kind == "token" else {}
    async with async_share_client(of, share_name, proof, **options) as share:
        await share.create_directory("a b")
        file = share.get_file_client("a b/größe + %41.bin")
        await file.upload_file(DATA, max_concurrency=4, validate_content=True)
        await share.get_file_client("old").upload_file(b"old")
        file = await file.rename_file("old", overwrite=True)
        names = [item.name async for item in share.list_directories_and_files()]
        assert names == ["a b", "old"]
        lease = await file.acquire_lease()
        stream = await file.download_file(max_concurrency=4)
        assert await stream.readall() == DATA
        await file.delete_file(lease=lease)
        assert not await file.exists()
