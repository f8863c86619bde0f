"""The pod that the agent runs in, as Kubernetes' downward API gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPONENT: Final = "Add k8s/components/events, which gives the sidecar what it needs."
_VARIABLES: Final = ("POD_NAME", "POD_NAMESPACE", "POD_UID")


@dataclass(frozen=True)
class Pod:
    """A pod's name, namespace and uid."""

    name: str
    namespace: str
    uid: str


def own(environ: Mapping[str, str]) -> Pod:
    """Return the pod of this process.

    Raises:
        ConfigError: Variables of the downward API are missing in `environ`.
    """
    missing = [name for name in _VARIABLES if not environ.get(name)]
    if missing:
        what = f"--kubernetes-events needs {', '.join(missing)}, set by the downward API."
        raise ConfigError(what, remedy=COMPONENT)
    return Pod(*(environ[name] for name in _VARIABLES))
