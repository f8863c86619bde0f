"""The gate that all logs of the tests' processes go through finds what it should."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import agents
from tests.support.apiserver import FIRST_TOKEN, SECOND_TOKEN
from tests.support.azure_double import KEY
from tests.support.secrecy import LeakError, checked


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        "header.claims.signature",
        FIRST_TOKEN,
        SECOND_TOKEN,
        "https://h/s?sv=1&sig=c2VjcmV0c2VjcmV0&se=2",
        "Authorization: SharedKey loopback:c2VjcmV0c2VjcmV0",
        "Authorization: Bearer eyJ0eXAiOiJKV1Qi",
        "AccountName=a;AccountKey=c2VjcmV0c2VjcmV0",
    ],
)
def test_a_secret_is_found_and_not_shown(secret: str) -> None:
    """A log with a secret fails its test, whose message does not repeat it."""
    with pytest.raises(LeakError) as caught:
        checked(f"good\nbad {secret}\ngood")
    assert secret.rpartition(" ")[2] not in str(caught.value)


def test_what_is_no_secret_passes() -> None:
    """Names of secrets, and signatures that were taken out, are no secrets."""
    text = "AZURE_STORAGE_KEY sig=...&se=2 Bearer SharedKey AccountKey="
    assert checked(text) == text


def test_what_a_process_says_goes_through_it() -> None:
    """A process that says a secret fails its test."""
    with pytest.raises(LeakError):
        agents.run("-c", f"import sys; sys.stderr.write('{KEY}')", program=Path(sys.executable))
