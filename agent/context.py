"""What one run works with: its settings, share, store, log, and the flag that stops it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError
from agent.machine.threads import Lane
from agent.models import fastembed_list
from agent.release import catalog, manifest, marker
from agent.release.layout import RELEASES
from agent.release.version import is_version
from agent.shares import reader
from agent.shares.connect import connect
from agent.signing import keys as signing
from agent.store.store import Store
from agent.warmup.warmer import Warmer

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from agent.release.catalog import Catalog
    from agent.release.manifest import Manifest
    from agent.release.wanted import Wanted
    from agent.settings import Settings
    from agent.shares.base import Share

MARKER_SECONDS: Final = 10.0
MANIFEST_SECONDS: Final = 60.0


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
        return connect(self.settings, self.log)

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
    def _marker_lane(self) -> Lane:
        return Lane(f"The share {self.share.address}", seconds=MARKER_SECONDS)

    @cached_property
    def _manifest_lane(self) -> Lane:
        return Lane(f"The share {self.share.address}", seconds=MANIFEST_SECONDS)

    def marker_bytes(self, *, known: str | None = None) -> bytes | None:
        """The marker's bytes, read twice unless their digest is `known`; see `reader.read`."""
        return self._marker_lane.call(reader.read, self.share, self.settings.marker, known=known)

    def manifest(self, version: str) -> Manifest:
        """The manifest of a release on the share; see `agent.store.stage.read_manifest`."""
        return self._manifest_lane.call(reader.read_manifest, self.share, version)

    def signature(self, version: str) -> bytes | None:
        """What stands beside the manifest of a release on the share to sign it; None if nothing."""
        path = f"{RELEASES}/{version}/{manifest.SIGNATURE}"
        return self._manifest_lane.call(self.share.read, path, signing.MAX_BYTES)

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a directory of the share."""
        return self._manifest_lane.call(self.share.names, path)

    def releases(self) -> tuple[str, ...]:
        """The releases on the share, complete or not; what no release may be called is none."""
        return tuple(name for name in self.names(RELEASES) if is_version(name))

    def read(self, path: str) -> bytes | None:
        """A small file of the share; see `agent.shares.base.Share.read`."""
        return self._manifest_lane.call(self.share.read, path, marker.MAX_BYTES)

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

    def stoppable(self, stop: threading.Event) -> Context:
        """The same, but stopped by another flag; share and store stay the same."""
        other = replace(self, stop=stop)
        names = ("share", "store", "catalog", "wanted", "_marker_lane", "_manifest_lane")
        other.__dict__.update({n: self.__dict__[n] for n in names if n in self.__dict__})
        return other
