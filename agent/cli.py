"""The command line: parses, hands over, and turns every expected failure into one sentence."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from agent import __version__, settings
from agent.errors import AgentError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.context import Context
    from agent.marker import Marker

_TERMINATION_LOG = Path("/dev/termination-log")
_STORE = ("store", "store_limit", "lock_timeout", "log_format")
_SHARE = ("share", "marker", "catalog", "require_manifest", "allow_pickle")
_INIT = ("keep", "populate", "no_fallback", "no_warm")
_CHECKS = ("device", "space_cosine")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="model-agent")
def cli() -> None:
    """Verify, stage, warm and hot-reload embedding models, from a share of releases.

    Every flag --x-y is also the environment variable MODEL_AGENT_X_Y; the flag wins.
    """


def command(
    *names: str, required: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], click.Command]:
    """Register a command that takes these settings and is given a `Context` of them."""

    def register(function: Callable[..., None]) -> click.Command:
        def run(**given: Any) -> None:
            from agent import durable, logs  # noqa: PLC0415 - keeps --help quick
            from agent.context import Context  # noqa: PLC0415

            os.umask(durable.UMASK)
            flags = {name: given.pop(name) for name in names}
            chosen = settings.parse(flags, os.environ, required=required)
            logs.configure(chosen.log_format)
            context = Context(chosen, logs.get())
            if function.__name__ != "sidecar":
                signal.signal(signal.SIGTERM, lambda *_: _stop(context))
            function(context, **given)

        own = getattr(function, "__click_params__", [])
        params = [*reversed(own), *(_option(name) for name in names)]
        made = click.Command(function.__name__, callback=run, params=params, help=function.__doc__)
        cli.add_command(made)
        return made

    return register


def _option(name: str) -> click.Option:
    about = settings.BY_NAME[name].metadata
    flag = "--" + name.replace("_", "-")
    text = about["help"] + (f"  [{about['default']}]" if about["default"] is not None else "")
    if about["default"] in {"true", "false"}:
        return click.Option([flag, name], flag_value="true", default=None, help=text)
    return click.Option([flag, name], help=text, metavar=about["metavar"])


@command(*_SHARE, *_STORE, *_CHECKS, *_INIT, required=("share",))
def init(context: Context) -> None:
    """Make a verified, warmed release active; for an initContainer."""
    from agent import init as initial  # noqa: PLC0415 - keeps --help quick

    done = initial.run(context)
    click.echo(f"{done.active} is active after {done.seconds:.1f} s.")
    if done.desired and done.active != done.desired:
        click.echo(f"It is NOT the desired release {done.desired}: see the log.", err=True)


@command(
    *_SHARE,
    *_STORE,
    *_CHECKS,
    *("keep", "poll_interval", "reload_url", "reload_method", "reload_timeout", "listen"),
    required=("share",),
)
def sidecar(context: Context) -> None:
    """Keep the worker on the release that the marker names; runs until SIGTERM."""
    from agent.sidecar import serve  # noqa: PLC0415 - keeps --help quick

    asyncio.run(serve(context))


@command(*_SHARE, "device", "log_format", required=("share",))
@click.option("--from", "source", required=True, help="A tree: fastembed/, huggingface/, ….")
@click.option("--version", required=True, help="What the release is called.")
def publish(context: Context, source: str, version: str) -> None:
    """Make a release on the share out of a local tree."""
    from agent import publish as publishing  # noqa: PLC0415 - keeps --help quick

    done = publishing.from_directory(context, Path(source), version)
    release = done.manifest
    verb = "Published" if done.new else "Already published:"
    click.echo(f"{verb} {version}: {len(release.files)} files, {release.size} bytes.")
    click.echo(f"digest {release.digest}")


@command(*_SHARE, "space_cosine", "log_format", required=("share",))
@click.argument("version")
@click.option("--allow-new-space", is_flag=True, help="Stored vectors were made anew.")
def promote(context: Context, version: str, allow_new_space: bool) -> None:
    """Have every pod serve VERSION."""
    from agent import operators  # noqa: PLC0415 - keeps --help quick

    _promoted(operators.promote(context, version, allow_new_space=allow_new_space))


@command(*_SHARE, "log_format", required=("share",))
@click.argument("version", required=False)
def rollback(context: Context, version: str | None) -> None:
    """Have every pod serve the release before, or VERSION."""
    from agent import operators  # noqa: PLC0415 - keeps --help quick

    _promoted(operators.rollback(context, version))


@command(*_SHARE, *_STORE)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(context: Context, as_json: bool) -> None:
    """Show what is active, desired, held and refused."""
    from agent import operators  # noqa: PLC0415 - keeps --help quick

    found = operators.status(context)
    click.echo(operators.as_json(found) if as_json else operators.describe(found))


@command(*_SHARE, *_STORE)
@click.argument("version", required=False)
@click.option("--on", type=click.Choice(["share", "store"]), default="store", show_default=True)
def verify(context: Context, version: str | None, on: str) -> None:
    """Hash every byte of VERSION (by default the active or desired one) where it lies."""
    from agent import operators  # noqa: PLC0415 - keeps --help quick

    chosen, count = operators.verify(context, version, on=on)
    click.echo(f"{chosen} on the {on} is sound: {count} bytes.")


@command(*_STORE, "keep")
def prune(context: Context) -> None:
    """Delete from the store what is kept beyond --keep."""
    from agent import operators  # noqa: PLC0415 - keeps --help quick

    removed = operators.prune(context)
    click.echo(f"Removed: {' '.join(removed)}" if removed else "Nothing to remove.")


def main() -> NoReturn:
    """Run the command line and exit; see `agent.errors` for the codes."""
    try:
        cli(standalone_mode=False)
        sys.exit(0)
    except StoppedError:
        sys.exit(128 + signal.SIGTERM)
    except AgentError as error:
        _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        _fail(f"{error.format_message()} See model-agent --help.", 2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(128 + signal.SIGINT)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        traceback.print_exc()
        _fail(f"Internal error: {error!r}. Please report it with the log above.", 1)


def _stop(context: Context) -> NoReturn:
    """End at once, wherever the main thread waits: what is on disk is good at every moment."""
    context.stop.set()
    raise StoppedError


def _promoted(new: Marker) -> None:
    click.echo(f"The marker names {new.version}; previous: {' '.join(new.previous) or 'none'}.")


def _fail(sentence: str, code: int) -> NoReturn:
    """Say it where Kubernetes shows it, and last on stderr."""
    if _TERMINATION_LOG.is_file():
        with suppress(OSError):
            _TERMINATION_LOG.write_text(sentence + "\n")
    click.echo(f"model-agent: {sentence}", err=True)
    sys.exit(code)
