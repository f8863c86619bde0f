"""The doctor and `init` on the same share: what the one says, the other does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from agent.doctor import examination
from agent.doctor.judge import findings
from agent.doctor.judge.variables import DIRECTORIES
from agent.errors import AgentError
from agent.sync import init
from tests.support.hub_double import name_branch, running_hub
from tests.support.keys import make_key
from tests.support.parts import Parts, by_hand
from tests.support.shares import REVISION, SNAPSHOT, TestShare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.doctor.judge.findings import Finding

    Arrange = Callable[[TestShare], object]

FILES: Final = {"model.onnx": b"weights"}
OWN: Final = "catalogued"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*DIRECTORIES, "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


@dataclass(frozen=True)
class Share:
    """A share, and what a new pod takes there.

    Attributes:
        arrange: Fills the empty share.
        takes: The release that it takes; None if it takes none.
        code: The exit code.
        flags: The settings.
    """

    arrange: Arrange
    takes: str | None
    code: int = 0
    flags: dict[str, str] = field(default_factory=dict)


def several(*versions: str, mark: str | None = None) -> Arrange:
    """Arrange releases of these versions, and a marker."""

    def arrange(share: TestShare) -> None:
        for version in versions:
            share.add_files(version, FILES)
        if mark:
            share.mark(mark)

    return arrange


def bare(share: TestShare) -> None:
    """Have nothing on the share, not even a directory for releases."""
    (share.root / "releases").rmdir()


def hand_made(*, suffix: str = "", lack: str | None = None, mark: str | None = None) -> Arrange:
    """Arrange a hand-made tree, without one of its files if that is named."""

    def arrange(share: TestShare) -> None:
        bare(share)
        directory = by_hand(share, suffix=suffix)
        if lack:
            (directory / lack).unlink()
        if mark:
            share.mark(mark)

    return arrange


def beside_half_a_release(share: TestShare) -> None:
    """Have a tree, and a release without a manifest, beside which the tree is no version."""
    by_hand(share)
    share.release("half").mkdir()


def without_a_file(share: TestShare) -> None:
    """Have a release whose largest file is not there."""
    share.add_files("v1", FILES)
    (share.release("v1") / SNAPSHOT / "model.onnx").unlink()


def with_a_pickle(share: TestShare) -> None:
    """Have a release that runs code when it is loaded."""
    share.add_files("v1", FILES | {"pytorch_model.bin": b"pickle"})


NEVER: Final = {"populate": "never"}
STRICT: Final = {"require_manifest": "true"}

SHARES: Final = {
    "nothing": Share(bare, None, 4, NEVER),
    "one release": Share(several("v1"), "v1"),
    "several releases": Share(several("v1", "v2"), None, 4),
    "several, one of them the catalog's": Share(several("v1", OWN), OWN),
    "a marker": Share(several("v1", "v2", mark="v2"), "v2"),
    "a marker that leads nowhere": Share(several("v1", mark="v9"), None, 4),
    "a marker for the catalog's, which no pod makes": Share(
        several("v1", mark=OWN), None, 4, NEVER
    ),
    "a tree": Share(hand_made(), "unversioned"),
    "a tree with a name": Share(hand_made(suffix="-v2", mark="v2"), "v2"),
    "a tree that lacks a file": Share(hand_made(lack="tokenizer.json"), None, 4),
    "a tree that lacks a file, with a marker": Share(
        hand_made(lack="config.json", mark=OWN), None, 4
    ),
    "a tree where manifests are required": Share(hand_made(), None, 4, STRICT),
    "a tree beside half a release": Share(beside_half_a_release, None, 4),
    "a release that lacks a file": Share(without_a_file, None, 4),
    "a release with a pickle": Share(with_a_pickle, None, 9),
}


def examined(root: Path, flags: dict[str, str]) -> list[Finding]:
    """Run the doctor in this process, on a pod that has no worker."""
    context = Parts(root, reload_method="none", **flags).context
    return list(examination.examine(context))


def began(root: Path, flags: dict[str, str]) -> tuple[str | None, int]:
    """Run `init` on the empty store; return the release that it took, and its exit code."""
    try:
        return init.run(Parts(root, no_warm="true", **flags).context).active, 0
    except AgentError as error:
        return None, error.exit_code


def said(found: list[Finding], check: str) -> list[tuple[str, str]]:
    """Return the level and the sentence of each finding of a check."""
    return [(each.level, each.seen) for each in found if each.check == check]


def assert_agreed(root: Path, share: Share) -> list[Finding]:
    """See that the doctor's exit code is that of `init`, and that it names the same release."""
    found = examined(root, share.flags)
    error = findings.first_failure(found)
    assert (error.exit_code if error else 0) == share.code, found
    assert began(root, share.flags) == (share.takes, share.code)
    if share.takes:
        assert share.takes in said(found, "marker")[0][1]
    return found


@pytest.mark.parametrize("share", [pytest.param(s, id=name) for name, s in SHARES.items()])
def test_they_take_the_same_release(share: Share, tmp_path: Path) -> None:
    """A share on which `init` succeeds has no `fail`, and else the exit codes are equal."""
    share.arrange(Parts(tmp_path).share)
    assert_agreed(tmp_path, share)


def test_they_hold_a_tree_to_the_rule_about_signatures(tmp_path: Path) -> None:
    """A hand-made tree is refused by both where a signature is required."""
    hand_made()(Parts(tmp_path).share)
    key = make_key(tmp_path)
    flags = {"verify_key": str(key.public), "require_signature": "true", "populate": "store"}
    assert_agreed(tmp_path, Share(bare, None, 5, flags))


def test_nothing_is_called_nothing(tmp_path: Path) -> None:
    """On an empty share that no pod fills, the doctor says what is missing, and what to do."""
    bare(Parts(tmp_path).share)
    found = assert_agreed(tmp_path, SHARES["nothing"])
    (missing,) = said(found, "marker")
    assert missing[0] == "fail"
    assert missing[1].startswith("There is no marker VERSION and no release on the share")


def misplace(share: TestShare) -> None:
    """Have something on the share where no loader looks."""
    (share.root / "models" / "name").mkdir(parents=True)


MAY: Final = {"populate": "store"}

FROM_THE_HUB: Final = {
    "nothing": Share(bare, OWN, flags=MAY),
    "a marker for the catalog's": Share(several("v1", mark=OWN), OWN, flags=MAY),
    "models in the wrong place": Share(misplace, OWN, flags=MAY),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FROM_THE_HUB)
def test_they_go_to_the_hub(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `init` makes the catalog's release from the Hub, the doctor says so and fails nothing.

    Models that lie in the wrong place are pointed out: somebody may have meant them.
    """
    share, hub = FROM_THE_HUB[name], tmp_path / "hub"
    (hub / "Org/name").mkdir(parents=True)
    by_hand(TestShare(tmp_path / "model")).rename(hub / "Org/name" / REVISION)
    name_branch(hub, "Org/name", "main", REVISION)
    share.arrange(Parts(tmp_path).share)
    with running_hub(hub) as server:
        environ = {"HF_ENDPOINT": server.url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        for variable, value in environ.items():
            monkeypatch.setenv(variable, value)
        found = assert_agreed(tmp_path, share)
    ((level, sentence),) = said(found, "marker")
    assert (level, "from the Hub" in sentence) == ("warn", True)
    misplaced = [each.diagnosis for each in found if each.check == "layout"]
    assert misplaced == (["wrong directory structure"] if share.arrange is misplace else [])
