"""The real huggingface_hub works against the double as it does against the Hub."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from tests.support.hub_clients import Client
from tests.support.hub_double import Hub, name_branch, pointer_of, running_hub, write_repo
from tests.unit.doubles.hub.conftest import COMMIT, FILES, REPO, WEIGHTS

if TYPE_CHECKING:
    from tests.support.certificates import Certificate

pytestmark = pytest.mark.slow

WEIGHTS_SHA256: Final = hashlib.sha256(WEIGHTS).hexdigest()
# By `git hash-object` and `git write-tree`.
HELLO_ID: Final = "ce013625030ba8dba906f756967f9e9ca394464a"
TREE_FILES: Final = {"a/b.txt": b"hello\n", "a.d/c": b"hello\n", "a.txt": b""}
TREE_IDS: Final = {
    "a.d": "435927d2fe872add393f6b83553075ffeb232cba",
    "a.d/c": HELLO_ID,
    "a.txt": "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "a": "dd5a3627ad3d4a1eaa9b180972bab37891a5e101",
    "a/b.txt": HELLO_ID,
}


def blob_id(data: bytes) -> str:
    """What git calls a file."""
    head = f"blob {len(data)}\0".encode()
    return hashlib.sha1(head + data, usedforsecurity=False).hexdigest()


def test_model_info(client: Client) -> None:
    """Model info names every file with its size and git id, the large ones with their SHA-256."""
    found = client.ask("info", repo=REPO).value
    assert (found["id"], found["sha"], found["private"]) == (REPO, COMMIT, False)
    siblings = {sibling["rfilename"]: sibling for sibling in found["siblings"]}
    assert siblings.keys() == FILES.keys()
    small, large = siblings["onnx/größe + 1.txt"], siblings["model.onnx"]
    assert (small["size"], small["blob_id"], small["lfs"]) == (6, HELLO_ID, None)
    text = pointer_of(WEIGHTS)
    lfs = {"size": len(WEIGHTS), "sha256": WEIGHTS_SHA256, "pointer_size": len(text)}
    assert (large["size"], large["blob_id"], large["lfs"]) == (len(WEIGHTS), blob_id(text), lfs)


def test_model_info_in_brief(client: Client) -> None:
    """Without file metadata only names are sent; `expand` gets what it asks for and no more."""
    found = client.ask("brief_info", repo=REPO, revision="main").value
    assert "size=None, blob_id=None" in found["siblings"][0]
    assert client.ask("brief_info", repo=REPO, expand=["sha"]).value == {"id": REPO, "sha": COMMIT}


def test_tree(hub: Hub, root: Path, client: Client) -> None:
    """A tree has the ids that git gives, folders and their contents in git's order."""
    write_repo(root, "acme/tree", COMMIT, TREE_FILES)
    found = client.ask("tree", repo="acme/tree", recursive=True).value
    ids = {entry["path"]: entry.get("blob_id") or entry["tree_id"] for entry in found}
    assert list(ids.items()) == list(TREE_IDS.items())
    top = client.ask("tree", repo="acme/tree").value
    assert [entry["path"] for entry in top] == ["a.d", "a.txt", "a"]
    below = client.ask("tree", repo="acme/tree", path_in_repo="a.d").value
    assert [entry["path"] for entry in below] == ["a.d/c"]
    for path in ("none", "a.txt"):
        assert client.ask("tree", repo="acme/tree", path_in_repo=path).error == (
            "RemoteEntryNotFoundError"
        )


def test_expanded_tree(client: Client) -> None:
    """`expand` adds each entry's last commit, and that nobody has scanned the file."""
    found = client.ask("tree", repo=REPO, expand=True).value
    assert {entry["last_commit"]["oid"] for entry in found} == {COMMIT}
    assert found[0]["security"]["status"] == "unscanned"


def test_pages(hub: Hub, root: Path, client: Client) -> None:
    """A tree comes in pages of 1000 entries, or 50 expanded ones, and none is missing."""
    names = [f"{number:04}" for number in range(1001)]
    write_repo(root, "acme/large", COMMIT, dict.fromkeys(names, b""))
    for options, pages in (({}, 2), ({"expand": True}, 21)):
        hub.reset_counters()
        found = client.ask("tree", repo="acme/large", **options).value
        assert [entry["path"] for entry in found] == names
        assert hub.counters()["operations"]["Tree"]["requests"] == pages


def test_download(hub: Hub, client: Client) -> None:
    """A small file comes from the Hub, a large one from its CDN, which sees no token."""
    for name in ("onnx/größe + 1.txt", "model.onnx"):
        path = Path(client.ask("download", repo=REPO, filename=name).value)
        assert path.read_bytes() == FILES[name]
        etag = WEIGHTS_SHA256 if name == "model.onnx" else HELLO_ID
        assert path.resolve().name == etag
    steps = [(entry["operation"], entry["status"]) for entry in hub.requests()]
    assert steps == [("ResolveHead", 200), ("Resolve", 200), ("ResolveHead", 302), ("Content", 200)]


def test_snapshot(client: Client) -> None:
    """A snapshot of a commit holds the files that were asked for, and the cache is sound."""
    patterns = ["*.json", "*.onnx"]
    found = client.ask("snapshot", repo=REPO, revision=COMMIT, allow_patterns=patterns).value
    assert found == {"config.json": blob_id(FILES["config.json"]), "model.onnx": WEIGHTS_SHA256}
    revision = {"repo": REPO, "commit": COMMIT, "refs": []}
    assert client.ask("scan").value == {"warnings": [], "revisions": [revision]}


def test_offline(hub: Hub, client: Client) -> None:
    """What was downloaded is found again without a request, online by its commit, or offline."""
    whole = client.ask("snapshot", repo=REPO).value
    assert whole.keys() == FILES.keys()
    hub.reset_counters()
    assert client.ask("snapshot", repo=REPO, revision=COMMIT).value == whole
    offline = Client(hub, client.home, {"HF_HUB_OFFLINE": "1"})
    assert offline.ask("snapshot", repo=REPO).value == whole
    assert hub.counters()["total"]["requests"] == 0


def test_branches(root: Path, client: Client) -> None:
    """`main` is the newest commit until refs/main says otherwise; other refs are branches."""
    repo, old, new = "acme/branches", "a" * 40, "b" * 40
    write_repo(root, repo, old, {"file": b"old"})
    write_repo(root, repo, new, {"file": b"new"})
    assert client.ask("info", repo=repo).value["sha"] == new
    name_branch(root, repo, "main", old)
    name_branch(root, repo, "v2", new)
    assert client.ask("info", repo=repo).value["sha"] == old
    assert client.ask("info", repo=repo, revision="v2").value["sha"] == new
    path = client.ask("download", repo=repo, filename="file", revision="v2").value
    assert Path(path).read_bytes() == b"new"


def test_changed_file(root: Path, client: Client) -> None:
    """A file that is replaced on disk is served with its new identity."""
    write_repo(root, "acme/changing", COMMIT, {"file": b"one"})
    sibling = client.ask("info", repo="acme/changing").value["siblings"][0]
    assert sibling["blob_id"] == blob_id(b"one")
    write_repo(root, "acme/changing", COMMIT, {"file": b"other"})
    sibling = client.ask("info", repo="acme/changing").value["siblings"][0]
    assert sibling["blob_id"] == blob_id(b"other")


def test_what_is_large(root: Path, client: Client) -> None:
    """Git LFS has what .gitattributes names, by name or path, and whatever is over 10 MiB."""
    attributes = b"*.weights filter=lfs -text\nin/a.txt filter=lfs\n*.onnx -text\n"
    files = {
        ".gitattributes": attributes,
        "in/x.weights": b"1",
        "in/a.txt": b"2",
        "a.txt": b"3",
        "model.onnx": b"4",
        "huge": bytes(10 * 1024 * 1024 + 1),
    }
    write_repo(root, "acme/attributes", COMMIT, files)
    found = client.ask("info", repo="acme/attributes").value["siblings"]
    large = {sibling["rfilename"] for sibling in found if sibling["lfs"]}
    assert large == {"in/x.weights", "in/a.txt", "huge"}


def test_renamed(hub: Hub, client: Client) -> None:
    """A former name, even a bare one, leads to the repository, and the answer has its new name."""
    for old in ("acme/former", "old"):
        assert client.ask("info", repo=old).value["id"] == REPO
        found = client.ask("snapshot", repo=old, allow_patterns=["model.onnx"]).value
        assert found == {"model.onnx": WEIGHTS_SHA256}
    statuses = [entry["status"] for entry in hub.requests("ModelInfo")]
    assert statuses == [307, 200] * 4


def test_not_there(hub: Hub, root: Path, client: Client) -> None:
    """A missing file or revision has its own error; what the repository lacks is remembered."""
    answer = client.ask("download", repo=REPO, filename="none")
    assert (answer.error, answer.status) == ("RemoteEntryNotFoundError", 404)
    assert (client.cache / "models--acme--embedder/.no_exist" / COMMIT / "none").exists()
    for revision in ("none", "f" * 40):
        for call in ("info", "snapshot"):
            answer = client.ask(call, repo=REPO, revision=revision)
            assert (answer.error, answer.status) == ("RevisionNotFoundError", 404)
    outside = root / "outside"
    outside.write_bytes(b"secret")
    for path in ("..%2F..%2F..%2Foutside", "%2e%2e/%2e%2e/%2e%2e/outside", "x%00", "onnx"):
        raw = f"{hub.url}/{REPO}/resolve/{COMMIT}/{path}"
        assert httpx.get(raw, trust_env=False).status_code == 404


def test_ranges(hub: Hub) -> None:
    """Files are served by ranges; one that begins beyond the end is refused with the size."""
    url, size = f"{hub.url}/{REPO}/resolve/main/model.onnx", len(WEIGHTS)
    with httpx.Client(follow_redirects=True, trust_env=False) as http:
        for asked, start, end in (
            ("5-9", 5, 10),
            (f"{size - 3}-", size - 3, size),
            ("-4", size - 4, size),
        ):
            found = http.get(url, headers={"Range": f"bytes={asked}"})
            assert (found.status_code, found.content) == (206, WEIGHTS[start:end])
            assert found.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        for asked in (f"{size}-", "9-5", "x"):
            found = http.get(url, headers={"Range": f"bytes={asked}"})
            assert (found.status_code, found.headers["Content-Range"]) == (416, f"bytes */{size}")


def test_never_xet(hub: Hub) -> None:
    """No answer offers Xet, nor says more of a file than its redirect needs."""
    url = f"{hub.url}/{REPO}/resolve/main/model.onnx"
    found = httpx.head(url, trust_env=False)
    assert found.headers["X-Linked-ETag"] == f'"{WEIGHTS_SHA256}"'
    assert found.headers["X-Linked-Size"] == str(len(WEIGHTS))
    assert found.headers["X-Repo-Commit"] == COMMIT
    assert httpx.URL(found.headers["Location"]).host == "localhost"
    assert not [name for name in found.headers if "xet" in name.lower()]
    assert httpx.get(f"{hub.url}/api/datasets/acme/x", trust_env=False).status_code == 404


def test_one_host_name(hub: Hub, tmp_path: Path) -> None:
    """Where Hub and CDN have the same name, the client follows with its HEAD and still loads."""
    here = Hub(hub.url.replace("127.0.0.1", "localhost"), hub.pid, hub.control)
    answer = Client(here, tmp_path / "home").ask("download", repo=REPO, filename="model.onnx")
    assert Path(answer.value).resolve().name == WEIGHTS_SHA256


def test_tls(root: Path, certificate: Certificate, tmp_path: Path) -> None:
    """Over TLS the Hub serves a client that trusts its certificate, and no other."""
    with running_hub(root, certificate=certificate) as hub:
        trusting = Client(hub, tmp_path / "trusting")
        found = trusting.ask("snapshot", repo=REPO, allow_patterns=["model.onnx"]).value
        assert found == {"model.onnx": WEIGHTS_SHA256}
        wary = Client(Hub(hub.url, hub.pid, hub.control), tmp_path / "wary")
        assert "CERTIFICATE_VERIFY_FAILED" in wary.ask("info", repo=REPO).sentence
