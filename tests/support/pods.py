"""One place for tests to stand: a share, a store, and the agent that is run on both."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from agent import logs, settings
from agent.context import Context
from agent.release import manifest
from tests.support import agents, models
from tests.support.shares import EXTERNAL, INLINE, TestShare
from tests.support.sidecars import followed
from tests.support.workers import worker

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from agent.release.manifest import Manifest
    from tests.support.agents import Result
    from tests.support.forks import Forks
    from tests.support.sidecars import Sidecar
    from tests.support.workers import Worker

# For commands on the store alone.
NO_SHARE: Final = {"MODEL_AGENT_SHARE": ""}
# Nobody listens there.
NO_WORKER: Final = "http://127.0.0.1:9"
_OURS: Final[dict[str, Any]] = {"program": agents.PROGRAM, "prefix": ()}


class Pod:
    """A share, a store, and the agent that is run on both.

    Args:
        root: A directory for all of it; made if it is missing.
        share: The share; without it, an empty one in `root`.
        env: More of the agent's variables, or others; an empty one counts as not set.

    Attributes:
        forks: Runs the agents of all pods, but where a test asks for what only a process of its own
            has; without it every run is one.
        env: The variables of the agent's processes; a test may change them.
        program: What they run, for a test to change.
        prefix: What they are started with, for a test to change.
        seconds: How long a run may take, for a test to change.
    """

    forks: ClassVar[Forks | None] = None
    seconds = 300.0

    def __init__(
        self,
        root: Path,
        share: TestShare | None = None,
        *,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.root = root
        self.share = share or TestShare(root / "share", bare=True)
        self.store = root / "store"
        self.store.mkdir(parents=True, exist_ok=True)
        self.env = {
            "MODEL_AGENT_SHARE": str(self.share.root),
            "MODEL_AGENT_STORE": str(self.store),
            "MODEL_AGENT_CATALOG": str(self.share.catalog),
            "MODEL_AGENT_DEVICE": "cpu",
            **(env or {}),
        }
        self.program = agents.PROGRAM
        self.prefix: tuple[str, ...] = ()

    def another(self, name: str) -> Self:
        """Return a pod like this one, but for its store, which is empty."""
        made = copy.copy(self)
        made.store = self.root / name
        made.store.mkdir()
        made.env = self.env | {"MODEL_AGENT_STORE": str(made.store)}
        return made

    def run(self, *args: str | Path, env: Mapping[str, str] | None = None, **more: Any) -> Result:
        """Run `model-agent` to its end; `env` replaces variables."""
        env = self.env | dict(env or {})
        if self.forks and self._may_fork(env, more):
            return self.forks.run(*args, env=env, **more)
        return agents.run(*args, env=env, **{"timeout": self.seconds} | self._process | more)

    def start(
        self, *args: str | Path, env: Mapping[str, str] | None = None, **more: Any
    ) -> subprocess.Popen[str]:
        """Start `model-agent`; give it to `agents.finish`."""
        return agents.start(*args, env=self.env | dict(env or {}), **self._process | more)

    def agent(self, *args: str | Path, **more: Any) -> str:
        """Run a command that succeeds, and return what it printed."""
        return self.run(*args, **more).ok().stdout.strip()

    def init(self, *flags: str | Path, **more: Any) -> Result:
        """Run `init` without a warm-up."""
        return self.run("init", "--no-warm", *flags, **more)

    def publish_tree(self, version: str, tree: Path, *flags: str | Path, **more: Any) -> Result:
        """Run `publish --from`."""
        return self.run("publish", "--from", tree, "--version", version, *flags, **more)

    def context(self, **flags: str) -> Context:
        """Return what a command works with that is run in this process."""
        return Context(settings.parse(flags, self.env), logs.get())

    def worker(
        self, *flags: str, model: str = models.MINILM, **more: Any
    ) -> AbstractContextManager[Worker]:
        """Run the embeddings worker while the block runs; see `workers.worker`."""
        # More than one would spin after each request, and take the cores from the other tests.
        one = ("--threads", "1", *flags)
        return worker(self.store, *one, model=model, log=self.root / "worker.log", **more)

    def start_sidecar(
        self, reload_url: str = NO_WORKER, *flags: str | Path, poll: str = "1s", **more: Any
    ) -> subprocess.Popen[str]:
        """Start a sidecar, and do not wait until it listens; `more` is as `start` takes it."""
        told = ("--reload-url", reload_url, "--poll-interval", poll)
        ours = ("--listen", "127.0.0.1:0", "--log-format", "json")
        return self.start("sidecar", *told, *ours, *flags, **{"stdout": None} | more)

    def sidecar(
        self, reload_url: str = NO_WORKER, *flags: str | Path, poll: str = "1s", **more: Any
    ) -> AbstractContextManager[Sidecar]:
        """Run a sidecar while the block runs."""
        return followed(self.start_sidecar(reload_url, *flags, poll=poll, **more))

    def bump(self, sidecar: Sidecar, version: str) -> None:
        """Have the marker name a release, and a sidecar see it now."""
        self.share.mark(version)
        sidecar.look_now()

    def active(self) -> str | None:
        """Return the release that a worker which starts now would serve."""
        link = self.store / "current"
        return link.readlink().name if link.exists() else None

    def held(self) -> set[str]:
        """Return the releases in the store."""
        return {path.name for path in (self.store / "releases").iterdir()}

    def state(self) -> dict[str, Any]:
        """Return what `state.json` says."""
        state: dict[str, Any] = json.loads((self.store / ".agent" / "state.json").read_bytes())
        return state

    def manifest(self, version: str) -> Manifest:
        """Return the manifest of a release in the store."""
        path = self.store / "releases" / version / manifest.FILE_NAME
        return manifest.parse(path.read_bytes())

    def assert_empty(self) -> None:
        """The worker sees nothing: the store has no release, and none is active."""
        assert self.held() == set()
        assert not (self.store / "current").is_symlink()

    def _may_fork(self, env: Mapping[str, str], more: Mapping[str, Any]) -> bool:
        """Whether nothing is asked for that is settled when a process starts."""
        plain = self._process == _OURS and more.keys() <= {"step", "after", "timeout"}
        return plain and not any(name.startswith("PYTHON") for name in env)

    @property
    def _process(self) -> dict[str, Any]:
        return {"program": self.program, "prefix": self.prefix}


def tiny_pod(root: Path) -> Pod:
    """Return a pod with v1 active and v2 on the share: the same vectors from other files."""
    made = Pod(root)
    made.share.add("v1", INLINE)
    made.share.add("v2", EXTERNAL)
    made.share.mark("v1")
    made.init().ok()
    return made
