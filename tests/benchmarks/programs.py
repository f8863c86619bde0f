"""Runs the programs of `tests.benchmarks.clients`, which measure themselves."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Final

from tests.benchmarks import environments, memory
from tests.benchmarks.clients.clock import WAIT
from tests.benchmarks.measuring import Sample
from tests.support import agents
from tests.support.azure_double import ACCOUNT
from tests.support.loopback import ROOT
from tests.support.rest import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.rest import RestShare

# The only name that kserve-storage knows Azure Files by; its program leads it to the double.
HOST: Final = f"{ACCOUNT}.file.core.windows.net"
KSERVE: Final = f"kserve-storage {environments.KSERVE}"


def run(
    python: str | Path, name: str, *args: str | Path, env: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Run one to its end, and give what it says of itself; see `clients.clock.measured`."""
    done = subprocess.run(
        _command(python, name, args),
        env=agents.environment(env),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    taken: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return taken


def sample(
    python: str | Path, name: str, *args: str | Path, env: Mapping[str, str] | None = None
) -> Sample:
    """The same, without when its work began, and with memory at hand when it does."""
    with subprocess.Popen(
        _command(python, name, args),
        env=agents.environment(env) | {WAIT: "1"},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        with memory.held():
            process.stdout.readline()
        said, _ = process.communicate("\n")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    taken = json.loads(said.splitlines()[-1])
    return Sample(taken["seconds"], taken["cpu"], peak_mib=taken["peak_mib"])


def _command(python: str | Path, name: str, args: tuple[str | Path, ...]) -> list[str | Path]:
    return [python, "-m", f"tests.benchmarks.clients.{name}", *args]


def has_kserve() -> bool:
    """Whether kserve-storage can be run here; says why if not."""
    try:
        environments.kserve()
    except environments.NotInstalledError as error:
        print(f"kserve-storage is left out: it cannot be installed here ({error}).")
        return False
    return True


def kserve(share: RestShare, path: str, target: Path) -> Sample:
    """Have kserve-storage fetch a directory of a share that is served over TLS."""
    env = share.env() | {"AZURE_STORAGE_ACCESS_KEY": share.double.key}
    url = f"https://{HOST}/{NAME}/{path}"
    return sample(environments.kserve(), "kserve", target, url, env=env)
