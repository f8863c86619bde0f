"""A share over REST: staging from the loopback double, beside other ways to get the files.

Each is a process of its own that times the work alone, without its start and its imports; curl,
which has no imports, is timed from outside. Ours verifies every byte and syncs it to disk; the
others do neither.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks import programs
from tests.benchmarks.measuring import Sample, beside_server, medians, timed
from tests.benchmarks.release import VERSION
from tests.benchmarks.table import Row
from tests.support.azure_clients import share_sas
from tests.support.certificates import make_certificate
from tests.support.rest import NAME, RestShare, rest_share

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.benchmarks.release import Subject
    from tests.support.certificates import Certificate


def rows(subject: Subject) -> list[Row]:
    """Over http, then over TLS, where kserve-storage takes part: it speaks nothing else."""
    certificate = make_certificate(subject.room, programs.HOST)
    return [*_compared(subject, None), *_compared(subject, certificate)]


def _compared(subject: Subject, certificate: Certificate | None) -> list[Row]:
    with rest_share(subject.account, certificate=certificate) as share:
        fetch = _Fetch(subject, share)
        candidates = fetch.candidates()
        runs = [beside_server(share.double.pid, run) for run in candidates.values()]
        ours, *others = medians(runs, between=fetch.clear)
    by_name = dict(zip(list(candidates)[1:], others, strict=True))
    moving = by_name["`curl`"]
    limit = subject.ceilings.fetch(subject.release.size, cpu=_cpu(moving))
    what = f"stage over {'TLS' if certificate else 'http'}, every byte verified and synced"
    return [Row(what, ours, name, other, limit) for name, other in by_name.items()]


def _cpu(sample: Sample) -> float:
    """What moving the bytes took of cores, at both ends."""
    return (sample.cpu or 0) + (sample.server_cpu or 0)


@dataclass(frozen=True)
class _Fetch:
    """The ways to get the release from one double."""

    subject: Subject
    share: RestShare

    def candidates(self) -> dict[str, Callable[[], Sample]]:
        """Each way by its name, ours first."""
        files = [f"releases/{VERSION}/{file.path}" for file in self.subject.release.files]
        ways: dict[str, Callable[[], Sample]] = {
            "ours": partial(self._client, sys.executable, "ours", VERSION),
            "SDK, `max_concurrency=8`": partial(self._client, sys.executable, "sdk", *files),
            "`curl`": timed(partial(self._curl, files)),
        }
        if self.share.double.ca and programs.has_kserve():
            home = f"releases/{VERSION}"
            ways[programs.KSERVE] = partial(programs.kserve, self.share, home, self._target)
        return ways

    def clear(self) -> None:
        """Delete what was fetched, and let the disk come to rest."""
        shutil.rmtree(self._target, ignore_errors=True)
        os.sync()
        self._target.mkdir()

    @property
    def _target(self) -> Path:
        return self.subject.room / "fetched"

    def _client(self, python: str | Path, name: str, *args: str) -> Sample:
        return programs.sample(python, name, self._target, *args, env=self.share.env())

    def _curl(self, files: list[str]) -> None:
        double = self.share.double
        command = ["curl", "--silent", "--show-error", "--fail", "--create-dirs"]
        command += ["--cacert", str(double.ca)] if double.ca else []
        for path in files:
            url = f"{double.url}/{NAME}/{path}?{share_sas(double, NAME)}"
            command += ["--output", str(self._target / path), url]
        subprocess.run(command, check=True)
