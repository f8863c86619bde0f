"""A pod as its manifest says, on a container engine: an emulation, which is no Kubernetes.

It reads what `kubectl kustomize` renders and does what a kubelet would: a pause container, the
initContainers in order, native sidecars up to their startup probe, volumes, environment, security
context, limits, probes, restarts, and the order in which all of it ends. A field that it does not
know is refused, so that nothing in a manifest is passed over in silence.

What it leaves out: scheduling, Services, roll-outs, tokens, GPUs, limits of disk. A container whose
probe fails is killed without its grace. Restarts come after a second, and not after ten, twenty,
and so on.
"""

from tests.containers.emulation.pod import Pod
from tests.containers.emulation.spec import PodSpec, pod_spec

__all__ = ["Pod", "PodSpec", "pod_spec"]
