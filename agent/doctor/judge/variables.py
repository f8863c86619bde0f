"""Judges whether the worker's environment variables lead its loaders into the store. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.doctor.judge.findings import Finding, fail, ok, warn
from agent.errors import ConfigError
from agent.release import layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DIAGNOSIS: Final = "wrong environment variable in the worker"
# The variables by which FastEmbed, huggingface_hub and sentence-transformers find models.
DIRECTORIES: Final = {
    "FASTEMBED_CACHE_PATH": layout.FASTEMBED,
    "HF_HOME": layout.HUGGINGFACE,
    "SENTENCE_TRANSFORMERS_HOME": layout.SENTENCE_TRANSFORMERS,
}
_NAMES: Final = ", ".join(DIRECTORIES)


@dataclass(frozen=True)
class Process:
    """A process whose environment can be seen.

    Attributes:
        name: Its name, for people.
        variables: Those of `DIRECTORIES` that it has.
        same: The variables that lead into the store under another path.
    """

    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    same: frozenset[str] = frozenset()


def judge(others: Sequence[Process], own: Process, store: str) -> Iterator[Finding]:
    """Yield the variables that are wrong; else one finding that they are right.

    Args:
        others: The processes of this pod without the doctor's own.
        own: The doctor's own, which counts only if no other has any of the variables.
        store: The store's path, without a slash at its end.
    """
    telling = [process for process in others if process.variables]
    telling = telling or ([own] if own.variables else [])
    if not telling:
        yield _nothing(others)
        return
    wrong = list(_wrong(telling, store))
    names = sorted({name for process in telling for name in process.variables})
    leads = "leads" if len(names) == 1 else "lead"
    yield from wrong or [ok(f"{', '.join(names)} of {telling[0].name} {leads} into the store.")]


def _wrong(telling: Sequence[Process], store: str) -> Iterator[Finding]:
    seen = set()
    for process in telling:
        for name, value in process.variables.items():
            expected = f"{store}/{DIRECTORIES[name]}"
            same = name in process.same and not _is_in_one_release(value)
            right = value.rstrip("/") == expected or same
            if not right and (name, value) not in seen:
                seen.add((name, value))
                error = ConfigError(
                    f"{name} is {value!r} in {process.name} and should be {expected!r}.",
                    remedy=f"Set {name}={expected} in the worker's container, and restart it.",
                )
                yield fail(error, diagnosis=DIAGNOSIS)


def _is_in_one_release(path: str) -> bool:
    """Return whether a path leads to what is active now, and to an old release after a bump."""
    return path.rstrip("/").split("/")[-3:-2] == [layout.RELEASES]


def _nothing(others: Sequence[Process]) -> Finding:
    if others:
        return warn(
            f"None of {_NAMES} is set in the {len(others)} processes that can be seen here.",
            "Set them in the worker's container, unless it loads its models by path.",
        )
    return warn(
        f"The worker's environment cannot be seen from here, and none of {_NAMES} is set.",
        "Run model-agent doctor in the worker's container, or give the pod "
        "shareProcessNamespace: true and the containers one user.",
    )
