"""What the checks work on: the run's context, and what earlier checks found for later ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.context import Context
    from agent.release.manifest import Manifest
    from agent.release.marker import Marker
    from agent.sync.locate import HandMadeTree

# Kubernetes sets it in every container.
_POD: Final = "KUBERNETES_SERVICE_HOST"
_AZURE_FILES: Final = "azurefiles://"


@dataclass
class Case:
    """One examination.

    Attributes:
        context: The run.
        environ: The doctor's own environment.
        endpoint: The Azure Files endpoint, once it is known.
        complete: The share's releases that have a sound manifest, in order.
        marker: What the marker says, if it says anything.
        release: The marker's release, if the share has its manifest.
        tree: The tree made by hand that stands for it, if it has none.
        total: Bytes of what pods should serve; 0 while that is unknown.
        largest: Its largest file on the share, with its bytes.
    """

    context: Context
    environ: Mapping[str, str]
    endpoint: str = ""
    complete: tuple[str, ...] = ()
    marker: Marker | None = None
    release: Manifest | None = None
    tree: HandMadeTree | None = None
    total: int = 0
    largest: tuple[str, int] | None = None

    @property
    def in_pod(self) -> bool:
        """Whether this is a container of a pod."""
        return _POD in self.environ

    @property
    def is_rest(self) -> bool:
        """Whether the share is asked over REST."""
        return self.context.settings.share_address.startswith(_AZURE_FILES)

    @property
    def is_directory(self) -> bool:
        """Whether the share is a directory."""
        return "://" not in self.context.settings.share_address

    @property
    def elsewhere(self) -> bool:
        """Whether this is a machine from which only the share is looked at: it has no store."""
        store = self.context.settings.store
        default = settings.BY_NAME["store"].default
        return not self.in_pod and store == default and not os.path.lexists(store)
