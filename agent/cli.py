"""The command line: parses, hands over, and turns every expected failure into one sentence."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from agent import __version__, quantities, settings
from agent.errors import AgentError, Exit, StoppedError
from agent.settings import DEVICE, FOLLOW, LOG, MAKE, SHARE, SPACE, START, STORE, WORKER

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.context import Context
    from agent.release.marker import Marker

_NAME = "model-agent"
_TERMINATION_LOG = Path("/dev/termination-log")
_LOCAL = (*STORE, *LOG)
_POD = (*SHARE, *_LOCAL, *DEVICE, *SPACE, "keep")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name=_NAME)
def cli() -> None:
    """Verify, stage, warm and hot-reload embedding models, from a share of releases.

    Every flag --x-y is also the environment variable MODEL_AGENT_X_Y; the flag wins.
    """


@cli.group()
def catalog() -> None:
    """Work on catalogs: the files that say what a release must contain."""


def command(
    *names: str,
    required: tuple[str, ...] = (),
    group: click.Group = cli,
    check_first: bool = False,
    stop_at_once: bool = True,
) -> Callable[[Callable[..., None]], click.Command]:
    """Register a command that takes these settings and is given a `Context` of them.

    With `check_first` the keys and the share's address are tried before anything is done, also of a
    command that could do without the share; without `stop_at_once` it listens to SIGTERM by itself.
    """

    def register(function: Callable[..., None]) -> click.Command:
        def run(**given: Any) -> None:
            from agent import logs
            from agent.context import Context
            from agent.files import durable
            from agent.signing import keys

            os.umask(durable.UMASK)
            flags = {name: given.pop(name) for name in names}
            chosen = settings.parse(flags, os.environ, required=required)
            logs.configure(chosen.log_format)
            context = Context(chosen, logs.get())
            if stop_at_once:
                signal.signal(signal.SIGTERM, lambda *_: _stop(context))
            if check_first:
                keys.check(sign_key=chosen.sign_key, verify_key=chosen.verify_key)
                if chosen.share:
                    _ = context.share
            function(context, **given)

        params = [*reversed(getattr(function, "__click_params__", []))]
        params += [option for name in names for option in _options(name)]
        made = click.Command(function.__name__, callback=run, params=params, help=function.__doc__)
        group.add_command(made)
        return made

    return register


def _options(name: str) -> list[click.Option]:
    """Return the flag of a setting; for a choice without a default, the one against it as well."""
    about = settings.BY_NAME[name].metadata
    flag, text, default = name.replace("_", "-"), about["help"], about["default"]
    if default is not None:
        text += f"  [{default}]"
    if about["parse"] is not quantities.boolean:
        return [click.Option([f"--{flag}", name], help=text, metavar=about["metavar"])]
    chosen = click.Option([f"--{flag}", name], flag_value="true", default=None, help=text)
    other = click.Option([f"--no-{flag}", name], flag_value="false", help="Leave them as they are.")
    return [chosen] if default is not None else [chosen, other]


def _on(meaning: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    places = click.Choice(["share", "store"])
    return click.option("--on", type=places, default="store", show_default=True, help=meaning)


@command(*_POD, *START, required=("share",), check_first=True)
def init(context: Context) -> None:
    """Make a verified, warmed release active; for an initContainer."""
    from agent.sync.init import run

    done = run(context)
    click.echo(done)
    if done.desired and done.active != done.desired:
        click.echo(f"It is NOT the desired release {done.desired}: see the log.", err=True)


@command(*_POD, *FOLLOW, *WORKER, required=("share",), check_first=True, stop_at_once=False)
def sidecar(context: Context) -> None:
    """Keep the worker on the release that the marker names; runs until SIGTERM.

    Models are checked on the CPU whatever --device says: the worker checks them on its own.
    """
    import asyncio

    from agent.sidecar.loop import serve

    asyncio.run(serve(context))


@command(*SHARE, *DEVICE, "hub_timeout", "lock_timeout", *MAKE, *LOG, check_first=True)
@click.argument("catalog_file", metavar="[CATALOG]", required=False, type=Path)
@click.option("--from", "source", type=Path, help="A tree (fastembed/, huggingface/, …) or bundle.")
@click.option("--version", help="What the release is called; the catalog's, or the bundle's.")
@click.option("--bundle", type=Path, help="Write the release to this new directory, not the share.")
def publish(
    context: Context,
    catalog_file: Path | None,
    source: Path | None,
    version: str | None,
    bundle: Path | None,
) -> None:
    """Make a release: of the CATALOG's models from the Hub, or with --from of what is here.

    Without CATALOG it is the one of --catalog, or the built-in one. Canaries are made on the CPU;
    with --device cuda the release must pass them on the GPU as well.
    """
    from agent.publish import makers
    from agent.publish.bundle import write_bundle
    from agent.publish.publisher import Publisher
    from agent.publish.sign import Signing
    from agent.publish.workshop import Workshop

    workshop = Workshop.of(context, catalog=catalog_file)
    maker = makers.choose(workshop, source, version)
    if bundle:
        done, verb = write_bundle(maker, bundle, Signing.of(context)), "Bundled"
    else:
        done = Publisher.of(context).publish(maker)
        verb = "Published" if done.new else "Already published:"
    for line in done.lines(verb, context.settings.sign_key):
        click.echo(line)


@command("hub_timeout", *LOG, group=catalog)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--update", is_flag=True, help="Also move models that are pinned to today's.")
def pin(context: Context, file: Path, update: bool) -> None:
    """Write the revisions that the models of FILE have on the Hub today into it."""
    from agent.publish.pin import pin

    for each in pin(file, context.hub, update=update):
        word = "pinned" if each.new else "is at"
        click.echo(f"{each.name} ({each.repo}) {word} {each.revision}")


@command(*SHARE, *SPACE, *LOG, required=("share",))
@click.argument("version")
@click.option("--verify", "check", is_flag=True, help="Read every byte of it first.")
def promote(context: Context, version: str, check: bool) -> None:
    """Have every pod serve VERSION."""
    from agent.operate.promote import promote

    _promoted(promote(context, version, check=check, say=click.echo))


@command(*SHARE, *LOG, required=("share",))
@click.argument("version", required=False)
def rollback(context: Context, version: str | None) -> None:
    """Have every pod serve the release before, or VERSION."""
    from agent.operate.promote import rollback

    _promoted(rollback(context, version, say=click.echo))


@command(*SHARE, *_LOCAL)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(context: Context, as_json: bool) -> None:
    """Show what is active, desired, held and refused."""
    from agent.operate import status

    found = status.status(context)
    click.echo(status.as_json(found) if as_json else status.describe(found))


@command(*_LOCAL, *DEVICE)
@click.argument("version", required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def warm(context: Context, version: str | None, as_json: bool) -> None:
    """Load VERSION (by default the active one) from the store, run it, and check its canary."""
    from agent.operate.verify import warm
    from agent.warmup import report

    release, measured = warm(context, version)
    click.echo(report.as_json(release, measured) if as_json else report.table(release, measured))


@command(*SHARE, *_LOCAL)
@click.argument("version", required=False)
@_on("Which copy to read.")
def verify(context: Context, version: str | None, on: str) -> None:
    """Hash every byte of VERSION (by default the active or desired one) where it lies.

    With --verify-key its signature is checked as well.
    """
    from agent.operate.verify import verify

    release, where = verify(context, version, on=on), "on" if on == "share" else "in"
    click.echo(f"{release.version} {where} the {on} is intact ({quantities.amount(release.size)}).")


@command(*SHARE, *_LOCAL, "keep")
@_on("Which releases to delete.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
def prune(context: Context, on: str, dry_run: bool) -> None:
    """Delete releases: of the store beyond --keep, of the share what the marker does not need."""
    from agent.operate.prune import prune_share, prune_store
    from agent.shares.base import STAGING

    pruned = (prune_share if on == "share" else prune_store)(context, dry_run=dry_run)
    removed = [*pruned.releases, *(f"{STAGING}/{name}" for name in pruned.left_over)]
    verb = "Would remove" if dry_run else "Removed"
    click.echo(f"{verb}: {' '.join(removed)}" if removed else "Nothing to remove.")


@command(
    *(*SHARE, "populate", *_LOCAL, "poll_interval", "reload_url", "reload_method"),
    required=("share",),
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(context: Context, as_json: bool) -> None:
    """Look at all that lies between the share and the worker; say what is wrong and what to do."""
    from agent.doctor.examination import run

    run(context, say=click.echo, as_json=as_json)


def main() -> NoReturn:
    """Run the command line and exit; see `agent.errors.Exit` for the codes."""
    # Process 1 has no default action: a SIGTERM before a command listens would be lost, and the pod
    # would wait out its grace. No release is touched by then.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(Exit.STOPPED))
    try:
        cli(standalone_mode=False, prog_name=_NAME)
        sys.exit(Exit.DONE)
    except StoppedError:
        sys.exit(Exit.STOPPED)
    except AgentError as error:
        _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(Exit.CONFIG)
    except click.ClickException as error:
        command = " ".join([_NAME, *(each for each in sys.argv[1:2] if each in cli.commands)])
        _fail(f"{error.format_message().rstrip('.')}. See {command} --help.", Exit.CONFIG)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        traceback.print_exc()
        _fail(f"Internal error: {error!r}. Please report it with the log above.", Exit.INTERNAL)


def _stop(context: Context) -> NoReturn:
    """End at once, wherever the main thread waits: what is on disk is good at every moment."""
    context.stop.set()
    raise StoppedError


def _promoted(new: Marker) -> None:
    click.echo(f"The marker names {new.version}; previous: {' '.join(new.previous) or 'none'}.")


def _fail(sentence: str, code: Exit) -> NoReturn:
    """Say it where Kubernetes shows it, and last on stderr."""
    if _TERMINATION_LOG.is_file():
        with suppress(OSError):
            _TERMINATION_LOG.write_text(sentence + "\n")
    click.echo(f"{_NAME}: {sentence}", err=True)
    sys.exit(code)
