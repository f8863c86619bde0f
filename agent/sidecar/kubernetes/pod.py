"""The pod that the agent runs in, as Kubernetes' downward API tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPONENT: Final = "Take k8s/components/events: it gives the sidecar what it needs."
_VARIABLES: Final = ("POD_NAME", "POD_NAMESPACE", "POD_UID")


@dataclass(frozen=True)
class Pod:
    """Which one it is."""

    name: str
    namespace: str
    uid: str


def own(environ: Mapping[str, str]) -> Pod:
    """The pod of this process.

    Raises:
        ConfigError: The environment does not say.
    """
    missing = [name for name in _VARIABLES if not environ.get(name)]
    if missing:
        what = f"--kubernetes-events needs {', '.join(missing)}, by the downward API."
        raise ConfigError(what, remedy=COMPONENT)
    return Pod(*(environ[name] for name in _VARIABLES))
