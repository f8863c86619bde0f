"""One examination: the things that the checks look at, and what earlier checks found."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent import settings
from agent.publish.source import TreeSource
from agent.release.manifest import Manifest
from agent.shares import connect
from agent.sync.locate import HandMadeTree, Locator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.context import Context
    from agent.release.adoption.plan import Plan
    from agent.release.marker import Marker
    from agent.settings import Settings
    from agent.shares.base import Share
    from agent.shares.reader import ShareReader
    from agent.store.store import Store
    from agent.sync.locate import Found

# Kubernetes sets it in every container.
_POD: Final = "KUBERNETES_SERVICE_HOST"


@dataclass
class Case:
    """One examination.

    The share, the store and the like are made when a check first asks for them, so that a setting
    that is wrong fails that check, and no other.

    Attributes:
        environ: The doctor's own environment.
        endpoint: The Azure Files endpoint, once it is known.
        complete: The share's releases that have a valid manifest, in order.
        marker: The marker, if it names a release.
        served: How the share has the release that new pods take; None while that is unknown.
        total: Bytes of that release; 0 while that is unknown.
        largest: Its largest file on the share, with its bytes.
        plan: What pods take of a hand-made tree, if they take one and it is complete.
        sizes: The bytes of its files, by their paths on the share.
    """

    _context: Context
    environ: Mapping[str, str]
    endpoint: str = ""
    complete: tuple[str, ...] = ()
    marker: Marker | None = None
    served: Found | None = None
    total: int = 0
    largest: tuple[str, int] | None = None
    plan: Plan | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings of the agent."""
        return self._context.settings

    @property
    def share(self) -> Share:
        """The share."""
        return self._context.share

    @property
    def reader(self) -> ShareReader:
        """The share, read within deadlines."""
        return self._context.reader

    @property
    def locator(self) -> Locator:
        """The finder of releases on the share, which `init` goes by as well."""
        return Locator.of(self._context)

    @property
    def store(self) -> Store:
        """The store."""
        return self._context.store

    def tree_source(self) -> TreeSource:
        """Return the hand-made tree that pods should serve; else the one without a suffix."""
        suffix = self.tree.suffix if self.tree else ""
        return TreeSource.of(self.share, self._context.contents, suffix)

    @property
    def release(self) -> Manifest | None:
        """The release that new pods take, if the share has its manifest."""
        return self.served if isinstance(self.served, Manifest) else None

    @property
    def tree(self) -> HandMadeTree | None:
        """The hand-made tree that new pods take, if they take one."""
        return self.served if isinstance(self.served, HandMadeTree) else None

    @property
    def in_pod(self) -> bool:
        """True in a container of a pod."""
        return _POD in self.environ

    @property
    def is_rest(self) -> bool:
        """True if the share is asked over REST."""
        return connect.is_azure_files(self.settings.share_address)

    @property
    def is_directory(self) -> bool:
        """True if the share is a directory."""
        return connect.is_directory(self.settings.share_address)

    @property
    def elsewhere(self) -> bool:
        """True if only the share is looked at: this is no pod, and there is no store here."""
        store = self.settings.store
        default = settings.BY_NAME["store"].default
        return not self.in_pod and store == default and not os.path.lexists(store)
