"""The doctor's look at the share from outside, and at what it needs on Azure Files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent import logs, settings
from agent.context import Context
from agent.doctor import access, azure, speed
from agent.doctor.case import Case
from agent.doctor.judge import reach
from agent.errors import ConfigError, UnreachableError
from agent.shares.azurefiles.explain import ClockError, NoCredentialError, ServiceError
from agent.shares.directory import DirectoryShare
from tests.support.parts import Parts
from tests.unit.doctor.cases import case_of, seen

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024
AZURE = "azurefiles://university/ml-models"


def case_at(share: str, environ: dict[str, str], **flags: str) -> Case:
    """Return a case of the share at an address, which nobody asked for anything yet."""
    return Case(Context(settings.parse({"share": share, **flags}, {}), logs.get()), environ)


def test_a_share_that_answers(tmp_path: Path) -> None:
    """The time of a read is said; a share with nothing on it is a warning."""
    case = case_of(tmp_path)
    ((level, sentence),) = seen(access.share, case)
    assert level == "ok"
    assert sentence.startswith(f"{case.share.address} answers in ")
    (tmp_path / "share" / "releases").rmdir()
    told = f"The share {case.share.address} exists but is empty."
    assert seen(access.share, case) == [("warn", told)]


def test_a_share_that_is_not_there(tmp_path: Path) -> None:
    """A directory that is not mounted is a share that cannot be reached."""
    case = case_of(tmp_path)
    (tmp_path / "share").rename(tmp_path / "away")
    (found,) = access.share(case)
    assert (found.level, found.diagnosis, found.exit_code) == ("fail", reach.NOT_REACHABLE, 3)


def test_an_address_that_is_none() -> None:
    """It fails the check that asks for the share, and no other."""
    case = case_at("https://host/share", {})
    assert (case.is_rest, case.is_directory) == (False, False)
    with pytest.raises(ConfigError, match="is not a kind of address"):
        seen(access.share, case)


def test_the_mount(tmp_path: Path) -> None:
    """Outside of a pod any mount that can be read will do; it is said what it is."""
    ((level, sentence),) = seen(access.mount, case_of(tmp_path))
    assert level == "ok"
    assert sentence.endswith(("read-write.", "read-only."))


def test_a_credential() -> None:
    """Its kind and its source are said, never the secret; the endpoint is noted."""
    case = case_at(AZURE, {"AZURE_STORAGE_KEY": "c2VjcmV0"})
    assert case.is_rest
    told = "account-key from AZURE_STORAGE_KEY."
    assert seen(azure.credentials, case) == [("ok", told)]
    assert case.endpoint == "https://university.file.core.windows.net"
    other = case_at(AZURE, {}, azure_endpoint="https://10.0.0.4")
    assert seen(azure.credentials, other) == [("ok", "identity from DefaultAzureCredential.")]
    assert other.endpoint == "https://10.0.0.4"


def test_a_credential_that_is_missing_or_wrong(tmp_path: Path) -> None:
    """A Secret without a credential has a name of its own; a wrong one is its sentence."""
    (found,) = azure.credentials(case_at(AZURE, {}, azure_secret_dir=str(tmp_path)))
    assert (found.diagnosis, found.exit_code) == (azure.MISSING, 2)
    (found,) = azure.credentials(case_at(AZURE, {"AZURE_STORAGE_KEY": "!"}))
    assert (found.diagnosis, found.exit_code) == ("", 2)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (
            ClockError("A.", remedy="B.", code="AuthenticationFailed"),
            "clock",
            "AuthenticationFailed",
        ),
        (NoCredentialError("A.", remedy="B."), "no credential", None),
        (ServiceError("A.", remedy="B.", code="ServerBusy"), "other", "ServerBusy"),
        (UnreachableError("A.", remedy="B."), "other", None),
    ],
)
def test_the_kind_of_a_failure(error: UnreachableError, kind: str, code: str | None) -> None:
    """It is told by the error's class and the service's code, and its words stay."""
    assert azure.failure(error) == reach.Failure("A.", "B.", code, kind)  # type: ignore[arg-type]


def test_how_fast_it_is(tmp_path: Path) -> None:
    """As much is read as there is, up to 64 MiB, by as many threads as the share likes."""
    (tmp_path / "large").write_bytes(bytes(9 * MIB + 1))
    sample = speed.measure(DirectoryShare(tmp_path), "large", 9 * MIB + 1)
    assert (sample.size, sample.seconds > 0) == (9 * MIB + 1, True)


def test_nothing_to_measure_by(tmp_path: Path) -> None:
    """Without a release, or with a small one, there is no verdict."""
    share = Parts(tmp_path).share
    (share.root / "large").write_bytes(bytes(8 * MIB))
    case = case_of(tmp_path)
    assert seen(speed.speed, case)[0][0] == "skip"
    case.largest = "small", 1024
    assert seen(speed.speed, case)[0][0] == "skip"
    case.largest, case.total = ("large", 8 * MIB), 8 * MIB
    ((_, sentence),) = seen(speed.speed, case)
    assert "MiB/s" in sentence
