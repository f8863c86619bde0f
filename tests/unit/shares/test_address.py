"""`--share azurefiles://…`: what it names, and what is no such address."""

from __future__ import annotations

import pytest

from agent.errors import ConfigError
from agent.shares.azurefiles import address


def test_an_address() -> None:
    """Account, share and prefix; the prefix may end in a slash."""
    parsed = address.parse("azurefiles://account/ml-models/team/one/")
    assert (parsed.account, parsed.share, parsed.prefix) == ("account", "ml-models", "team/one")
    assert str(parsed) == "azurefiles://account/ml-models/team/one"
    assert parsed.at("VERSION") == "team/one/VERSION"
    assert parsed.endpoint == "https://account.file.core.windows.net"
    plain = address.parse("azurefiles://account1/models")
    assert (plain.account, plain.share, plain.prefix) == ("account1", "models", "")
    assert plain.at("VERSION") == "VERSION"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("azurefiles://account1/models?sv=2024&sig=secret", "is followed by a query"),
        ("azurefiles://Account/models", "'Account' cannot be a storage account's name"),
        ("azurefiles://account1", "'' cannot be a share's name"),
        ("azurefiles://account1/Mod_els", "'Mod_els' cannot be a share's name"),
        ("azurefiles://account1/models/a/../b", "the prefix 'a/../b'"),
    ],
)
def test_what_is_no_address(text: str, says: str) -> None:
    """It is refused with what is wrong and how it is written; a SAS in it is not repeated."""
    with pytest.raises(ConfigError) as caught:
        address.parse(text)
    assert says in str(caught.value)
    assert address.FORM in f"{caught.value} {caught.value.remedy}"
    assert "secret" not in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize(
    "text",
    [
        "azurefiles://",
        "azurefiles://Account/models",
        "azurefiles://ab/models",
        "azurefiles://account",
        "azurefiles://account/Models",
        "azurefiles://account/models/../other",
        "azurefiles://account/-models",
        "azurefiles://account/models/a:b",
    ],
)
def test_a_mistyped_address(text: str) -> None:
    """A mistyped address is a mistake in the settings, and shows the form."""
    with pytest.raises(ConfigError, match="azurefiles://ACCOUNT/SHARE"):
        address.parse(text)
