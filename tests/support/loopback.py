"""Start a loopback server as a process, and talk to its control endpoint."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

    from tests.support.certificates import Certificate

ROOT: Final = Path(__file__).parents[2]
_STOP_SECONDS: Final = 10


@dataclass(frozen=True)
class Loopback:
    """A loopback server that listens.

    Attributes:
        url: Where.
        pid: Its process.
        control: A client of the control endpoint.
        ca: The file to trust for its certificate, over TLS.
    """

    url: str
    pid: int
    control: httpx.Client
    ca: Path | None = None

    def fault(self, kind: str, **fields: Any) -> None:
        """Put a rule in force; see tests/doubles/loopback/faults.py."""
        self.control.post("/_control/faults", json={"kind": kind, **fields}).raise_for_status()

    def faults(self) -> list[dict[str, Any]]:
        """The rules in force, with `seen` and `hits`."""
        found: list[dict[str, Any]] = self.control.get("/_control/faults").json()
        return found

    def heal(self) -> None:
        """Clear all rules."""
        self.control.delete("/_control/faults").raise_for_status()

    def counters(self) -> dict[str, Any]:
        """Requests and bytes, `total` and by operation under `operations`."""
        found: dict[str, Any] = self.control.get("/_control/counters").json()
        return found

    def requests(self, operation: str | None = None) -> list[dict[str, Any]]:
        """The latest requests in order, or those of one operation."""
        found: list[dict[str, Any]] = self.control.get("/_control/requests").json()
        return [entry for entry in found if operation in {None, entry["operation"]}]

    def reset_counters(self) -> None:
        """Count from zero again."""
        self.control.delete("/_control/counters").raise_for_status()

    def resident_bytes(self) -> int:
        """The most memory that the process has had of its own (not shared, not files)."""
        pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()
        return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running_server(
    server: Path, flags: Sequence[str], *, certificate: Certificate | None = None
) -> Iterator[Loopback]:
    """A loopback server as a process of its own, from start to end.

    Args:
        server: The script that is run.
        flags: Its command line.
        certificate: To serve over TLS with.
    """
    command = [sys.executable, str(server), *flags]
    if certificate:
        command += [f"--tls-cert={certificate.cert}", f"--tls-key={certificate.key}"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        with process.stdout:
            try:
                url = process.stdout.readline().strip()
                if not url:
                    process.wait(_STOP_SECONDS)
                    log.seek(0)
                    raise RuntimeError(f"the double did not start: {log.read()}")
                yield from _connected(url, process.pid, certificate)
            finally:
                process.terminate()
                process.wait(_STOP_SECONDS)
        log.seek(0)
        complaints = log.read()
    assert "Traceback" not in complaints, complaints


def _connected(url: str, pid: int, certificate: Certificate | None) -> Iterator[Loopback]:
    trust: ssl.SSLContext | bool = certificate.context() if certificate else True
    with httpx.Client(base_url=url, verify=trust, trust_env=False, timeout=30) as control:
        yield Loopback(url, pid, control, certificate.cert if certificate else None)
