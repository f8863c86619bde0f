"""The place where an operator works: a pod, and what makes releases there in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from agent.publish.publisher import Publisher
from agent.publish.workshop import Workshop
from agent.sync.record import Record
from tests.support.models import as_hub_cache
from tests.support.pods import Pod
from tests.support.shares import REVISION, TestShare
from tests.support.stores import activate, bare_release

if TYPE_CHECKING:
    from pathlib import Path

    from agent.context import Context
    from agent.release.manifest import Manifest

# A model that no loader of this machine runs: its files are looked at, which takes no time.
PLAIN: Final = "acme/plain"
CATALOG: Final = f"""\
version = "catalogued"
[[model]]
name = "{PLAIN}"
loader = "huggingface"
"""


def plain_files(weights: bytes = b"weights.") -> dict[str, bytes]:
    """The files of the plain model, by their names."""
    shape = [len(weights) // 4, 4]
    tensor = {"dtype": "U8", "shape": shape, "data_offsets": [0, shape[0] * shape[1]]}
    header = json.dumps({"weight": tensor}).encode()
    return {
        "config.json": b'{"hidden_size": 4, "max_position_embeddings": 64}',
        "model.safetensors": len(header).to_bytes(8, "little") + header + weights,
        "tokenizer.json": b'{"model": {}}',
    }


def plain_tree(directory: Path, weights: bytes = b"weights.") -> Path:
    """Lay the plain model out as `publish --from` takes it."""
    source = directory / "files"
    source.mkdir(parents=True)
    for name, data in plain_files(weights).items():
        (source / name).write_bytes(data)
    as_hub_cache(directory / "huggingface/hub", PLAIN, REVISION, source)
    for path in source.iterdir():
        path.unlink()
    source.rmdir()
    return directory


class Desk(Pod):
    """A pod whose share has no release, with a catalog of the plain model."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, TestShare(root / "share"))
        self.share.catalog.write_text(CATALOG)

    def run_with(self, **flags: str | Path) -> Context:
        """Return a run of the agent with these settings; a switch is `"true"`."""
        return self.context(**{name: str(value) for name, value in flags.items()})

    def publisher(self, **flags: str | Path) -> Publisher:
        """Return what brings releases to the share."""
        return Publisher.of(self.run_with(**flags))

    def workshop(self, **flags: str | Path) -> Workshop:
        """Return what releases are made with."""
        return Workshop.of(self.run_with(**flags))

    @property
    def marker(self) -> bytes:
        """The marker's bytes."""
        return (self.share.root / "VERSION").read_bytes()

    def add(self, version: str, *vector: float) -> Manifest:
        """Add a release of one small file to the share; its canary, if it has one, is `vector`."""
        made = self.share.add_files(version, {"model.onnx": version.encode() * 1000})
        if not vector:
            return made
        canary = {"texts": ["text"], "vectors": [list(vector)], "min_cosine": 0.999}
        new = {"canary": canary, "dim": len(vector)}
        return self.share.sign(version, lambda raw: raw["models"][0].update(new))


def served(desk: Desk, *versions: str) -> Record:
    """Have releases active in the store, one after the other; return the record."""
    context = desk.context()
    context.store.prepare()
    record = Record(context.store.agent, context.log)
    for version in versions:
        bare_release(desk.store, version)
        activate(desk.store, version)
        record.activated(version)
    return record
