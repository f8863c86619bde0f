"""Would the agent and the worker start with what the manifests give them?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch
from urllib.parse import urlsplit

import click

from agent import cli, settings
from agent.doctor.judge.variables import DIRECTORIES
from agent.errors import AgentError
from agent.release import catalog
from embeddings_worker.flags import parser
from tests.k8s import pods
from tests.k8s.pods import WORKER, arguments, containers, environment, label, mounts, workloads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from agent.release.catalog import Catalog
    from agent.settings import Settings
    from tests.k8s.rendering import Manifest

PROGRAM: Final = "model-agent"
_GPU: Final = "nvidia.com/gpu"


def is_agent(each: Mapping[str, Any]) -> bool:
    """Whether a container runs the agent."""
    return _image(each) == PROGRAM


def is_ours(each: Mapping[str, Any]) -> bool:
    """Whether a container is our own worker, not one that is put in its place."""
    return _image(each) == WORKER


def _image(each: Mapping[str, Any]) -> str:
    name: str = each["image"]
    return name.split(":", maxsplit=1)[0]


def settings_of(docs: list[Manifest], each: Mapping[str, Any]) -> Settings:
    """What the agent in a container goes by.

    Raises:
        AgentError: A setting is wrong.
        click.ClickException: The command or a flag is unknown.
    """
    program, name, *rest = arguments(docs, each)
    if program != PROGRAM or name not in cli.cli.commands:
        raise click.UsageError(f"there is no command {program} {name}")
    command = cli.cli.commands[name]
    given = command.make_context(name, rest).params
    flags = {key: value for key, value in given.items() if key in settings.BY_NAME}
    return settings.parse(flags, environment(docs, each), required=("share",))


def catalog_of(docs: list[Manifest], doc: Manifest, each: Mapping[str, Any]) -> Catalog:
    """The catalog that a container is given."""
    path = settings_of(docs, each).catalog
    assert path
    source = pods.volume(doc, mounts(each)[str(path.parent)]["name"])["configMap"]
    config = pods.named(docs, "ConfigMap", source["name"])
    assert config
    return catalog.parse(config["data"][path.name], where=path.name)


def unfit(docs: list[Manifest]) -> list[str]:
    """What the agent would refuse, or find missing."""
    faults = []
    for doc in workloads(docs):
        for each in filter(is_agent, containers(doc)):
            try:
                found = list(_agent(docs, doc, each))
            except (AgentError, click.ClickException, KeyError, AssertionError) as error:
                found = [f"{type(error).__name__}: {error}"]
            faults += [f"{label(doc)}, {each['name']}: {fault}" for fault in found]
    return faults


def unfit_workers(docs: list[Manifest]) -> list[str]:
    """What the worker would refuse, or where it and its agent miss each other."""
    faults: list[str] = []
    for doc in pods.of_kind(docs, "Deployment"):
        each = pods.container(doc, WORKER)
        own = settings_of(docs, pods.container(doc, PROGRAM))
        faults += _paths(each, own)
        if is_ours(each):
            try:
                faults += _flags(each, own, catalog_of(docs, doc, pods.container(doc, PROGRAM)))
            except ValueError as error:
                faults.append(f"the worker refuses its flags: {error}")
    return faults


def _agent(docs: list[Manifest], doc: Manifest, each: Mapping[str, Any]) -> Iterator[str]:
    own = settings_of(docs, each)
    catalog_of(docs, doc, each)
    command = arguments(docs, each)[1]
    there = mounts(each)
    in_pod = doc["kind"] == "Deployment"
    if own.share_address.startswith("/"):
        share = there.get(own.share_address)
        if share is None:
            yield f"nothing is mounted at {own.share_address}"
        elif share.get("readOnly", False) != in_pod:
            yield "only Jobs write to the share"
    if in_pod and there[str(own.store)].get("readOnly"):
        yield "the store cannot be written"
    if own.azure_secret_dir and str(own.azure_secret_dir) not in there:
        yield f"nothing is mounted at {own.azure_secret_dir}"
    for key in filter(None, (own.verify_key, own.sign_key)):
        yield from _key(docs, doc, there.get(str(key.parent)), key)
    if in_pod and own.populate != "never":
        yield "a pod would ask the Hub"
    loads = command != "sidecar" and any(
        p.name == "device" for p in cli.cli.commands[command].params
    )
    if loads and own.device == "cuda" and _GPU not in each["resources"]["limits"]:
        yield "it wants CUDA and asks for no GPU"
    if command == "sidecar":
        yield from _sidecar(doc, each, own)


def _key(
    docs: list[Manifest], doc: Manifest, mount: Mapping[str, Any] | None, path: Path
) -> Iterator[str]:
    """A ConfigMap has the public key; the private one is in a Secret, which is made by hand."""
    if mount is None:
        yield f"nothing is mounted at {path.parent}"
        return
    source = pods.volume(doc, mount["name"])
    if "secret" not in source:
        config = pods.named(docs, "ConfigMap", source["configMap"]["name"])
        if path.name not in (config or {}).get("data", {}):
            yield f"there is no {path.name} in {path.parent}"


def _sidecar(doc: Manifest, each: Mapping[str, Any], own: Settings) -> Iterator[str]:
    if _GPU in each["resources"]["limits"]:
        yield "its GPU is added to the pod's"
    if own.listen[1] not in {port["containerPort"] for port in each["ports"]}:
        yield f"it listens at port {own.listen[1]}, which is not declared"
    if own.reload_method == "signal" and not pods.pod(doc).get("shareProcessNamespace"):
        yield "it cannot see the process that it should signal"


def _paths(each: Mapping[str, Any], own: Settings) -> Iterator[str]:
    """The documented variables lead into the store, which the worker cannot write."""
    variables = environment([], each)
    for name, directory in DIRECTORIES.items():
        if variables.get(name) != f"{own.store}/{directory}":
            yield f"{name} is {variables.get(name)}"
    if not mounts(each)[str(own.store)].get("readOnly"):
        yield "the worker can write to the store"
    if own.share_address in mounts(each):
        yield "the worker has no business with the share"


def _flags(each: Mapping[str, Any], own: Settings, models: Catalog) -> Iterator[str]:
    given = worker_flags(each["args"])
    if given.store != own.store:
        yield f"the worker's store is {given.store}"
    if given.port not in {port["containerPort"] for port in each["ports"]}:
        yield f"the worker serves at port {given.port}, which is not declared"
    if given.admin != urlsplit(own.reload_url).netloc:
        yield f"the agent reloads at {own.reload_url}, the worker listens at {given.admin}"
    if given.model not in {model.name for model in models.model}:
        yield f"the catalog has no model {given.model}"
    if (given.device == "cuda") != (_GPU in each["resources"]["limits"]):
        yield f"the device {given.device} does not go with what it asks for"
    if given.device != own.device:
        yield "the worker runs on another device than init checks"


def worker_flags(args: Sequence[str]) -> argparse.Namespace:
    """What the worker makes of its flags.

    Raises:
        ValueError: It refuses them.
    """

    def refuse(_: argparse.ArgumentParser, message: str) -> None:
        raise ValueError(message)

    with patch.object(argparse.ArgumentParser, "error", refuse):
        return parser({}).parse_args(args)
