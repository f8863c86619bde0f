"""Is the share fast enough? What was read, held to what Azure Files gives. Pure.

Source: "Scalability and performance targets for Azure Files" (Microsoft), for one file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.doctor.findings import Finding, ok, skip, warn
from agent.quantities import amount

MIB: Final = 1024 * 1024
SLOW_RATE: Final = 40 * MIB
# Below this the time goes into the first answer, not into bytes.
TELLING_BYTES: Final = 4 * MIB

_EXPECTED: Final = "a standard share gives 60 MiB/s a file, a premium one 200-300"


@dataclass(frozen=True)
class Sample:
    """Bytes that were read, and the seconds that it took."""

    size: int
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return max(self.size, 1) / max(self.seconds, 1e-6)


def too_small(path: str, size: int) -> Finding:
    """The release's largest file says nothing about bytes a second."""
    return skip(f"No verdict: the largest file, {path}, has only {amount(size)}.")


def judge(sample: Sample, *, release_size: int) -> Finding:
    """Whether a release of that many bytes comes fast enough."""
    rate = f"{sample.rate / MIB:.{0 if sample.rate > SLOW_RATE else 1}f} MiB/s"
    whole = f"the {amount(release_size)} of the release take {release_size / sample.rate:.1f} s"
    if sample.rate >= SLOW_RATE:
        return ok(f"It reads at {rate} ({_EXPECTED}); {whole}.")
    return warn(
        f"It reads at {rate}, and {_EXPECTED}; {whole}.",
        "Use a premium share in the pods' region, and look for throttling in its metrics.",
        diagnosis="slow share",
    )
