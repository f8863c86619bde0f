"""Judges whether the share is fast enough, by the figures of Azure Files. Pure.

Source: "Scalability and performance targets for Azure Files" (Microsoft), for one file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.doctor.judge.findings import Finding, ok, skip, warn
from agent.quantities import amount

MIB: Final = 1024 * 1024
SLOW_RATE: Final = 40 * MIB
# Of fewer bytes most of the time is that of the first answer.
TELLING_BYTES: Final = 4 * MIB

_EXPECTED: Final = "a standard share gives 60 MiB/s a file, a premium one 200-300"


@dataclass(frozen=True)
class Sample:
    """The bytes that were read, and the seconds that it took."""

    size: int
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return max(self.size, 1) / max(self.seconds, 1e-6)


def too_small(path: str, size: int) -> Finding:
    """Return the finding for a release whose largest file is too small to measure by."""
    return skip(f"No verdict: the largest file, {path}, has only {amount(size)}.")


def judge(sample: Sample, *, release_size: int) -> Finding:
    """Return whether a release of that many bytes comes fast enough."""
    rate = f"{sample.rate / MIB:.{0 if sample.rate > SLOW_RATE else 1}f} MiB/s"
    whole = f"the {amount(release_size)} of the release take {release_size / sample.rate:.1f} s"
    if sample.rate >= SLOW_RATE:
        return ok(f"It reads at {rate} ({_EXPECTED}); {whole}.")
    return warn(
        f"It reads at {rate}, and {_EXPECTED}; {whole}.",
        "Use a premium share in the pods' region, and look for throttling in its metrics.",
        diagnosis="slow share",
    )
