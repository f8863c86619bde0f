"""An Azure Files share for real `model-agent` processes: the loopback double, and who asks it."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

from tests.support import agents
from tests.support.azure_clients import key_credential, share_client, share_sas
from tests.support.azure_double import running_double
from tests.support.listening import Silent, listening
from tests.support.shares import TestShare

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.agents import Result
    from tests.support.azure_double import Double
    from tests.support.certificates import Certificate

NAME: Final = "ml-models"
Kind = Literal["key", "sas", "connection-string", "token"]


@dataclass(frozen=True)
class RestShare:
    """A share of a double.

    Attributes:
        double: The double, with its faults and counters.
        disk: The share's files as they lie on the double's disk, to look at.
        identity: URL of the server that hands out tokens, if it is asked for them.
    """

    double: Double
    disk: TestShare
    identity: str = ""

    @property
    def address(self) -> str:
        """As `--share` takes it."""
        return f"azurefiles://{self.double.account}/{NAME}"

    def env(self, kind: Kind = "key") -> dict[str, str]:
        """The environment of an agent that asks with this kind of credential."""
        double = self.double
        common = {
            "MODEL_AGENT_SHARE": self.address,
            "MODEL_AGENT_AZURE_ENDPOINT": double.url,
            "MODEL_AGENT_CATALOG": str(self.disk.catalog),
            "MODEL_AGENT_DEVICE": "cpu",
            "NO_PROXY": "127.0.0.1",
        }
        if double.ca:
            common["REQUESTS_CA_BUNDLE"] = str(double.ca)
        return common | self._secrets(kind)

    def run(self, *args: str | Path, env: Mapping[str, str] | None = None, **more: Any) -> Result:
        """Run `model-agent` with the account key to its end; `env` replaces variables."""
        return agents.run(*args, env=self.env() | dict(env or {}), **more)

    def start(self, *args: str | Path) -> subprocess.Popen[str]:
        """Start `model-agent` with the account key; give it to `agents.finish`."""
        return agents.start(*args, env=self.env())

    def put(self, path: str, data: bytes) -> None:
        """Write a file as another client of the share does."""
        with share_client(self.double, NAME, key_credential(self.double)) as client:
            client.get_file_client(path).upload_file(data)

    def delete(self, path: str) -> None:
        """Delete a file as another client of the share does."""
        with share_client(self.double, NAME, key_credential(self.double)) as client:
            client.get_file_client(path).delete_file()

    def _secrets(self, kind: Kind) -> dict[str, str]:
        double = self.double
        match kind:
            case "key":
                return {"AZURE_STORAGE_KEY": double.key}
            case "sas":
                return {"AZURE_STORAGE_SAS_TOKEN": share_sas(double, NAME)}
            case "connection-string":
                parts = f"AccountName={double.account};AccountKey={double.key}"
                return {"AZURE_STORAGE_CONNECTION_STRING": f"{parts};FileEndpoint={double.url}/"}
            case "token":
                # A managed identity, as App Service and Container Apps have it.
                return {"IDENTITY_ENDPOINT": self.identity, "IDENTITY_HEADER": "loopback"}


@contextmanager
def rest_share(
    root: Path,
    *,
    certificate: Certificate | None = None,
    fill: Callable[[TestShare], object] = lambda _: None,
) -> Iterator[RestShare]:
    """A double with one share, while the block runs.

    Args:
        root: An empty directory: the double's disk.
        certificate: To serve over TLS with.
        fill: Puts files on the share before the double starts.
    """
    # The double adopts all that lies in its root; the catalog is none of that.
    disk = TestShare(root / NAME, catalog=root.with_name(f"{root.name}-catalog.toml"))
    fill(disk)
    with (
        running_double(root=root, certificate=certificate) as double,
        identity_server() as identity,
    ):
        yield RestShare(double, disk, identity)


class _Identity(Silent, BaseHTTPRequestHandler):
    """Hands out tokens as the App Service's identity endpoint does."""

    def do_GET(self) -> None:
        """A token for storage, and for nothing else."""
        asked = parse_qs(urlsplit(self.path).query)
        known = self.headers.get("X-IDENTITY-HEADER") == "loopback"
        good = known and asked.get("resource") == ["https://storage.azure.com"]
        answer = {
            "access_token": "header.claims.signature",
            "expires_on": str(int(time.time()) + 3600),
            "resource": "https://storage.azure.com",
            "token_type": "Bearer",
        }
        body = json.dumps(answer if good else {"message": "no such identity"}).encode()
        self.send_response(200 if good else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def identity_server() -> Iterator[str]:
    """URL of a server that hands out tokens to whoever says the header, while the block runs."""
    with listening(_Identity) as url:
        yield f"{url}/token"
