"""The pods of other overlays, emulated on an engine: what only a pod shows of them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from tests.containers.node import AGENT, INIT, WORKER, Node, served, settings
from tests.containers.running import KEY, service
from tests.k8s.rendering import combine
from tests.support import signalled
from tests.support.shares import EXTERNAL, INLINE, tree
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.containers.emulation import Pod
    from tests.k8s.rendering import Manifest
    from tests.support import pods

SMALL: Final = ["cpu", "small-model"]
NODE_PATH: Final = "/var/lib/model-agent"
APP: Final = ["python", "/app/app.py", "/mnt/models", "--listen", "0.0.0.0", "8080"]


@pytest.fixture
def endpoint(node: Node, images: dict[str, str], operators: pods.Pod) -> Iterator[str]:
    """The double of Azure Files on the pods' network, whose share `ml-models` has v1 and v2."""
    double = service(
        images["azure-files-double"], "--account", "mlstore", "--key", KEY, "--share=ml-models"
    )
    with double.with_network(node.network).with_network_aliases("files") as running:
        container = running.get_wrapped_container()
        until(lambda: b"http://" in container.logs())
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"][node.network.name]["IPAddress"]
        for version, kind in (("v1", INLINE), ("v2", EXTERNAL)):
            source = str(tree(operators.root / version, kind))
            over_rest(address, operators, "publish", "--from", source, "--version", version)
        over_rest(address, operators, "promote", "v1")
        yield address


def over_rest(address: str, operators: pods.Pod, *command: str) -> None:
    """Run an operator's command on that share."""
    env = {
        "MODEL_AGENT_SHARE": "azurefiles://mlstore/ml-models",
        "MODEL_AGENT_AZURE_ENDPOINT": f"http://{address}:8080",
        "AZURE_STORAGE_KEY": KEY,
    }
    operators.agent(*command, env=env)


def test_over_rest_with_a_key(node: Node, endpoint: str, operators: pods.Pod) -> None:
    """`azure-key`: the Secret is a file, nothing is mounted, and bumps arrive."""
    secret = node.directory("secret")
    secret.chmod(0o755)
    (secret / "azurestorageaccountkey").write_text(KEY)
    node.places["azure-files"] = secret
    components = ["azure-rest", "azure-key", *SMALL]
    changed = settings(MODEL_AGENT_AZURE_ENDPOINT="http://files:8080")
    with node.pod(combine(node.directory("overlay"), components, **changed)) as pod:
        pod.wait_ready()
        assert served(pod) == "v1"
        over_rest(endpoint, operators, "promote", "v2")
        until(lambda: served(pod) == "v2")


def test_without_the_secret(node: Node) -> None:
    """The pod does not hang: `init` ends with 2, and says what is missing."""
    changed = settings(MODEL_AGENT_AZURE_ENDPOINT="http://files:8080")
    components = ["azure-rest", "azure-key", *SMALL]
    with node.pod(combine(node.directory("overlay"), components, **changed)) as pod:
        pod.wait(INIT, "ended with 2")
        assert "The storage secret is missing" in pod.message(INIT)


def test_a_store_on_the_node(node: Node, operators: pods.Pod) -> None:
    """`store-node`: the next pod starts from what the one before it left, with the share away."""
    store = node.directory("store")
    store.chmod(0o2775)
    shutil.chown(store, 65532, 65532)
    node.places[NODE_PATH] = store
    manifests = combine(node.directory("overlay"), ["local-share", *SMALL, "store-node"])
    with node.pod(manifests) as pod:
        pod.wait_ready()
        assert served(pod) == "v1"
    operators.share.root.rename(operators.share.root.with_name("away"))
    operators.share.root.mkdir()
    with node.pod(manifests) as pod:
        pod.wait_ready()
        assert served(pod) == "v1"
        assert pod.events.of(INIT).count("started") == 1


def signalled_pod(node: Node) -> list[Manifest]:
    """`reload-signal` with a worker of somebody's own, which comes in a ConfigMap."""
    overlay = node.directory("overlay")
    shutil.copyfile(str(signalled.__file__), overlay / "app.py")
    container = "/spec/template/spec/containers/0"
    patch: list[dict[str, Any]] = [
        {"op": "add", "path": f"{container}/command", "value": APP},
        {"op": "remove", "path": f"{container}/args"},
        {
            "op": "add",
            "path": f"{container}/volumeMounts/-",
            "value": {"name": "app", "mountPath": "/app"},
        },
        {
            "op": "add",
            "path": "/spec/template/spec/volumes/-",
            "value": {"name": "app", "configMap": {"name": "app"}},
        },
    ]
    fields = settings(MODEL_AGENT_RELOAD_URL="http://127.0.0.1:8080")
    fields["configMapGenerator"].append({"name": "app", "files": ["app.py"]})
    return combine(
        overlay,
        ["local-share", *SMALL, "reload-signal"],
        **fields,
        patches=[{"target": {"kind": "Deployment"}, "patch": json.dumps(patch)}],
    )


def test_a_worker_that_is_signalled(node: Node, operators: pods.Pod) -> None:
    """`reload-signal`: without any capability, the sidecar finds and signals another container."""
    with node.pod(signalled_pod(node)) as pod:
        pod.wait_ready()
        assert model(pod)["version"] == "v1"
        operators.agent("promote", "v2")
        until(lambda: model(pod)["version"] == "v2")
        until(lambda: '"sync.done"' in pod.log(AGENT))
        assert pod.events.of(WORKER).count("started") == 1


def model(pod: Pod) -> dict[str, Any]:
    """What that worker says of itself."""
    found: dict[str, Any] = httpx.get(f"http://{pod.address}:8080/model", trust_env=False).json()
    return found
