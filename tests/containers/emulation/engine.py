"""What the engine is told of a pod's containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agent.quantities import size
from tests.k8s import pods

if TYPE_CHECKING:
    from pathlib import Path

    import docker
    from docker.models.containers import Container as Running

    from tests.containers.emulation.files import Volumes
    from tests.containers.emulation.spec import Container, PodSpec, Resources
    from tests.k8s.rendering import Manifest

MESSAGE_PATH: Final = "/dev/termination-log"
_WAIT: Final = "import signal; signal.pause()"
_SHARES: Final = 1024
_KNOWN: Final = {"cpu", "memory", "ephemeral-storage"}


@dataclass(frozen=True)
class Sandbox:
    """What a pod's containers have in common: a network, shared memory, and perhaps processes."""

    client: docker.DockerClient
    pause: Running
    spec: PodSpec
    manifests: list[Manifest]
    volumes: Volumes

    @property
    def address(self) -> str:
        """The pod's address."""
        self.pause.reload()
        networks = self.pause.attrs["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def start(self, container: Container, message: Path) -> Running:
        """Start a container of the pod, which may leave a message in a file."""
        command, arguments = self._words(container)
        message.write_text("")
        message.chmod(0o666)
        binds = {str(message): {"bind": MESSAGE_PATH, "mode": "rw"}}
        return self.client.containers.run(
            container.image,
            arguments or None,
            entrypoint=command or None,
            detach=True,
            environment=self._environment(container),
            volumes=binds | self.volumes.binds(container),
            healthcheck={"test": ["NONE"]},
            **_security(container, self.spec),
            **_resources(container.resources),
            **_shared(self.pause, self.spec),
        )

    def _environment(self, container: Container) -> dict[str, str]:
        return pods.environment(self.manifests, msgspec.to_builtins(container))

    def _words(self, container: Container) -> tuple[list[str], list[str]]:
        variables = self._environment(container)
        command, arguments = (
            [pods.expanded(text, variables) for text in texts]
            for texts in (container.command, container.args)
        )
        return command, arguments


def refuse_missing(spec: PodSpec) -> None:
    """Refuse a pod that asks for what is not here.

    Raises:
        ValueError: it does.
    """
    for container in [*spec.init_containers, *spec.containers]:
        asked = {*container.resources.requests, *container.resources.limits}
        if missing := asked - _KNOWN:
            raise ValueError(f"no engine here has {', '.join(sorted(missing))}")
        if fields := [each.name for each in container.env if each.value_from]:
            raise ValueError(f"no pod here has the fields for {', '.join(fields)}")


def pause(client: docker.DockerClient, spec: PodSpec, name: str, network: str) -> Running:
    """Start the container that holds what the others share."""
    return client.containers.run(
        spec.containers[0].image,
        ["-c", _WAIT],
        entrypoint="python",
        name=name,
        hostname=name,
        detach=True,
        # Reaps what other containers leave, where they share their processes.
        init=True,
        ipc_mode="shareable",
        network=network,
        healthcheck={"test": ["NONE"]},
    )


def _security(container: Container, spec: PodSpec) -> dict[str, Any]:
    pod = spec.security_context
    return {
        "user": f"{pod.run_as_user}:{pod.run_as_group}",
        "group_add": [str(pod.fs_group)],
        "read_only": container.security_context.read_only_root_filesystem,
        "cap_drop": list(container.security_context.capabilities.drop),
        "security_opt": ["no-new-privileges"],
    }


def _resources(resources: Resources) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if memory := resources.limits.get("memory"):
        # No swap, as on a node.
        options |= {"mem_limit": size(memory), "memswap_limit": size(memory)}
    if cpus := resources.requests.get("cpu"):
        options["cpu_shares"] = int(_cpus(cpus) * _SHARES)
    if cpus := resources.limits.get("cpu"):
        options["nano_cpus"] = int(_cpus(cpus) * 1e9)
    return options


def _cpus(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def _shared(pause: Running, spec: PodSpec) -> dict[str, str]:
    place = f"container:{pause.id}"
    processes = {"pid_mode": place} if spec.share_process_namespace else {}
    return {"network_mode": place, "ipc_mode": place, **processes}
