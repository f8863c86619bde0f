"""Calls the API server with lightkube; this module is imported only if that is installed.

lightkube is the lightest Python client; see docs/adr/0011-kubernetes-by-lightkube.md.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lightkube import ApiError, Client, KubeConfig
from lightkube.config.kubeconfig import SERVICE_ACCOUNT
from lightkube.core.exceptions import ConfigError as NotConfiguredError
from lightkube.models.core_v1 import ObjectReference
from lightkube.models.events_v1 import EventSeries
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import PodStatus
from lightkube.resources.events_v1 import Event as EventResource
from lightkube.types import PatchType

from agent.errors import ConfigError
from agent.sidecar.kubernetes.pod import COMPONENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from agent.sidecar.kubernetes.pod import Pod
    from agent.sidecar.kubernetes.series import Event

ANNOTATION: Final = "model-agent/active-release"
_CONTROLLER: Final = "model-agent"
_ACTION: Final = "Sync"
# The longest texts that the API server accepts, in bytes.
_NOTE: Final = 1024
_INSTANCE: Final = 128
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_TOO_MANY: Final = 429
_SERVER: Final = 500


class RefusedError(Exception):
    """The API server refused the request; to repeat it does not help."""


class AwayError(Exception):
    """The API server did not answer, or cannot now; to repeat the request may help."""


class Api:
    """The calls to the API server.

    Args:
        client: Makes the requests.
        pod: The pod that the Events and the annotation are about.
    """

    def __init__(self, client: Client, pod: Pod) -> None:
        self._client = client
        self._pod = pod

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def write(self, event: Event, at: datetime) -> None:
        """Create an Event, or update the count of an existing one.

        Raises:
            RefusedError: It is not allowed, or the API server finds it malformed.
            AwayError: It may work later.
        """
        with _errors():
            if event.count == 1 or not self._update_count(event, at):
                self._create(event, at)

    def annotate(self, active: str | None) -> None:
        """Write the active release into the pod's annotation; None removes it.

        Raises:
            RefusedError: It is not allowed.
            AwayError: It may work later.
        """
        patch = {"metadata": {"annotations": {ANNOTATION: active}}}
        with _errors():
            # The subresource `status` can change a pod's metadata too, and the right to patch it
            # is harmless: with the right to patch pods one can change their images.
            self._patch(PodStatus, self._pod.name, patch)

    def _create(self, event: Event, at: datetime) -> None:
        notice, pod = event.notice, self._pod
        made = EventResource(
            metadata=ObjectMeta(name=event.name, namespace=pod.namespace),
            eventTime=_micro(at),
            reportingController=_CONTROLLER,
            reportingInstance=_cut(pod.name, _INSTANCE),
            regarding=ObjectReference(
                apiVersion="v1", kind="Pod", name=pod.name, namespace=pod.namespace, uid=pod.uid
            ),
            action=_ACTION,
            reason=notice.reason,
            note=_cut(notice.note, _NOTE),
            type="Warning" if notice.warning else "Normal",
        )
        try:
            self._client.create(made)
        except ApiError as error:
            # The answer to an earlier try was lost: the Event exists already.
            if error.status.code != _CONFLICT:
                raise

    def _update_count(self, event: Event, at: datetime) -> bool:
        """Update the Event's count; return false if it no longer exists: Events last an hour."""
        series = EventSeries(count=event.count, lastObservedTime=_micro(at))
        try:
            self._patch(EventResource, event.name, {"series": series.to_dict()})
        except ApiError as error:
            if error.status.code != _NOT_FOUND:
                raise
            return False
        return True

    def _patch(self, kind: type[Any], name: str, patch: dict[str, Any]) -> None:
        namespace = self._pod.namespace
        self._client.patch(kind, name, patch, namespace=namespace, patch_type=PatchType.MERGE)


def connect(pod: Pod, account: str = SERVICE_ACCOUNT) -> Api:
    """Return the API for the pod's ServiceAccount, else for KUBECONFIG; no request is made yet.

    Raises:
        ConfigError: There is neither.
    """
    try:
        return Api(Client(KubeConfig.from_env(service_account=Path(account)).get()), pod)
    except (NotConfiguredError, OSError, KeyError) as error:
        what = f"--kubernetes-events cannot find the API server: {error}."
        raise ConfigError(what, remedy=COMPONENT) from None


@contextmanager
def _errors() -> Iterator[None]:
    """Map errors to `RefusedError`, if to try again is no use, and to `AwayError` otherwise."""
    try:
        yield
    except ApiError as error:
        code = error.status.code or _SERVER
        kind = AwayError if code == _TOO_MANY or code >= _SERVER else RefusedError
        raise kind(f"{code}: {error}") from None
    except Exception as error:  # noqa: BLE001 - whatever the client raises, the call failed
        raise AwayError(str(error) or type(error).__name__) from None


def _micro(at: datetime) -> datetime:
    """Return a time with microseconds that are not 0.

    The API server wants all six digits, and Python leaves them out if they are zeros.
    """
    return at.replace(microsecond=at.microsecond or 1)


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")
