"""`--share`: what is connected to, and what can never be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from agent import logs
from agent.errors import ConfigError
from agent.shares.azurefiles import address
from agent.shares.connect import connect
from tests.support.pods import Pod

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://account1.file.core.windows.net/models"


def refused(text: str) -> str:
    """Return the sentence about an address that is refused."""
    with pytest.raises(ConfigError) as caught:
        connect(text, logs.get())
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (URL, "azurefiles://account1/models"),
        (f"{URL}/team/a/", "azurefiles://account1/models/team/a"),
        (f"{URL}?sv=2024&sig=secret", "azurefiles://account1/models"),
        (URL.replace("https", "smb"), "azurefiles://account1/models"),
        (URL.removeprefix("https:"), "azurefiles://account1/models"),
        (r"\\account1.file.core.windows.net\models\team", "azurefiles://account1/models/team"),
        ("//account1.file.core.chinacloudapi.cn/models", "azurefiles://account1/models"),
    ],
)
def test_another_way_to_name_a_share(text: str, meant: str) -> None:
    """Its URL or UNC path is refused with the address that is meant; a SAS is not repeated."""
    said = refused(text)
    assert f"Give {meant};" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    "text",
    [
        *("s3://bucket/models", "file:///mnt/share", "https://example.com/models", "smb://nas/x"),
        "https://account1.file.core.windows.net/No_Share",
    ],
)
def test_what_is_no_share(text: str) -> None:
    """It is refused with the addresses that there are."""
    assert address.FORM in refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "azurefiles://account/models?sv=2026-01-01&sig=s3cret",
        "https://account.file.core.windows.net/models?sv=2026-01-01&sig=s3cret",
        "smb://user:s3cret@account/models",
    ],
)
def test_a_secret_in_an_address_is_not_shown(text: str) -> None:
    """A pasted URL with its SAS is refused, says where the SAS goes, and is not quoted."""
    with pytest.raises(ConfigError, match="AZURE_STORAGE_SAS_TOKEN") as refused:
        connect(text, logs.get())
    assert refused.value.exit_code == 2
    assert "s3cret" not in str(refused.value)


def test_a_file(tmp_path: Path) -> None:
    """Neither a file nor a socket will ever hold releases; what is not there may come."""
    (tmp_path / "VERSION").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("VERSION", "pipe"):
        assert "is a file, not a directory" in refused(str(tmp_path / name))
    assert connect(str(tmp_path / "later"), logs.get()).address == str(tmp_path / "later")
    assert connect("//server/share", logs.get()).address == "//server/share"


@pytest.mark.parametrize("command", ["init", "sidecar"])
def test_it_is_refused_whatever_the_store_has(command: str, tmp_path: Path) -> None:
    """Who has good data does without a share for ever otherwise, and nobody notices."""
    pod = Pod(tmp_path)
    pod.share.add_plain("v1")
    pod.share.mark("v1")
    pod.init().ok()
    for wrong in (URL, str(pod.share.root / "VERSION")):
        done = pod.run(command, "--share", wrong)
        assert done.code == 2, done.lines
        assert "--share" in done.sentence
