"""What every expected failure has: an exit code, a sentence, a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent import errors
from agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator

# The exit codes of the design document.
EXIT_CODES = {
    errors.ConfigError: 2,
    errors.UnreachableError: 3,
    errors.ReleaseMissingError: 4,
    errors.VerificationError: 5,
    errors.NoSpaceError: 6,
    errors.WarmupError: 7,
    errors.KilledError: 7,
    errors.ModelError: 7,
    errors.ReloadError: 8,
    errors.ReloadFailedError: 8,
    errors.WorkerRestartedError: 8,
    errors.RefusedError: 9,
}
# Only these quarantine a release: it is corrupt, does not load, or embeds into another space.
BLAMING = {
    errors.VerificationError,
    errors.ModelError,
    errors.ReloadFailedError,
    errors.NewSpaceError,
}
# These leave the attempt on record: a process was killed, and two of those are a failure.
KILLING = {errors.KilledError, errors.WorkerRestartedError}


def family(root: type[AgentError]) -> Iterator[type[AgentError]]:
    """An error and all that are kinds of it, of this module."""
    yield root
    for each in root.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from family(each)


ALL = [pytest.param(kind, id=kind.__name__) for kind in family(AgentError)]


@pytest.mark.parametrize(
    ("kind", "code"), [pytest.param(k, code, id=k.__name__) for k, code in EXIT_CODES.items()]
)
def test_each_failure_has_its_exit_code(kind: type[AgentError], code: int) -> None:
    """Exit codes are a contract with scripts and Kubernetes."""
    assert kind("x", remedy="y").exit_code == code


def test_another_space_is_refused_and_says_how_to_allow_it() -> None:
    """The operator is told that stored vectors must be recomputed."""
    error = errors.NewSpaceError("v2 embeds into another space.")
    assert error.exit_code == 9
    assert "--allow-new-space" in error.remedy


@pytest.mark.parametrize("kind", ALL)
def test_only_the_release_s_own_faults_blame_it(kind: type[AgentError]) -> None:
    """A share that is away, a full disk or a worker that is down never quarantine a release."""
    assert kind.blames_release is (kind in BLAMING)


@pytest.mark.parametrize("kind", ALL)
def test_only_a_kill_leaves_the_attempt_on_record(kind: type[AgentError]) -> None:
    """Whatever ends in an orderly way is no attempt that never ended."""
    assert kind.ends_attempt is (kind not in KILLING)


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\t", "\n\n  ", "\x85", "\u2028"])
def test_an_error_is_one_line(break_: str) -> None:
    """What is printed last, and what Kubernetes shows, never breaks in two."""
    error = AgentError(f"It{break_}failed.", remedy=f"Do{break_}this.")
    assert (error.what, error.remedy) == ("It failed.", "Do this.")
    assert str(error) == "It failed. Do this."


def test_every_failure_says_what_to_do() -> None:
    """No error can be made without a remedy."""
    own = [errors.StoppedError(), errors.NewSpaceError("x")]
    assert all(error.remedy for error in own)
    with pytest.raises(TypeError):
        AgentError("x")  # type: ignore[call-arg]
