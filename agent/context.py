"""One run of the agent: its settings, log and stop flag, and all that is made of them.

This is where things are wired. What does the work takes the things themselves, not a `Context`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from agent.models.contents import Contents
from agent.release.space import Guard
from agent.shares.connect import connect
from agent.shares.reader import ShareReader
from agent.signing.policy import Policy
from agent.store.store import Store
from agent.warmup.warmer import Warmer

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from agent.hub.hub import Hub
    from agent.settings import Settings
    from agent.shares.base import Share


@dataclass(frozen=True)
class Context:
    """One run.

    Attributes:
        settings: The settings of the run.
        log: The log of the run.
        stop: Ends the run early.
    """

    settings: Settings
    log: FilteringBoundLogger
    stop: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def share(self) -> Share:
        """The share that releases come from (`--share`), for writing.

        Raises:
            ConfigError: No share is set, or its address is of no known kind.
        """
        s = self.settings
        return connect(
            s.share_address, self.log, secret_dir=s.azure_secret_dir, endpoint=s.azure_endpoint
        )

    @cached_property
    def reader(self) -> ShareReader:
        """The same share, read within deadlines.

        Raises:
            ConfigError: As for `share`.
        """
        return ShareReader(self.share, self.settings.marker, self.log)

    @cached_property
    def store(self) -> Store:
        """The local store that releases go to."""
        s = self.settings
        return Store(s.store, limit=s.store_limit, lock_timeout=s.lock_timeout)

    @cached_property
    def contents(self) -> Contents:
        """The contents that a release must have (`--catalog`), read when first asked for."""
        return Contents(self.settings.catalog)

    @property
    def hub(self) -> Hub:
        """The Hub, which models are fetched from."""
        # Only a run that makes a release asks it.
        from agent.hub.hub import Hub  # noqa: PLC0415

        s = self.settings
        return Hub(self.log, self.stop, s.hub_timeout, s.allow_pickle)

    @property
    def warmer(self) -> Warmer:
        """Loads, measures and checks models on the device of the run."""
        s = self.settings
        return Warmer(s.device, s.warm_shapes, s.warm_timeout, self.stop, self.log)

    @property
    def policy(self) -> Policy:
        """The rule about signatures that releases are held to."""
        s = self.settings
        return Policy(s.verify_key, required=s.require_signature, log=self.log)

    @property
    def guard(self) -> Guard:
        """Refuses a release of another embedding space."""
        return Guard(self.settings.space_cosine, lifted=self.settings.allow_new_space)

    def beside_worker(self) -> Context:
        """Return the same run with models checked on the CPU, out of the way of a worker.

        A native sidecar that asked for a GPU would have the pod pay for two: see
        docs/kubernetes.md.
        """
        chosen = replace(self.settings, device="cpu", warm_shapes=())
        return replace(self, settings=chosen)
