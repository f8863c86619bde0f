"""Tokens, private and gated repositories answer the real client as the Hub's do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx
import pytest

from tests.support.hub_clients import Answer, Client
from tests.support.hub_double import Hub, running_hub, write_repo
from tests.unit.doubles.hub.conftest import COMMIT, FILES, REPO, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.certificates import Certificate

pytestmark = pytest.mark.slow

GATED: Final = "acme/gated"
OWNER: Final = {"HF_TOKEN": "hf_owner"}
OUTSIDER: Final = {"HF_TOKEN": "hf_outsider"}
STRANGER: Final = {"HF_TOKEN": "hf_stranger"}
FLAGS: Final = ("--token=hf_owner", "--outsider=hf_outsider", f"--gated={GATED}")


@pytest.fixture(scope="module")
def guarded_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private repository and a gated one."""
    root = tmp_path_factory.mktemp("guarded")
    for repo in (REPO, GATED):
        write_repo(root, repo, COMMIT, FILES)
    return root


@pytest.fixture(scope="module")
def guarded(guarded_root: Path) -> Iterator[Hub]:
    """A Hub where a token is needed."""
    with running_hub(guarded_root, *FLAGS) as hub:
        yield hub


def outcome(answer: Answer) -> tuple[str, int | None]:
    """The error and its status."""
    return answer.error, answer.status


def test_owner(guarded: Hub, tmp_path: Path) -> None:
    """The owner's token opens private and gated repositories; HF_TOKEN is all the client needs."""
    owner = Client(guarded, tmp_path, OWNER)
    private = owner.ask("info", repo=REPO).value
    gated = owner.ask("info", repo=GATED).value
    assert (private["private"], private["gated"]) == (True, False)
    assert (gated["private"], gated["gated"]) == (False, "manual")
    for repo in (REPO, GATED):
        assert owner.ask("snapshot", repo=repo).value.keys() == FILES.keys()


@pytest.mark.parametrize(
    ("env", "error", "status"),
    [
        # Over http the client takes a bare 401 for what it is; see test_hidden_over_tls.
        ({}, "HfHubHTTPError", 401),
        (OUTSIDER, "RepositoryNotFoundError", 404),
        (STRANGER, "HfHubHTTPError", 401),
    ],
    ids=["anonymous", "outsider", "stranger"],
)
def test_private(
    guarded: Hub, tmp_path: Path, env: dict[str, str], error: str, status: int
) -> None:
    """A private repository looks to others as one that is not there, whatever they ask."""
    other = Client(guarded, tmp_path, env)
    for repo in (REPO, "acme/none"):
        for call, options in (
            ("info", {}),
            ("tree", {}),
            ("download", {"filename": "config.json"}),
            ("snapshot", {"revision": COMMIT}),
        ):
            assert outcome(other.ask(call, repo=repo, **options)) == (error, status)


def test_bad_token(guarded: Hub, tmp_path: Path) -> None:
    """A token that is no one's is called just that, even where none is needed."""
    stranger = Client(guarded, tmp_path, STRANGER)
    for repo in (REPO, GATED):
        sentence = stranger.ask("info", repo=repo).sentence
        assert "Invalid credentials in Authorization header" in sentence


def test_hidden_over_tls(guarded_root: Path, certificate: Certificate, tmp_path: Path) -> None:
    """Over TLS the client takes the Hub's 401 to anonymous callers for a missing repository."""
    with running_hub(guarded_root, *FLAGS, certificate=certificate) as hub:
        answer = Client(hub, tmp_path).ask("info", repo="acme/none")
    assert outcome(answer) == ("RepositoryNotFoundError", 401)


@pytest.mark.parametrize(
    ("env", "status"), [({}, 401), (OUTSIDER, 403)], ids=["anonymous", "outsider"]
)
def test_gated(guarded: Hub, tmp_path: Path, env: dict[str, str], status: int) -> None:
    """All may see what a gated repository holds; its files are for those granted access."""
    other = Client(guarded, tmp_path, env)
    assert len(other.ask("info", repo=GATED).value["siblings"]) == len(FILES)
    assert other.ask("tree", repo=GATED).value
    for name in ("config.json", "model.onnx"):
        answer = other.ask("download", repo=GATED, filename=name)
        assert outcome(answer) == ("GatedRepoError", status)
        assert "Access to model acme/gated is restricted" in answer.sentence


def test_any_token_is_good(hub: Hub, tmp_path: Path) -> None:
    """A Hub that was given no token takes any, and serves those who have none."""
    for env in ({}, OWNER):
        assert Client(hub, tmp_path, env).ask("info", repo=REPO).value["id"] == REPO
    headers = {"Authorization": "Basic dXNlcjpwYXNz"}
    url = f"{hub.url}/api/models/{REPO}"
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 401


def test_cdn_address(guarded: Hub) -> None:
    """The CDN asks for no token, but for an address with the file's own digest in it."""
    url = f"{guarded.url}/{REPO}/resolve/main/model.onnx"
    headers = {"Authorization": "Bearer hf_owner"}
    there = httpx.get(url, headers=headers, trust_env=False).headers["Location"]
    assert httpx.get(there, trust_env=False).content == WEIGHTS
    digest = there.split("/")[-2]
    other = there.replace(digest, "0" * len(digest))
    assert httpx.get(other, trust_env=False).status_code == 404
