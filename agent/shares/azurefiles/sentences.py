"""Sentences for the service's errors: one about what happened, one about what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from agent.retry import TRANSIENT_STATUS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.shares.azurefiles.credentials import Kind

GONE: Final = ("ResourceNotFound", "ParentNotFound")

# Trying again may help for these too: a body damaged on the way, a file that is open elsewhere.
TRANSIENT_CODES: Final = (
    *("Md5Mismatch", "SharingViolation", "FileLockConflict", "FileOpenBySmbClient"),
    *("DeletePending", "CannotDeleteFileOrDirectory", "ClientCacheFlushDelay"),
    "ShareSnapshotInProgress",
)
FULL: Final = "ShareSizeLimitReached"
_SKEW_SECONDS: Final = 300
_DENIED: Final = (401, 403)
_CALLED: Final[Mapping[Kind, str]] = {
    "account-key": "account key",
    "connection-string": "connection string",
    "sas": "SAS",
    "identity": "identity",
}
_ROLES: Final = (
    "Give it the role Storage File Data Privileged Reader on the share, and to publish, Storage "
    "File Data Privileged Contributor (the roles for SMB do not count here)."
)
_FIREWALL: Final = "Check that the account's firewall allows this network."
_PERMISSIONS: Final = (
    "Give the SAS the permissions rl to read and rcwdl to publish, and check that the account's "
    "firewall allows this network."
)
_HTTPS: Final = "Give --azure-endpoint with https://, or none."
# Codes that say it all, whatever their status: "File service error codes" (Microsoft).
_BY_CODE: Final[Mapping[str, tuple[str, str]]] = {
    FULL: (
        "{share} is full: its quota is reached.",
        "Raise the share's quota, or remove old releases: model-agent prune --on share.",
    ),
    "ShareNotFound": (
        "There is no share {share} (ShareNotFound).",
        "Check the share's name in --share, or create it.",
    ),
    "ShareBeingDeleted": (
        "{share} is being deleted.",
        "Restore it, or create it again once it is gone, and publish to it.",
    ),
    "ShareDisabled": ("{share} is disabled.", "Have the share enabled again."),
    "AccountIsDisabled": (
        "The storage account of {share} is disabled.",
        "Have the account enabled again; check its subscription.",
    ),
    "InsufficientAccountPermissions": (
        "The storage account of {share} does not allow this.",
        "Check the locks and the policies of the account.",
    ),
    "KeyBasedAuthenticationNotPermitted": (
        "The account of {share} does not allow account keys.",
        "Use a workload identity: give neither key nor SAS.",
    ),
    "AccountRequiresHttps": ("The account of {share} takes https only.", _HTTPS),
    "AuthorizationProtocolMismatch": ("The SAS for {share} allows https only.", _HTTPS),
    "AuthorizationSourceIPMismatch": (
        "The SAS for {share} does not allow the address of this machine.",
        "Create a SAS without allowed addresses, or with those of the cluster.",
    ),
    "AuthorizationServiceMismatch": (
        "The SAS for {share} is not one for files.",
        "Create it for the file service (ss=f), or on the share itself.",
    ),
    "AuthorizationResourceTypeMismatch": (
        "The SAS for {share} does not reach what is in the share.",
        "Create it for containers and objects (srt=co), or on the share itself.",
    ),
    "FeatureVersionMismatch": (
        "{path} on {share} is of a kind that this version of the agent cannot use.",
        "Update model-agent, or copy the file to the share again.",
    ),
    "ReadOnlyAttribute": (
        "{path} on {share} is marked read-only.",
        "Take that attribute away: attrib -r, or the file's properties.",
    ),
    "InvalidFileOrDirectoryPathName": (
        "{path} is no name that a file on {share} can have.",
        "Give it another name, and publish again.",
    ),
    "ShareSnapshotInProgress": (
        "A snapshot of {share} is being made.",
        "Try again when it is done.",
    ),
}


@dataclass(frozen=True)
class Asked:
    """The request that failed: its share, path and host, and the kind of credential."""

    share: str
    path: str
    host: str
    kind: Kind


@dataclass(frozen=True)
class Answer:
    """The service's answer: its status, error code, headers and text."""

    status: int
    code: str | None
    headers: Mapping[str, str]
    text: str


def sentences(answer: Answer, asked: Asked) -> tuple[str, str]:
    """Return what happened and the remedy, without the answer's own text."""
    if is_clock_skew(answer):
        return _clock(answer, asked)
    if known := _BY_CODE.get(answer.code or ""):
        what, remedy = known
        return what.format(share=asked.share, path=asked.path or "A file"), remedy
    if answer.status in _DENIED:
        return _denied(answer, asked)
    return _known(answer, asked) or (
        f"{asked.share} refused a request about {asked.path or 'its root'} ({_told(answer)}).",
        "Look up that code in the Azure Files documentation. Releases are unchanged.",
    )


def _known(answer: Answer, asked: Asked) -> tuple[str, str] | None:
    told = _told(answer)
    if answer.status in TRANSIENT_STATUS:
        what = f"{asked.share} is busy or throttled ({told})."
        return what, "Try again later; if it lasts, give the share more throughput."
    if answer.code == "Md5Mismatch":
        what = f"{asked.path} arrived damaged at {asked.share} ({told})."
        return what, "Check the network; a proxy in between may change what is sent."
    if answer.code in TRANSIENT_CODES:
        what = f"{asked.path} on {asked.share} is in use elsewhere ({told})."
        return what, "Close it on the machine that has it open, and try again."
    if answer.code in GONE:
        what = f"{asked.path} cannot exist on {asked.share}: a directory above it is missing."
        none = f"There is no directory {asked.share}."
        return what if asked.path else none, "Check the prefix in --share, or create its directory."
    return None


def _told(answer: Answer) -> str:
    return f"{answer.status} {answer.code}" if answer.code else str(answer.status)


def is_clock_skew(answer: Answer) -> bool:
    """Return true if a request was refused because this machine's clock is wrong."""
    return answer.status in _DENIED and abs(_seconds_ahead(answer.headers)) > _SKEW_SECONDS


def _clock(answer: Answer, asked: Asked) -> tuple[str, str]:
    ahead = _seconds_ahead(answer.headers)
    way = "behind" if ahead > 0 else "ahead"
    what = f"The clock here is {abs(ahead):.0f} s {way}, so {asked.share} refuses what it signs."
    return what, "Set the clock of this machine; up to 15 minutes are tolerated."


def _denied(answer: Answer, asked: Asked) -> tuple[str, str]:
    code, called = answer.code, _CALLED[asked.kind]
    if asked.kind == "identity":
        return f"The identity is not allowed to do this on {asked.share} ({code}).", _ROLES
    if "time frame" in answer.text or "expired" in answer.text.lower():
        what = f"The {called} for {asked.share} has expired, or is not valid yet."
        return what, f"Create a new {called}."
    if code in {"AuthenticationFailed", "InvalidAuthenticationInfo"}:
        what = f"{asked.share} does not accept the {called} ({code})."
        return what, "Copy it again from the storage account; it may have been rotated."
    what = f"The {called} does not allow this on {asked.share} ({code})."
    return what, _FIREWALL if asked.kind == "account-key" else _PERMISSIONS


def _seconds_ahead(headers: Mapping[str, str]) -> float:
    """Return the seconds that the service's clock is ahead of ours; 0 if its answer has no date."""
    try:
        there = parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return 0.0
    return (there - datetime.now(UTC)).total_seconds()
