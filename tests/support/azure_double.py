"""Start the double of Azure Files as a process of its own."""

from __future__ import annotations

import base64
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.support.loopback import ROOT, Loopback, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.certificates import Certificate

SERVER: Final = ROOT / "images" / "azure-files" / "server.py"
ACCOUNT: Final = "loopback"
KEY: Final = base64.b64encode(
    b"not a secret, but sixty-four bytes long, as real account keys are"
).decode()


@dataclass(frozen=True)
class Double(Loopback):
    """A double that listens; its `url` is what `--azure-endpoint` takes.

    Attributes:
        account: The account's name.
        key: Its key, in base64.
    """

    account: str = ACCOUNT
    key: str = KEY


@contextmanager
def running_double(
    *flags: str, root: Path | None = None, certificate: Certificate | None = None
) -> Iterator[Double]:
    """A double as a process of its own, from start to end.

    Args:
        flags: Further flags of server.py, such as `--no-auth` or `--share=NAME`.
        root: Where to keep shares; None: in memory.
        certificate: To serve over TLS with.
    """
    command = [f"--account={ACCOUNT}", f"--key={KEY}", *flags]
    command += [f"--root={root}"] if root else []
    with running_server(SERVER, command, certificate=certificate) as found:
        yield Double(found.url, found.pid, found.control, found.ca)
