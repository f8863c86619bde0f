"""Only a release of the store is ever loaded, and only the one that was meant."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import AgentError, RefusedError, ReleaseMissingError, VerificationError
from agent.worker import from_request, resolve_current
from tests.support.stores import a_model, activate, bare_release, write_release

if TYPE_CHECKING:
    from agent.worker import Release


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that holds v1 and v2, with `current` at v1."""
    root = tmp_path / "store"
    bare_release(root, "v1")
    bare_release(root, "v2")
    activate(root, "v1")
    return root


def ask(store: Path, version: str = "v2", **changes: str) -> Release:
    manifest = bare_release(store, version)
    fields = {"version": version, "path": f"releases/{version}", "digest": manifest.digest}
    return from_request(store, **(fields | changes))


def test_current_is_the_release_itself(store: Path) -> None:
    """What `current` names is given by its own path: a later flip does not move it."""
    release = resolve_current(store)
    activate(store, "v2")
    assert (release.version, release.path) == ("v1", store / "releases" / "v1")
    assert release.digest == release.manifest.digest


def test_a_request_names_a_release(store: Path) -> None:
    """A request whose path, version and digest belong together is taken."""
    release = ask(store)
    assert (release.version, release.path) == ("v2", store / "releases" / "v2")
    assert release.target.digest == release.digest


def test_the_store_may_be_reached_through_a_link(store: Path, tmp_path: Path) -> None:
    """Where the store is mounted is the operator's business; only what is in it is checked."""
    (tmp_path / "mnt").symlink_to(store)
    assert ask(tmp_path / "mnt").version == "v2"


def test_no_current_says_what_to_do(tmp_path: Path) -> None:
    """A store without `current` is a release that is missing, with a remedy."""
    with pytest.raises(ReleaseMissingError, match="init"):
        resolve_current(tmp_path)


@pytest.mark.parametrize(
    "target",
    ["/etc", "releases", "releases/../v1", "releases/v9", "../store/releases/v1", "v1", "."],
)
def test_current_must_name_a_release_of_the_store(store: Path, target: str) -> None:
    """A link to anything but `releases/<version>` is not followed."""
    (store / "current").unlink()
    (store / "current").symlink_to(target)
    with pytest.raises(RefusedError):
        resolve_current(store)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "v2",
        "current",
        "releases",
        "releases/",
        "releases/v1",
        "releases/v2/",
        "/releases/v2",
        "./releases/v2",
        "releases//v2",
        "releases/./v2",
        "releases/../releases/v2",
        "releases/v2/../v2",
        "../store/releases/v2",
        "releases/v2\0",
        "releases\\v2",
        "Releases/v2",
        "releases/v2\n",
    ],
)
def test_any_other_path_is_refused(store: Path, path: str) -> None:
    """The path is exactly `releases/<version>` with the version asked for; no other spelling."""
    with pytest.raises(RefusedError):
        ask(store, path=path)


@pytest.mark.parametrize("version", ["", ".", "..", "v 2", "a/b", "v2.", "-v", "x" * 64, "v2\n"])
def test_a_bad_version_is_refused(store: Path, version: str) -> None:
    """What is no version is refused before any path is made of it."""
    with pytest.raises(RefusedError):
        from_request(store, version=version, path=f"releases/{version}", digest="0" * 64)


def test_another_digest_is_refused(store: Path) -> None:
    """A release whose content is not what was asked for is refused, and both digests are named."""
    digest = bare_release(store, "v2", "other content").digest
    with pytest.raises(RefusedError, match=digest):
        ask(store, digest=digest)


def test_an_absent_release_is_refused(store: Path) -> None:
    """A release that is not staged is refused."""
    with pytest.raises(RefusedError, match="not a directory"):
        from_request(store, version="v3", path="releases/v3", digest="0" * 64)


def test_a_linked_release_is_refused(store: Path, tmp_path: Path) -> None:
    """A release that is a link is refused, wherever it leads to."""
    manifest = bare_release(tmp_path / "elsewhere", "v3")
    for target in (tmp_path / "elsewhere" / "releases" / "v3", Path("v1")):
        (store / "releases" / "v3").symlink_to(target)
        with pytest.raises(RefusedError):
            from_request(store, version="v3", path="releases/v3", digest=manifest.digest)
        (store / "releases" / "v3").unlink()


def test_linked_releases_are_refused(store: Path, tmp_path: Path) -> None:
    """A store whose `releases` leads elsewhere is not a store."""
    (store / "releases").rename(tmp_path / "elsewhere")
    (store / "releases").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError):
        resolve_current(store)


def test_the_manifest_must_be_the_releases_own(store: Path) -> None:
    """A release that carries another version's manifest is refused."""
    manifest = write_release(store / "releases" / "v3", {"a": b"a"}, [a_model()], version="v1")
    with pytest.raises(VerificationError, match="v1"):
        from_request(store, version="v3", path="releases/v3", digest=manifest.digest)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "link", "fifo", "directory"])
def test_a_release_without_a_good_manifest_is_refused(store: Path, damage: str) -> None:
    """Whatever is wrong with the manifest, it is an error with a remedy, at once."""
    digest = bare_release(store, "v2").digest
    path = store / "releases" / "v2" / "manifest.json"
    whole = path.read_bytes()
    path.unlink()
    if damage == "empty":
        path.touch()
    elif damage == "cut":
        path.write_bytes(whole[:-9])
    elif damage == "link":
        path.with_name("copy").write_bytes(whole)
        path.symlink_to("copy")
    elif damage == "fifo":
        os.mkfifo(path)
    elif damage == "directory":
        path.mkdir()
    with pytest.raises(VerificationError) as caught:
        from_request(store, version="v2", path="releases/v2", digest=digest)
    assert caught.value.remedy


def test_refusals_never_touch_the_store(store: Path) -> None:
    """A refused request leaves no trace."""
    before = sorted(path.relative_to(store) for path in store.rglob("*"))
    with pytest.raises(AgentError):
        from_request(store, version="v9", path="releases/v9", digest="")
    assert sorted(path.relative_to(store) for path in store.rglob("*")) == before
