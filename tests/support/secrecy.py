"""No secret stands in a log: all that real processes of the tests say goes through `checked`."""

from __future__ import annotations

import re
from typing import Final

from tests.support.apiserver import FIRST_TOKEN, SECOND_TOKEN
from tests.support.azure_double import KEY

# What the tests hand out: the account key, tokens of an identity, the Hub, a pod's account.
KNOWN: Final = (
    *(KEY, "header.claims.signature", "hf_secret", "hf_owner", "hf_outsider"),
    *(FIRST_TOKEN, SECOND_TOKEN),
)
# What a secret looks like: a SAS' signature, the headers that carry a token or one made of a key.
_SHAPES: Final = re.compile(
    r"sig=(?!\.\.\.)[\w%+/=]{8,}"
    r"|SharedKey \w+:\S{8,}"
    r"|AccountKey=\S{8,}"
    r"|Bearer (?:eyJ|hf_)\S+"
)


class LeakError(AssertionError):
    """A secret stands in what a process said."""


def checked(text: str) -> str:
    """`text`, in which no secret stands.

    Raises:
        LeakError: One does; the line is shown without it.
    """
    known = next((secret for secret in KNOWN if secret in text), None)
    found = known or ((match := _SHAPES.search(text)) and match[0])
    if found:
        line = next(line for line in text.splitlines() if found in line)
        raise LeakError(f"a secret is logged: {line.replace(found, '[secret]')[:500]}")
    return text
