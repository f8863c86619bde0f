"""Releases from the Hub: pinned, verified, optimised, and made once however many want them."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support import agents, models
from tests.support.certificates import make_certificate
from tests.support.hub_double import name_branch, pointer_of
from tests.support.hubs import VERSION, HubPod, hub_pod
from tests.support.pods import NO_SHARE
from tests.support.rest import rest_share
from tests.support.shares import REVISION
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path) -> Iterator[HubPod]:
    """A Hub, an empty share, an empty store."""
    with hub_pod(tmp_path) as here:
        yield here


def test_a_catalog_becomes_a_release(here: HubPod) -> None:
    """`publish CATALOG` makes a pinned, optimised release that names what the Hub served."""
    done = here.publish()
    assert done.code == 0, done.sentence
    made = here.share.manifest(VERSION)
    (model,) = made.models
    assert (model.repo, model.revision) == (models.MINILM_REPO, REVISION)
    files = {file.path.rpartition("/")[2]: file for file in made.files}
    assert "README.md" not in files
    weights = hashlib.sha256((here.repo / "model.onnx").read_bytes()).hexdigest()
    assert files["model.onnx"].upstream_sha256 == weights
    assert files["model.onnx"].sha256 != weights
    assert files["model.onnx.data"].upstream_sha256 is None
    assert files["tokenizer.json"].upstream_sha256 is None
    assert here.run("verify", VERSION, "--on", "share").code == 0
    assert {path.name for path in here.share.root.iterdir()} == {"releases"}


@pytest.mark.slow
def test_weights_as_they_are(here: HubPod) -> None:
    """`--no-optimize` publishes the very bytes that the Hub has, whatever the catalog says."""
    done = here.publish("--no-optimize")
    assert done.code == 0, done.sentence
    files = {file.path.rpartition("/")[2]: file for file in here.share.manifest(VERSION).files}
    assert "model.onnx.data" not in files
    weights = hashlib.sha256((here.repo / "model.onnx").read_bytes()).hexdigest()
    assert files["model.onnx"].sha256 == weights
    assert files["model.onnx"].upstream_sha256 is None


@pytest.mark.slow
def test_a_bundle(here: HubPod) -> None:
    """A bundle made where the Hub is becomes the same release where it is not, verified."""
    bundle = here.root / "bundle"
    done = here.publish("--bundle", bundle, env=NO_SHARE)
    assert done.code == 0, done.sentence
    assert here.publish("--bundle", bundle).code == 9
    here.hub.reset_counters()
    uploaded = here.run("publish", "--from", bundle)
    assert uploaded.code == 0, uploaded.sentence
    assert uploaded.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]
    assert here.hub.counters()["total"]["requests"] == 0
    assert here.run("verify", VERSION, "--on", "share").code == 0


@pytest.mark.slow
def test_a_bundle_is_held_to_a_gpu_if_one_is_asked_for(here: HubPod) -> None:
    """Where there is none it is exit 7, as for a tree, and the share stays as it was."""
    bundle = here.root / "bundle"
    assert here.publish("--bundle", bundle).code == 0
    done = here.run("publish", "--from", bundle, "--device", "cuda")
    assert done.code == 7, done.sentence
    assert list(here.share.root.glob("releases/*")) == []


@pytest.mark.slow
def test_a_disk_that_fills_while_a_model_is_fetched(here: HubPod) -> None:
    """It is the disk's fault and not the Hub's: exit 6, at once."""
    here.hub.fault("forbidden", operation="Content", count=None)
    assert here.publish().code == 3
    here.hub.heal()
    (revision,) = here.root.glob("tmp/.model-agent-kept-*/**/.part/*")
    (revision / "model.onnx").symlink_to("/dev/full")
    done = here.publish()
    assert done.code == 6, done.sentence
    assert "is full" in done.sentence
    assert not done.named("hub.retry")


@pytest.mark.slow
def test_an_empty_share_is_populated_in_the_store(here: HubPod) -> None:
    """`init --populate store` makes the catalog's release for this pod; the share stays empty."""
    done = here.run("init", "--populate", "store")
    assert done.code == 0, done.sentence
    assert here.active() == VERSION
    assert list(here.share.root.iterdir()) == []
    assert not (here.store / ".agent" / "hub").exists()
    here.hub.reset_counters()
    assert here.run("init", "--populate", "store").code == 0
    assert here.hub.counters()["total"]["requests"] == 0


def test_an_empty_share_is_not_populated(here: HubPod) -> None:
    """`--populate never` asks no Hub: exit 4, and what would help is said."""
    done = here.run("init", "--populate", "never")
    assert done.code == 4, done.stdout
    assert here.hub.counters()["total"]["requests"] == 0


def test_only_the_catalogs_own_release_is_made(here: HubPod) -> None:
    """A marker that names another version is not answered with the catalog's models."""
    (here.share.root / "VERSION").write_text("v9\n")
    done = here.run("init", "--populate", "store")
    assert done.code == 4, done.stdout
    assert "v9" in done.sentence
    assert here.hub.counters()["total"]["requests"] == 0


@pytest.mark.slow
def test_a_marker_that_names_it(here: HubPod) -> None:
    """The marker names the catalog's release, which is missing: it is made."""
    (here.share.root / "VERSION").write_text(f"{VERSION}\n")
    done = here.run("init", "--populate", "share")
    assert done.code == 0, done.sentence
    assert here.active() == VERSION
    assert here.run("verify", VERSION, "--on", "share").code == 0


@pytest.mark.slow
def test_sixteen_pods_at_once(here: HubPod, tmp_path: Path) -> None:
    """Sixteen pods start on an empty share: one downloads and uploads, all serve the same."""
    with rest_share(tmp_path / "rest") as share:
        env = share.env() | {"MODEL_AGENT_CATALOG": str(here.catalog)}
        pods = [here.another(f"store-{number}") for number in range(16)]
        running = [pod.start("init", "--populate", "share", env=env) for pod in pods]
        done = [agents.finish(process, timeout=400) for process in running]
        assert {each.code for each in done} == {0}, [each.sentence for each in done]
        assert {pod.active() for pod in pods} == {VERSION}
        made = pods[0].manifest(VERSION)
        assert {pod.manifest(VERSION).digest for pod in pods} == {made.digest}
        puts = [r for r in share.double.requests("PutRange") if "/fastembed/" in r["path"]]
        assert sum(r["bytes_in"] for r in puts) == made.size
        assert len(here.hub.requests("Content")) == 1


@pytest.mark.slow
def test_a_killed_download_goes_on(here: HubPod) -> None:
    """After SIGKILL the rerun fetches what had not arrived: not a whole file, nor its beginning."""
    here.hub.fault("stall", operation="Content", after=100_000, count=None)
    process = here.start("publish", here.catalog)
    kept, late = here.root / "tmp", {"model.onnx", "README.md"}

    def half_way() -> bool:
        parts = [path for path in kept.rglob("model.onnx") if ".part" in path.parts]
        whole = {path.name for path in kept.rglob("snapshots/*/*")}
        begun = bool(parts) and parts[0].stat().st_size > 0
        return begun and {path.name for path in here.repo.iterdir()} - whole == late

    until(half_way, seconds=60)
    process.kill()
    agents.finish(process)
    here.hub.heal()
    here.hub.reset_counters()
    done = here.publish()
    assert done.code == 0, done.sentence
    sent = [r for r in here.hub.requests() if r["operation"] in {"Resolve", "Content"}]
    names = {r["path"].rpartition("/")[2] for r in sent if r["operation"] == "Resolve"}
    assert names == {"model.onnx"}
    (rest,) = [r for r in sent if r["operation"] == "Content"]
    assert rest["status"] == 206
    assert rest["bytes_out"] < (here.repo / "model.onnx").stat().st_size
    assert here.run("verify", VERSION, "--on", "share").code == 0
    assert not [path for path in kept.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_what_was_fetched_is_kept_until_the_release_is_out(here: HubPod) -> None:
    """A publisher that fails in the last moment has the next one fetch nothing again."""
    in_the_way = here.share.root / "releases"
    in_the_way.write_text("")
    assert here.publish().code == 3
    in_the_way.unlink()
    here.hub.reset_counters()
    done = here.publish()
    assert done.code == 0, done.sentence
    assert here.fetched() == 0
    assert not [path for path in (here.root / "tmp").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_hub_behind_a_ca_of_its_own(tmp_path: Path) -> None:
    """SSL_CERT_FILE names the CA of a mirror, as for every user of huggingface_hub."""
    certificate = make_certificate(tmp_path)
    root = tmp_path / "site"
    root.mkdir()
    with hub_pod(root, certificate=certificate) as here:
        refused = here.publish()
        assert refused.code == 3, refused.sentence
        assert "is not trusted here. Name the CA bundle" in refused.sentence
        trusted = here.publish(env={"SSL_CERT_FILE": str(certificate.cert)})
        assert trusted.code == 0, trusted.sentence


@pytest.mark.slow
def test_a_pointer_in_place_of_the_file(here: HubPod) -> None:
    """A repository that was pushed without LFS is refused: what is there is named."""
    whole = (here.repo / "tokenizer.json").read_bytes()
    (here.repo / "tokenizer.json").write_bytes(pointer_of(whole))
    done = here.publish()
    assert done.code == 5, done.stdout
    assert "pointer" in done.sentence
    assert "tokenizer.json" in done.sentence
    assert list(here.share.root.iterdir()) == []


@pytest.mark.slow
def test_a_name_that_no_share_can_hold(here: HubPod) -> None:
    """A file name from outside never becomes a path unchecked: exit 5, before it is fetched."""
    (here.repo / "odd:name.json").write_text("{}")
    text = here.catalog.read_text().replace('"fastembed"', '"huggingface"')
    repo = here.repo.parent.relative_to(here.root / "hub")
    here.catalog.write_text(text.replace("optimize = true", f'repo = "{repo}"'))
    done = here.publish()
    assert done.code == 5, done.stdout
    assert "odd:name.json" in done.sentence
    assert here.fetched() == 0


def test_a_model_that_has_only_a_pickle(here: HubPod) -> None:
    """Nothing safe remains: exit 9, before weights are fetched."""
    name = "acme/pickled"
    repo = here.root / "hub" / name / REVISION
    repo.mkdir(parents=True)
    for file in ("config.json", "tokenizer.json"):
        (repo / file).write_bytes((here.repo / file).read_bytes())
    (repo / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    modules = [{"path": "", "type": "sentence_transformers.models.Transformer"}]
    (repo / "modules.json").write_text(json.dumps(modules))
    here.catalog.write_text(
        f'version = "v1"\n[[model]]\nname = "{name}"\nloader = "sentence-transformers"\n'
    )
    done = here.publish()
    assert done.code == 9, done.stdout
    assert "pytorch_model.bin" in done.sentence
    assert here.fetched() == 1, "modules.json alone, which says what is read"


@pytest.mark.slow
def test_only_what_fastembed_reads_is_fetched(here: HubPod) -> None:
    """A repository has an ONNX file for every taste; the one of FastEmbed's list is taken."""
    for name in ("model_fp16.onnx", "model_quantized.onnx", "vocab.txt", "config - Copy.json"):
        (here.repo / name).write_bytes(b"of no use")
    done = here.publish()
    assert done.code == 0, done.sentence
    names = {file.path.rpartition("/")[2] for file in here.share.manifest(VERSION).files}
    configs = {"config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    assert names == {"main", "model.onnx", "model.onnx.data", *configs}


OTHERS = """\
version = "v1"
[[model]]
name = "prithivida/Splade_PP_en_v1"
loader = "fastembed"
[[model]]
name = "acme/reranker"
loader = "huggingface"
[[model]]
name = "acme/parts"
loader = "huggingface"
allow = ["onnx/*.onnx", "labels.txt"]
"""


@pytest.mark.slow
def test_models_that_the_agent_does_not_run(here: HubPod) -> None:
    """FastEmbed's other lists, ONNX alone, and just what `allow` names: shipped, and said."""
    hub = here.root / "hub"
    for repo in ("Qdrant/Splade_PP_en_v1", "acme/reranker", "acme/parts"):
        shutil.copytree(here.repo, hub / repo / REVISION)
        name_branch(hub, repo, "main", REVISION)
    parts = hub / "acme/parts" / REVISION
    (parts / "onnx").mkdir()
    (parts / "model.onnx").rename(parts / "onnx" / "model.onnx")
    (parts / "labels.txt").write_text("good\nbad\\n")
    here.catalog.write_text(OTHERS)
    done = here.publish()
    assert done.code == 0, done.sentence
    made = here.share.manifest("v1")
    assert [(model.dim, model.canary) for model in made.models] == [
        (30522, None),
        (32, None),
        (1, None),
    ]
    taken = [file.path for file in made.files if "acme--parts/snapshots" in file.path]
    assert [path.partition(f"{REVISION}/")[2] for path in taken] == [
        "labels.txt",
        "onnx/model.onnx",
    ]
    said = {log["model"]: log["reason"] for log in done.named("model.not_run")}
    assert set(said) == {model.name for model in made.models}
