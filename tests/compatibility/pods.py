"""A share and a store, and what an agent of either version does with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tests.compatibility import old, sources
from tests.support import agents, models, workers
from tests.support.cluster import running_sidecar

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.agents import Result
    from tests.support.cluster import Sidecar
    from tests.support.crashing import Crasher
    from tests.support.workers import Worker

_ALONE: Final = {agents.PROGRAM: {}, old.AGENT: old.ALONE}


class Pod:
    """The directories `share` and `store` in `root`, which are made if they are missing.

    Args:
        root: Where they are.
        program: The agent that is run on them.
    """

    def __init__(self, root: Path, program: Path = agents.PROGRAM) -> None:
        self.root = root
        self.share = root / "share"
        self.store = root / "store"
        self.program = program
        self.catalog = root / "catalog.toml"
        for directory in (self.share, self.store):
            directory.mkdir(parents=True, exist_ok=True)
        self.catalog.write_text(sources.CATALOG)

    @property
    def environment(self) -> dict[str, str]:
        """What its agents are told, beside what concerns the program."""
        return _ALONE[self.program] | {
            "MODEL_AGENT_SHARE": str(self.share),
            "MODEL_AGENT_STORE": str(self.store),
            "MODEL_AGENT_CATALOG": str(self.catalog),
            "MODEL_AGENT_DEVICE": "cpu",
        }

    def as_seen_by(self, program: Path) -> Pod:
        """The same directories, for another agent."""
        return Pod(self.root, program)

    def run(self, *args: str | Path, code: int = 0) -> Result:
        """Run the agent to its end, which must be with this exit code."""
        done = agents.run(*args, program=self.program, env=self.environment)
        assert done.code == code, done.lines
        return done

    def sidecar(self, url: str, *flags: str) -> AbstractContextManager[Sidecar]:
        """Run a sidecar while the block runs; it tells the worker at `url`."""
        env = agents.environment(self.environment)
        return running_sidecar(env, url, *flags, poll="500ms", program=self.program)

    def worker(self, *, first: bool = False) -> AbstractContextManager[Worker]:
        """Run the embeddings worker, or the `first`: 0.1.0's, on the store while the block runs."""
        flags: dict[str, Any] = {"model": models.MINILM, "log": self.root / "worker.log"}
        if first:
            flags |= {"python": old.PYTHON, "app": old.WORKER, "PYTHONPATH": ""}
        return workers.worker(self.store, "--threads", "1", **flags)

    @property
    def active(self) -> str | None:
        """What a worker that starts now would serve."""
        link = self.store / "current"
        return link.readlink().name if link.exists() else None

    @property
    def state(self) -> dict[str, Any]:
        """The agent's memory."""
        state: dict[str, Any] = json.loads((self.store / ".agent" / "state.json").read_bytes())
        return state

    def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        said: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return said


class ForkedPod(Pod):
    """A pod whose commands are forks of a process that has imported today's agent: that is quick.

    Args:
        root: Where it is.
        crasher: What forks.
    """

    def __init__(self, root: Path, crasher: Crasher) -> None:
        super().__init__(root)
        self._crasher = crasher

    def run(self, *args: str | Path, code: int = 0) -> Result:
        """Run the agent to its end; its standard output stands among the lines."""
        places: list[str | Path] = ["--share", self.share, "--catalog", self.catalog]
        if args[0] not in {"promote", "publish", "rollback"}:
            places += ["--store", self.store]
        done = self._crasher.finish(*args, *places)
        assert done.code == code, done.lines
        return done

    def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        lines = self.run("status", "--json").lines
        said: dict[str, Any] = json.loads("\n".join(lines[lines.index("{") :]))
        return said
