"""A pod on a share with a signed release, and what is asked of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent.release import manifest
from tests.support import agents
from tests.support.shares import TestShare

if TYPE_CHECKING:
    from tests.support.agents import Result
    from tests.support.keys import Key

FILES: Final = {"model.onnx": b"weights" * 20_000, "tokenizer.json": b"{}"}
_TOOL: Final = Path(sys.executable).with_name("model_signing")


class Pod:
    """A share with a signed release v1, which the marker names, and an empty store."""

    def __init__(self, root: Path, key: Key) -> None:
        self.share = TestShare(root / "share")
        self.store = root / "store"
        self.store.mkdir()
        self.share.add_files("v1", FILES)
        self.share.mark("v1")
        key.sign(self.share, "v1")

    @property
    def signature(self) -> Path:
        """That of v1 on the share."""
        return self.share.release("v1") / manifest.SIGNATURE

    def run(self, *args: str, **more: Any) -> Result:
        """Run an agent on both."""
        flags = ("--share", self.share.root, "--catalog", self.share.catalog)
        return agents.run(*args, *flags, "--store", self.store, **more)

    def init(self, *flags: str) -> Result:
        """Run `init` without a warm-up."""
        return self.run("init", "--no-warm", *flags)

    def active(self) -> str:
        """What `current` leads to."""
        return (self.store / "current").readlink().name

    def assert_nothing_came(self) -> None:
        """Nothing is active, and not one byte of a release was staged."""
        assert not (self.store / "current").is_symlink()
        assert not [path for path in self.store.rglob("*") if path.name in FILES]


def assert_refused(done: Result, *words: str, code: int = 5) -> None:
    """It ended with `code`, and one sentence that says why and what to do."""
    assert done.code == code, done.lines
    assert done.sentence.startswith("model-agent: ")
    assert all(word in done.sentence for word in words), done.sentence
    assert "Traceback" not in "\n".join(done.lines)


def publish(share: TestShare, source: Path, version: str, *flags: str) -> Result:
    """Run `publish --from`."""
    roots = ("--share", share.root, "--catalog", share.catalog, "--from", source)
    return agents.run("publish", *roots, "--version", version, *flags)


def checked_by_the_tool(release: Path, key: Key) -> subprocess.CompletedProcess[str]:
    """What `model_signing` itself says of a release, hashing all of it."""
    flags = ("--signature", str(release / manifest.SIGNATURE), "--public_key", str(key.public))
    command = [str(_TOOL), "verify", "key", str(release), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)
