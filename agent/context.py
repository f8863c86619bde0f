"""What one run works with: its settings, share, store, log, and the flag that stops it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.models import fastembed_list
from agent.release import catalog
from agent.release.space import Guard
from agent.shares.connect import connect
from agent.shares.reader import ShareReader
from agent.signing.policy import Policy
from agent.store.store import Store
from agent.warmup.warmer import Warmer

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from agent.release.catalog import Catalog
    from agent.release.wanted import Wanted
    from agent.settings import Settings
    from agent.shares.base import Share


@dataclass(frozen=True)
class Context:
    """One run.

    Attributes:
        settings: What it goes by.
        log: Where it says what it does.
        stop: Ends whatever it does.
    """

    settings: Settings
    log: FilteringBoundLogger
    stop: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def share(self) -> Share:
        """Where releases come from."""
        s = self.settings
        return connect(
            s.share_address, self.log, secret_dir=s.azure_secret_dir, endpoint=s.azure_endpoint
        )

    @cached_property
    def store(self) -> Store:
        """Where they go."""
        s = self.settings
        return Store(s.store, limit=s.store_limit, lock_timeout=s.lock_timeout)

    @cached_property
    def catalog(self) -> Catalog:
        """What a release must contain."""
        path = self.settings.catalog
        if path is None:
            text = (resources.files("agent.release") / "catalog.toml").read_text()
            return catalog.parse(text, where="built in")
        try:
            return catalog.parse(path.read_text(), where=str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The catalog {path} cannot be read: {error}.", remedy="Check --catalog."
            ) from None

    @cached_property
    def wanted(self) -> tuple[Wanted, ...]:
        """The catalog's models, with what their loaders need."""
        return fastembed_list.wanted(self.catalog)

    @property
    def strict(self) -> bool:
        """Whether a tree must hold all of the catalog: only if the operator wrote the catalog."""
        return self.settings.catalog is not None

    @property
    def warmer(self) -> Warmer:
        """How models are warmed."""
        s = self.settings
        return Warmer(s.device, s.warm_shapes, s.warm_timeout, self.stop, self.log)

    @cached_property
    def reader(self) -> ShareReader:
        """What the share says, within deadlines."""
        return ShareReader(self.share, self.settings.marker, self.log)

    @property
    def policy(self) -> Policy:
        """Which releases their signatures let in."""
        s = self.settings
        return Policy(s.verify_key, required=s.require_signature, log=self.log)

    @property
    def guard(self) -> Guard:
        """The guard of the embedding space."""
        return Guard(self.settings.space_cosine, lifted=self.settings.allow_new_space)

    def with_catalog(self, path: Path | None) -> Context:
        """The same, with another catalog if there is one."""
        if path is None:
            return self
        return Context(replace(self.settings, catalog=path), self.log, self.stop)

    def beside_worker(self) -> Context:
        """The same, with models checked on the CPU, out of the way of a worker that serves.

        A native sidecar that asked for a GPU would have the pod pay for two: see
        docs/kubernetes.md.
        """
        chosen = replace(self.settings, device="cpu", warm_shapes=())
        return replace(self, settings=chosen)
