"""A share for one command that meets a fault, and what must hold there afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec import structs

from agent.release import manifest, marker
from agent.shares.lock_holder import RECORD_BYTES, Holder
from tests.support import sentences
from tests.support.azure_clients import key_credential, share_client
from tests.support.pods import Pod
from tests.support.rest import NAME
from tests.support.shares import TestShare, snapshot
from tests.support.stores import a_model, write_release

if TYPE_CHECKING:
    from pathlib import Path

    from azure.storage.fileshare import ShareClient

    from tests.support.agents import Result
    from tests.support.rest import RestShare

NEW: Final = "v3"
SHORT: Final = b"v1\n# previous: v2\n"
RECORD: Final = SHORT.ljust(marker.RECORD_BYTES, b"\n")
# More than one write of 4 MiB, so that what a killed publisher left is asked for by its ranges.
_MODEL_BYTES: Final = 5 * 1024 * 1024
_PIECE: Final = 4 * 1024 * 1024
_FLAT: Final = "sentence_transformers/all-MiniLM-L6-v2"
_CATALOG: Final = """\
version = "catalogued"
[[model]]
name = "sentence-transformers/all-MiniLM-L6-v2"
loader = "sentence-transformers"
"""
_SENTENCE: Final = re.compile(r"model-agent: \S.*[^.]\. [A-Z].*[^.]\.")


class Parts:
    """What shares are filled with, made once: small releases, and a tree to publish as `NEW`.

    Args:
        directory: An empty directory to keep them in.
    """

    def __init__(self, directory: Path) -> None:
        self.catalog = directory / "catalog.toml"
        self.catalog.write_text(_CATALOG)
        self.source = directory / "source"
        self._pod = Pod(directory, TestShare(directory / "share", catalog=self.catalog))
        for version in ("v0", "v1", "v2"):
            content = {"fastembed/model": version.encode() * 1000}
            write_release(self.release(version), content, [a_model()])
        _write_model(self.source / _FLAT)
        self._pod.publish_tree(NEW, self.source).ok()
        (self._pod.share.root / "VERSION").write_bytes(RECORD)
        self._pod.init().ok()

    @property
    def store(self) -> Path:
        """A store that holds v1."""
        return self._pod.store

    def release(self, version: str) -> Path:
        """Where a release is kept."""
        return self._pod.share.release(version)

    def digest(self, version: str) -> str:
        """What a release holds."""
        return self._pod.share.manifest(version).digest


def _write_model(directory: Path) -> None:
    """A sentence-transformers model, which is checked and published but not run."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text('{"hidden_size": 32}\n')
    (directory / "tokenizer.json").write_text('{"model": {}}\n')
    sentences.write_modules(directory)
    entry = {"dtype": "U8", "shape": [_MODEL_BYTES], "data_offsets": [0, _MODEL_BYTES]}
    header = json.dumps({"weight": entry}).encode()
    head = len(header).to_bytes(8, "little") + header
    (directory / "model.safetensors").write_bytes(head + os.urandom(_MODEL_BYTES))


@dataclass(frozen=True)
class Command:
    """A command, and the share that it is run against.

    Attributes:
        name: For the table.
        args: Its command line.
        releases: What the share holds.
        marker: What its marker says.
        left: Whether a publisher of `NEW` was killed there.
        locked: Whether that publisher left its lock, too.
        held: Whether the store holds v1.
        adds: The release that it makes.
        removes: The release that it deletes.
        promotes: The version that the marker names afterwards.
    """

    name: str
    args: tuple[str, ...]
    releases: tuple[str, ...] = ("v1", "v2")
    marker: bytes = RECORD
    left: bool = False
    locked: bool = False
    held: bool = False
    adds: str = ""
    removes: str = ""
    promotes: str = ""

    @property
    def changes(self) -> bool:
        """Whether it changes what there is, rather than only looks."""
        new = self.adds and self.adds not in self.releases
        return bool(new or self.removes or self.promotes or self.args[0] == "init")


class Stage:
    """A prefix of a share, filled for one command.

    Args:
        share: The share.
        parts: What to fill the prefix with.
        command: What will be run.
        directory: An empty directory; its name is the prefix.
    """

    def __init__(
        self,
        share: RestShare,
        parts: Parts,
        command: Command,
        directory: Path,
    ) -> None:
        self.command = command
        self.prefix = directory.name
        self.root = share.disk.root / self.prefix
        self.share = share
        self._parts = parts
        with share_client(share.double, NAME, key_credential(share.double)) as client:
            self._fill(client)
        disk = TestShare(self.root, catalog=parts.catalog)
        address = {"MODEL_AGENT_SHARE": f"{share.address}/{self.prefix}"}
        own = {"MODEL_AGENT_CATALOG": str(parts.catalog)}
        self._pod = Pod(directory, disk, env=share.env() | address | own)
        if command.held:
            shutil.copytree(parts.store, self._pod.store, symlinks=True, dirs_exist_ok=True)
        self._before = snapshot(self.root / "releases")

    def run(self, *, timeout: float) -> Result:
        """Run the command to its end."""
        places = {"SOURCE": self._parts.source}
        return self._pod.run(*(places.get(a, a) for a in self.command.args), timeout=timeout)

    @property
    def is_done(self) -> bool:
        """Whether readers see what the command is for; else they see what was there before."""
        command = self.command
        now = {path.name for path in (self.root / "releases").iterdir()}
        if command.promotes:
            return self._marked() == command.promotes
        if command.name.startswith("init"):
            return self._pod.active() is not None
        return (command.adds in now) if command.adds else (command.removes not in now)

    def assert_good(self) -> None:
        """Readers see the old state or the new one, and every byte of either is right."""
        now, changed = snapshot(self.root / "releases"), {self.command.adds, self.command.removes}
        for path in now.keys() ^ self._before.keys():
            assert path.split("/")[0] in changed, path
        assert {p: now[p] for p in now.keys() & self._before.keys()}.items() <= self._before.items()
        for version in {path.split("/")[0] for path in now}:
            self._assert_whole(version)
        assert self._marked() in {"v1", self.command.promotes}

    def assert_tidy(self, *, empty: bool = False) -> None:
        """No staging directory and no lock is left, or, with `empty`, nothing in them."""
        left = [p for p in self.root.rglob("*") if p.relative_to(self.root).parts[0] != "releases"]
        names = {str(p.relative_to(self.root)) for p in left if p.is_file() or not empty}
        assert names == {"VERSION"}

    def assert_spoken(self, done: Result) -> None:
        """What failed ends with a sentence and its remedy; nothing that is said is a secret."""
        said = "\n".join([done.stdout, *done.lines])
        assert "Traceback" not in said, said
        for secret in (self.share.double.key, "sig=", "SharedKey"):
            assert secret not in said, said
        if done.code:
            assert _SENTENCE.fullmatch(done.sentence), said

    def _marked(self) -> str:
        data = (self.root / "VERSION").read_bytes()
        if data == self.command.marker:
            return "v1"
        assert len(data) == marker.RECORD_BYTES
        found = marker.parse(data)
        # The way back is kept, too.
        assert found.previous == ("v1",), found.previous
        return found.version

    def _assert_whole(self, version: str) -> None:
        home = self.root / "releases" / version
        release = manifest.parse((home / manifest.FILE_NAME).read_bytes())
        assert release.digest == self._parts.digest(version)
        held = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
        assert held == {manifest.FILE_NAME, *(file.path for file in release.files)}
        for file in release.files:
            data = (home / file.path).read_bytes()
            assert hashlib.sha256(data).hexdigest() == file.sha256, file.path

    def _fill(self, client: ShareClient) -> None:
        client.create_directory(self.prefix)
        client.create_directory(f"{self.prefix}/releases")
        for version in self.command.releases:
            self._put_tree(client, self._parts.release(version), f"releases/{version}")
        self._put(client, "VERSION", self.command.marker)
        if self.command.left:
            client.create_directory(f"{self.prefix}/.staging")
            self._put_tree(client, self._parts.release(NEW), f".staging/{NEW}-0123abcd", part=True)
        if self.command.locked:
            self._lock(client)

    def _lock(self, client: ShareClient) -> None:
        """Leave the lock of a process of this machine that has ended."""
        dead = structs.replace(Holder.me(), process="1:0")
        client.create_directory(f"{self.prefix}/.locks")
        file = client.get_file_client(f"{self.prefix}/.locks/publish-{NEW}")
        file.create_file(RECORD_BYTES)
        lease = file.acquire_lease(lease_id=dead.id)
        file.upload_range(dead.record(), 0, RECORD_BYTES, lease=lease)

    def _put_tree(
        self, client: ShareClient, source: Path, target: str, *, part: bool = False
    ) -> None:
        client.create_directory(f"{self.prefix}/{target}")
        for path in sorted(source.iterdir()):
            if path.is_dir():
                self._put_tree(client, path, f"{target}/{path.name}", part=part)
            else:
                self._put(client, f"{target}/{path.name}", path.read_bytes(), part=part)

    def _put(self, client: ShareClient, path: str, data: bytes, *, part: bool = False) -> None:
        """Write a file, or its first piece."""
        file = client.get_file_client(f"{self.prefix}/{path}")
        file.create_file(len(data))
        for offset in range(0, _PIECE if part else len(data), _PIECE):
            piece = data[offset : offset + _PIECE]
            file.upload_range(piece, offset, len(piece))
