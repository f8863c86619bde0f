"""The real huggingface_hub, unpatched, as a process that knows the double by HF_ENDPOINT alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.support.loopback import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.hub_double import Hub

_PATIENCE: Final = 300


@dataclass(frozen=True)
class Answer:
    """What became of a call.

    Attributes:
        value: Its result; None if it failed.
        kinds: The classes of the error, the narrowest first.
        status: The HTTP status of the error, if it has one.
        sentence: What the error says.
        said: What the client wrote to its log meanwhile.
    """

    value: Any = None
    kinds: list[str] = field(default_factory=list)
    status: int | None = None
    sentence: str = ""
    said: str = ""

    @property
    def error(self) -> str:
        """The error's own class; empty if there was none."""
        return self.kinds[0] if self.kinds else ""


@dataclass(frozen=True)
class Client:
    """A user of the Hub with a home of its own.

    Attributes:
        hub: The double.
        home: HF_HOME: its cache.
        env: Further variables, such as HF_TOKEN.
    """

    hub: Hub
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def ask(self, call: str, **options: Any) -> Answer:
        """Make a call of tests/support/hub_calls.py, in a new process."""
        command = [sys.executable, "-m", "tests.support.hub_calls", call, json.dumps(options)]
        done = subprocess.run(
            command,
            env=self._environment() | self.env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        found = json.loads(done.stdout)
        error = found.get("error", {})
        return Answer(found.get("result"), said=done.stderr, **error)

    @property
    def cache(self) -> Path:
        """Where downloads land."""
        return self.home / "hub"

    def _environment(self) -> dict[str, str]:
        dropped = ("HF_", "HUGGING", "SSL_", "COV_", "HTTP", "http", "ALL_PROXY", "all_proxy")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        own = {
            "HF_ENDPOINT": self.hub.url,
            "HF_HOME": str(self.home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        return kept | own | ({"SSL_CERT_FILE": str(self.hub.ca)} if self.hub.ca else {})
