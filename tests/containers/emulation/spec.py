"""The fields of a pod that are understood here; any other is refused.

Named, meant and defaulted as Kubernetes' own API (core/v1) has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct, field

if TYPE_CHECKING:
    from tests.k8s.rendering import Manifest


RestartPolicy = Literal["Always", "OnFailure", "Never"]


class _Strict(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Takes no field but its own."""


class HttpGet(_Strict, frozen=True):
    """A probe's request."""

    path: str
    port: int | str


class TcpSocket(_Strict, frozen=True):
    """A port that takes connections."""

    port: int | str


class Exec(_Strict, frozen=True):
    """A command in a container."""

    command: list[str]


class Probe(_Strict, frozen=True):
    """What a container is asked, and how often."""

    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    initial_delay_seconds: float = 0
    period_seconds: float = 10
    timeout_seconds: float = 1
    failure_threshold: int = 3


class Hook(_Strict, frozen=True):
    """What is done before SIGTERM."""

    exec: Exec


class Lifecycle(_Strict, frozen=True):
    """Hooks of a container."""

    pre_stop: Hook


class Port(_Strict, frozen=True):
    """A port's name."""

    container_port: int
    name: str = ""
    protocol: Literal["TCP"] = "TCP"


class FieldRef(_Strict, frozen=True):
    """A field of the pod."""

    field_path: Literal["metadata.name", "metadata.namespace", "metadata.uid"]


class ValueFrom(_Strict, frozen=True):
    """A value that is known once there is a pod."""

    field_ref: FieldRef


class Variable(_Strict, frozen=True):
    """A variable with its value in the manifest, or of the pod."""

    name: str
    value: str = ""
    value_from: ValueFrom | None = None


class Named(_Strict, frozen=True):
    """A reference."""

    name: str


class VariablesFrom(_Strict, frozen=True):
    """All keys of a ConfigMap."""

    config_map_ref: Named


class Mount(_Strict, frozen=True):
    """Where a volume is in a container."""

    name: str
    mount_path: str
    read_only: bool = False


class Resources(_Strict, frozen=True):
    """Quantities by resource."""

    requests: dict[str, str] = field(default_factory=dict)
    limits: dict[str, str] = field(default_factory=dict)


class SeccompProfile(_Strict, frozen=True):
    """An engine's default profile."""

    type: Literal["RuntimeDefault"]


class Capabilities(_Strict, frozen=True):
    """What root's powers a container keeps: none."""

    drop: list[Literal["ALL"]]


class ContainerSecurity(_Strict, frozen=True):
    """A container's own security context."""

    allow_privilege_escalation: Literal[False]
    read_only_root_filesystem: bool
    capabilities: Capabilities


class PodSecurity(_Strict, frozen=True):
    """The security context of all containers."""

    run_as_non_root: Literal[True]
    run_as_user: int
    run_as_group: int
    fs_group: int
    fs_group_change_policy: Literal["OnRootMismatch"]
    seccomp_profile: SeccompProfile


class Container(_Strict, frozen=True):
    """A container of any of the three sorts."""

    name: str
    image: str
    image_pull_policy: Literal["IfNotPresent"]
    security_context: ContainerSecurity
    termination_message_policy: Literal["FallbackToLogsOnError"]
    command: list[str] = field(default_factory=list)
    args: list[str] = field(default_factory=list)
    env: list[Variable] = field(default_factory=list)
    env_from: list[VariablesFrom] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)
    startup_probe: Probe | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    resources: Resources = field(default_factory=Resources)
    volume_mounts: list[Mount] = field(default_factory=list)
    restart_policy: Literal["Always"] | None = None


class EmptyDir(_Strict, frozen=True):
    """A directory that lives as long as the pod."""

    size_limit: str


class ConfigMapVolume(_Strict, frozen=True):
    """A ConfigMap's keys as files."""

    name: str


class SecretVolume(_Strict, frozen=True):
    """A Secret's keys as files."""

    secret_name: str
    optional: bool = False


class ClaimVolume(_Strict, frozen=True):
    """What a PersistentVolumeClaim leads to."""

    claim_name: str
    read_only: bool = False


class HostPath(_Strict, frozen=True):
    """A directory of the node."""

    path: str
    type: Literal["Directory"]


class Ephemeral(_Strict, frozen=True):
    """A volume that is made for the pod, by any StorageClass."""

    volume_claim_template: dict[str, Any]


class Token(_Strict, frozen=True):
    """A token of the pod's ServiceAccount."""

    path: str
    expiration_seconds: int = 3600


class Item(_Strict, frozen=True):
    """A key of a ConfigMap as a file."""

    key: str
    path: str


class ConfigMapItems(_Strict, frozen=True):
    """Some keys of a ConfigMap as files."""

    name: str
    items: list[Item]


class FieldItem(_Strict, frozen=True):
    """A field of the pod as a file."""

    path: str
    field_ref: FieldRef


class DownwardApi(_Strict, frozen=True):
    """Fields of the pod as files."""

    items: list[FieldItem]


class Source(_Strict, frozen=True):
    """One of these."""

    service_account_token: Token | None = None
    config_map: ConfigMapItems | None = None
    downward_api: DownwardApi | None = field(default=None, name="downwardAPI")


class Projected(_Strict, frozen=True):
    """Several sources in one directory."""

    sources: list[Source]


class Volume(_Strict, frozen=True):
    """One of these."""

    name: str
    empty_dir: EmptyDir | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    persistent_volume_claim: ClaimVolume | None = None
    host_path: HostPath | None = None
    ephemeral: Ephemeral | None = None
    projected: Projected | None = None


class PodSpec(_Strict, frozen=True):
    """A pod."""

    containers: list[Container]
    security_context: PodSecurity
    # One node and one identity are here: nothing is to be done for these.
    service_account_name: str
    automount_service_account_token: Literal[False]
    enable_service_links: Literal[False]
    init_containers: list[Container] = field(default_factory=list)
    volumes: list[Volume] = field(default_factory=list)
    restart_policy: RestartPolicy = "Always"
    termination_grace_period_seconds: float = 30
    share_process_namespace: bool = False
    # They choose a node.
    tolerations: list[dict[str, str]] = field(default_factory=list)
    topology_spread_constraints: list[dict[str, Any]] = field(default_factory=list)
    affinity: dict[str, Any] = field(default_factory=dict)


def pod_spec(workload: Manifest) -> PodSpec:
    """The pod of a Deployment or a Job.

    Raises:
        msgspec.ValidationError: a field that is not understood here, by its path.
    """
    return msgspec.convert(workload["spec"]["template"]["spec"], PodSpec)
