"""The lines of the reference's tables, each read from what the program itself goes by."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click
from prometheus_client.metrics import MetricWrapperBase

from agent import cli, settings
from agent.doctor.judge.variables import DIRECTORIES
from agent.errors import Exit
from agent.shares.azurefiles.credentials import SOURCES
from agent.sidecar import probes
from agent.sidecar.metrics import Metrics
from agent.worker import Holder
from agent.worker.admin import admin_app
from embeddings_worker.api import serving_app
from embeddings_worker.batching import Batcher
from embeddings_worker.flags import VARIABLES, parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from aiohttp import web

NONE: Final = "none"


def named_commands(group: click.Group = cli.cli, before: str = "") -> dict[str, click.Command]:
    """The commands by what is typed after `model-agent`; those of groups come last."""
    found: dict[str, click.Command] = {}
    ordered = sorted(group.commands.items(), key=lambda item: isinstance(item[1], click.Group))
    for name, each in ordered:
        if isinstance(each, click.Group):
            found |= named_commands(each, f"{before}{name} ")
        else:
            found[before + name] = each
    return found


def flags(command: click.Command) -> list[click.Option]:
    """A command's flags."""
    return [each for each in command.params if isinstance(each, click.Option)]


def commands() -> Iterator[Sequence[str]]:
    """Each command with its arguments, and its help."""
    for name, each in named_commands().items():
        arguments = [_written(p) for p in each.params if isinstance(p, click.Argument)]
        yield _code(" ".join(["model-agent", name, *arguments])), each.help or ""


def own_flags() -> Iterator[Sequence[str]]:
    """Flags that are no settings; the same one of several commands once."""
    takers: dict[tuple[str, str, str], list[str]] = {}
    for name, command in named_commands().items():
        for each in flags(command):
            if each.name not in settings.BY_NAME:
                default = _code(each.default) if isinstance(each.default, str) else NONE
                takers.setdefault((_written(each), default, each.help or ""), []).append(name)
    for (written, default, meaning), names in takers.items():
        yield _code(written), ", ".join(names), default, meaning


def setting(name: str) -> Sequence[str]:
    """A setting."""
    about = settings.BY_NAME[name].metadata
    found = {
        command: [_code(_written(flag)) for flag in flags(each) if flag.name == name]
        for command, each in named_commands().items()
    }
    return (
        ", ".join(dict.fromkeys(each for written in found.values() for each in written)),
        _code(settings.variable(name)),
        NONE if about["default"] is None else _code(about["default"]),
        _those({command: bool(written) for command, written in found.items()}),
        about["help"],
    )


def credentials() -> Iterator[Sequence[str]]:
    """What the agent may be to Azure Files, and where it is found."""
    for kind, variable, file in SOURCES:
        yield kind, _code(variable), _code(file)


def exits() -> Iterator[Sequence[str]]:
    """The exit codes."""
    for each in Exit:
        yield str(each.value), _code(each.name), each.meaning, each.helps


def metrics() -> Iterator[Sequence[str]]:
    """What `/metrics` shows, by the names that are asked for."""
    for each in vars(Metrics()).values():
        if isinstance(each, MetricWrapperBase):
            family = next(iter(each.describe()))
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = each._labelnames  # noqa: SLF001 - shown only once they have values
            yield _code(name), family.type, ", ".join(map(_code, labels)), family.documentation


def applications() -> dict[str, web.Application]:
    """All that answer requests. Here they are only asked for their routes."""
    holder, nobody = Holder[Any](lambda _: None), cast("Any", None)
    batcher = Batcher(holder, max_batch=1, wait=0.0)
    return {
        "sidecar": probes.application(nobody, Metrics().registry),
        "admin": admin_app(holder, Path()),
        "serving": serving_app(holder, batcher, model=""),
    }


def routes(app: web.Application) -> Iterator[Sequence[str]]:
    """What may be asked, and what its handler says of the answer."""
    for each in app.router.routes():
        if each.resource and each.method != "HEAD":
            answer = inspect.getdoc(each.handler) or ""
            yield _code(f"{each.method} {each.resource.canonical}"), answer


def worker_actions() -> list[argparse.Action]:
    """The flags of the embeddings worker."""
    actions = parser({})._actions  # noqa: SLF001 - argparse has no other list
    return [each for each in actions if each.dest != "help"]


def worker_flags() -> Iterator[Sequence[str]]:
    """The settings of the embeddings worker."""
    for each in worker_actions():
        default = "required" if each.required else _code(str(each.default))
        variable = VARIABLES.get(each.dest)
        flag = _code(each.option_strings[0])
        yield flag, _code(variable) if variable else NONE, default, each.help or ""


def loader_variables() -> Iterator[Sequence[str]]:
    """What the loaders in a worker are told by."""
    for variable, directory in DIRECTORIES.items():
        yield _code(variable), _code(directory)


def _those(chosen: dict[str, bool]) -> str:
    """The names that are chosen, or where these are most, the others."""
    without = [name for name, taken in chosen.items() if not taken]
    if len(without) * 2 < len(chosen):
        return f"all but {', '.join(without)}" if without else "all"
    return ", ".join(name for name, taken in chosen.items() if taken)


def _written(parameter: click.Parameter) -> str:
    """How it is typed."""
    value = parameter.make_metavar(click.Context(cli.cli))
    if not isinstance(parameter, click.Option):
        return value
    return parameter.opts[0] if parameter.is_flag else f"{parameter.opts[0]} {value}"


def _code(text: str) -> str:
    return f"`{text}`"
