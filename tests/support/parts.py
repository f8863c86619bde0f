"""The parts of one agent, each made of values: on a share and a store of a test, without a process.

Releases are a few kilobytes of files that no library would load.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, TypeVar

from agent.release import layout
from agent.sync.acquire import Acquirer
from agent.sync.listening import Events
from agent.sync.record import Record
from agent.sync.steps import Steps
from tests.support.pods import Pod
from tests.support.shares import SNAPSHOT, TestShare
from tests.support.stores import a_model, write_release

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.manifest import Manifest
    from agent.sync.listening import Event

E = TypeVar("E", bound="Event")

WEIGHTS: Final = f"{SNAPSHOT}/model.onnx"
TOKENIZER: Final = b'{"model": {}}'
CONFIG: Final = b'{"hidden_size": 8, "vocab_size": 1}'
_HEADER: Final = b'{"word_embeddings.weight": {"dtype":"F32","shape":[1,8],"data_offsets":[0,32]}}'

# What nothing here can run, so that only its files are looked at, which takes no library.
_CATALOG: Final = """\
version = "catalogued"
[[model]]
name = "Org/name"
loader = "huggingface"
"""


class Heard:
    """A listener that keeps what it is told of, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def hear(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of exactly this kind."""
        return [event for event in self.events if type(event) is kind]

    def only(self, kind: type[E]) -> E:
        """Return the one event of this kind."""
        (event,) = self.of(kind)
        return event

    def kinds(self) -> list[type[Event]]:
        """Return the kinds of all events."""
        return [type(event) for event in self.events]


class Parts:
    """The parts of an agent on a directory share and a store, made if they are missing.

    Args:
        root: The directory of both.
        flags: Further settings, as on the command line.
    """

    def __init__(self, root: Path, **flags: str) -> None:
        pod = Pod(root, TestShare(root / "share"))
        pod.share.catalog.write_text(_CATALOG)
        self.share, self.context = pod.share, pod.context(**{"populate": "never"} | flags)
        self.store, self.reader = self.context.store, self.context.reader
        self.store.prepare()
        self.record = Record(self.store.agent, self.context.log)
        self.heard = Heard()
        self.events = Events(self.heard)

    def steps(self, stop: threading.Event | None = None, *, keep: int = 2) -> Steps:
        """Return the steps of the agent, which `stop` ends early."""
        stop = stop or threading.Event()
        return Steps(
            store=self.store,
            record=self.record,
            acquirer=Acquirer.of(self.context, stop),
            keep=keep,
            events=self.events,
            log=self.context.log,
            stop=stop,
        )

    def publish(self, version: str, **files: bytes) -> Manifest:
        """Put a release on the share: these files, else weights of two chunks."""
        named = {name.replace("__", "."): data for name, data in files.items()}
        return self.share.add_files(version, named or {"model.onnx": version.encode() * 50_000})

    def hold(self, *versions: str, active: str | None = None) -> None:
        """Have releases on the share and in the store, as a pod has them that served them."""
        for version in versions:
            self.publish(version)
            self.steps().stage(version, desired=version)
        if active:
            self.steps(keep=99).activate(active)
        self.heard.events.clear()

    def unrun(self, version: str, config: bytes = CONFIG, *, shared: bool = False) -> Manifest:
        """Have a release whose model nothing here runs, so that only its files are checked.

        It is in the store, or on the share.
        """
        home = self.share.release(version) if shared else self.store.path(version)
        model = a_model(loader="huggingface", repo="Org/name", dim=8)
        files = {f"{layout.snapshot_directory(model.ref)}/config.json": config}
        return write_release(home, files, [model])

    def weights(self, version: str) -> Path:
        """Return the path of a release's weights in the store."""
        return self.store.path(version) / WEIGHTS

    def state(self) -> dict[str, object]:
        """Return what a new agent would read of `state.json`, as far as it is not empty."""
        found = Record(self.store.agent, self.context.log).state
        fields = {name: getattr(found, name) for name in found.__struct_fields__}
        return {name: value for name, value in fields.items() if value}


def by_hand(share: TestShare, *, suffix: str = "", config: bytes = CONFIG) -> Path:
    """Lay the catalog's model out on a share as people do by hand; return its directory."""
    directory = share.root / f"huggingface{suffix}" / "hub" / layout.repo_folder("Org/name")
    directory.mkdir(parents=True)
    weights = len(_HEADER).to_bytes(8, "little") + _HEADER + bytes(32)
    files = {
        "config.json": config,
        "model.safetensors": weights,
        "tokenizer.json": b'{"model": {}}',
    }
    for name, data in files.items():
        (directory / name).write_bytes(data)
    return directory
