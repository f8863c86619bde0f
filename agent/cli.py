"""The command line: parses, hands over, and turns every expected failure into one sentence."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from agent import __version__, quantities, settings
from agent.errors import AgentError, Exit, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.context import Context
    from agent.release.marker import Marker

_TERMINATION_LOG = Path("/dev/termination-log")
_LOG = ("log_format",)
_STORE = ("store", "store_limit", "lock_timeout")
_LOCAL = (*_STORE, *_LOG)
_AZURE = ("azure_endpoint", "azure_secret_dir")
_TRUST = ("verify_key", "require_signature")
_SHARE = ("share", *_AZURE, "marker", "catalog", "require_manifest", "allow_pickle", *_TRUST)
_START = ("populate", "hub_timeout", "no_fallback", "no_warm")
_DEVICE = ("device", "warm_shapes", "warm_timeout")
_SPACE = ("space_cosine", "allow_new_space")
_CHECKS = (*_DEVICE, *_SPACE)
_FOLLOW = ("poll_interval", "reverify_interval", "listen", "kubernetes_events")
_WORKER = ("reload_url", "reload_method", "reload_process", "reload_timeout")

# Each setting once, with those that it belongs to: docs/reference.md is laid out by it.
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "The share": _SHARE,
    "The store": (*_STORE, "keep"),
    "The start of a pod": _START,
    "Devices and warm-up": _DEVICE,
    "Embedding space": _SPACE,
    "The sidecar": _FOLLOW,
    "The worker": _WORKER,
    "Making releases": ("optimize", "sign_key"),
    "The log": _LOG,
}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="model-agent")
def cli() -> None:
    """Verify, stage, warm and hot-reload embedding models, from a share of releases.

    Every flag --x-y is also the environment variable MODEL_AGENT_X_Y; the flag wins.
    """


@cli.group()
def catalog() -> None:
    """Work on catalogs: the files that say what a release must contain."""


def command(
    *names: str, required: tuple[str, ...] = (), group: click.Group = cli
) -> Callable[[Callable[..., None]], click.Command]:
    """Register a command that takes these settings and is given a `Context` of them."""

    def register(function: Callable[..., None]) -> click.Command:
        def run(**given: Any) -> None:
            from agent import logs  # noqa: PLC0415 - keeps --help quick
            from agent.context import Context  # noqa: PLC0415
            from agent.files import durable  # noqa: PLC0415 - keeps --help quick

            os.umask(durable.UMASK)
            flags = {name: given.pop(name) for name in names}
            chosen = settings.parse(flags, os.environ, required=required)
            logs.configure(chosen.log_format)
            context = Context(chosen, logs.get())
            if function.__name__ != "sidecar":
                signal.signal(signal.SIGTERM, lambda *_: _stop(context))
            function(context, **given)

        own = getattr(function, "__click_params__", [])
        options = [option for name in names for option in _options(name)]
        params = [*reversed(own), *options]
        made = click.Command(function.__name__, callback=run, params=params, help=function.__doc__)
        group.add_command(made)
        return made

    return register


def _option(name: str) -> click.Option:
    about = settings.BY_NAME[name].metadata
    flag = "--" + name.replace("_", "-")
    text = about["help"] + (f"  [{about['default']}]" if about["default"] is not None else "")
    if about["default"] in {"true", "false"}:
        return click.Option([flag, name], flag_value="true", default=None, help=text)
    return click.Option([flag, name], help=text, metavar=about["metavar"])


def _options(name: str) -> list[click.Option]:
    """The flag of a setting, and for a choice that is not made by default, the one against it."""
    about = settings.BY_NAME[name].metadata
    if about["parse"] is not quantities.boolean or about["default"] is not None:
        return [_option(name)]
    return [
        click.Option([f"--{name}", name], flag_value="true", help=about["help"]),
        click.Option([f"--no-{name}", name], flag_value="false", help="Leave them as they are."),
    ]


def _on(meaning: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    places = click.Choice(["share", "store"])
    return click.option("--on", type=places, default="store", show_default=True, help=meaning)


@command(*_SHARE, *_LOCAL, *_CHECKS, "keep", *_START, required=("share",))
def init(context: Context) -> None:
    """Make a verified, warmed release active; for an initContainer."""
    from agent.signing import keys  # noqa: PLC0415
    from agent.sync import init as initial  # noqa: PLC0415 - keeps --help quick

    keys.check(sign_key=context.settings.sign_key, verify_key=context.settings.verify_key)
    done = initial.run(context)
    click.echo(f"{done.active} is active after {done.seconds:.1f} s.")
    if done.desired and done.active != done.desired:
        click.echo(f"It is NOT the desired release {done.desired}: see the log.", err=True)


@command(*_SHARE, *_LOCAL, *_CHECKS, "keep", *_FOLLOW, *_WORKER, required=("share",))
def sidecar(context: Context) -> None:
    """Keep the worker on the release that the marker names; runs until SIGTERM.

    Models are checked on the CPU whatever --device says: the worker checks them on its own.
    """
    import asyncio  # noqa: PLC0415 - keeps --help quick

    from agent.sidecar.loop import serve  # noqa: PLC0415
    from agent.signing import keys  # noqa: PLC0415

    keys.check(sign_key=context.settings.sign_key, verify_key=context.settings.verify_key)
    asyncio.run(serve(context))


@command(*_SHARE, *_DEVICE, "hub_timeout", "lock_timeout", "optimize", "sign_key", "log_format")
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
    from agent.publish import makers  # noqa: PLC0415 - keeps --help quick
    from agent.publish import publish as publishing  # noqa: PLC0415
    from agent.signing import keys  # noqa: PLC0415 - keeps --help quick

    keys.check(sign_key=context.settings.sign_key, verify_key=context.settings.verify_key)
    context = context.with_catalog(catalog_file)
    if bundle:
        maker = (
            makers.of_directory(context, source, version)
            if source
            else makers.of_catalog(context, version)
        )
        release, verb = publishing.bundle(context, maker, bundle), "Bundled"
        signed = context.settings.sign_key is not None
    else:
        done = (
            publishing.from_directory(context, source, version)
            if source
            else publishing.from_hub(context, version)
        )
        release, verb = done.manifest, "Published" if done.new else "Already published:"
        signed = done.signed
    click.echo(f"{verb} {release.version}: {len(release.files)} files, {release.size} bytes.")
    if signed:
        click.echo(f"signed with {context.settings.sign_key}")
    click.echo(f"digest {release.digest}")


@command("hub_timeout", "log_format", group=catalog)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--update", is_flag=True, help="Also move models that are pinned to today's.")
def pin(context: Context, file: Path, update: bool) -> None:
    """Write the revisions that the models of FILE have on the Hub today into it."""
    from agent.publish import pin as pinning  # noqa: PLC0415 - keeps --help quick

    for each in pinning.pin(context.with_catalog(file), file, update=update):
        word = "pinned" if each.new else "is at"
        click.echo(f"{each.name} ({each.repo}) {word} {each.revision}")


@command(*_SHARE, *_SPACE, "log_format", required=("share",))
@click.argument("version")
@click.option("--verify", "check", is_flag=True, help="Read every byte of it first.")
def promote(context: Context, version: str, check: bool) -> None:
    """Have every pod serve VERSION."""
    from agent.operate import operators  # noqa: PLC0415 - keeps --help quick

    _promoted(operators.promote(context, version, check=check, say=click.echo))


@command(*_SHARE, "log_format", required=("share",))
@click.argument("version", required=False)
def rollback(context: Context, version: str | None) -> None:
    """Have every pod serve the release before, or VERSION."""
    from agent.operate import operators  # noqa: PLC0415 - keeps --help quick

    _promoted(operators.rollback(context, version, say=click.echo))


@command(*_SHARE, *_LOCAL)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(context: Context, as_json: bool) -> None:
    """Show what is active, desired, held and refused."""
    from agent.operate import status as reporting  # noqa: PLC0415 - keeps --help quick

    found = reporting.status(context)
    click.echo(reporting.as_json(found) if as_json else reporting.describe(found))


@command(*_LOCAL, *_DEVICE)
@click.argument("version", required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def warm(context: Context, version: str | None, as_json: bool) -> None:
    """Load VERSION (by default the active one) from the store, run it, and check its canary."""
    from agent.operate import operators  # noqa: PLC0415 - keeps --help quick
    from agent.warmup import report  # noqa: PLC0415

    release, measured = operators.warm(context, version)
    click.echo(report.as_json(release, measured) if as_json else report.table(release, measured))


@command(*_SHARE, *_LOCAL)
@click.argument("version", required=False)
@_on("Which copy to read.")
def verify(context: Context, version: str | None, on: str) -> None:
    """Hash every byte of VERSION (by default the active or desired one) where it lies.

    With --verify-key its signature is checked as well.
    """
    from agent.operate import operators  # noqa: PLC0415 - keeps --help quick

    chosen, count = operators.verify(context, version, on=on)
    click.echo(f"{chosen} on the {on} is sound: {count} bytes.")


@command(*_SHARE, *_LOCAL, "keep")
@_on("Which releases to delete.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
def prune(context: Context, on: str, dry_run: bool) -> None:
    """Delete releases: of the store beyond --keep, of the share what the marker does not need."""
    from agent.operate import prune as pruning  # noqa: PLC0415 - keeps --help quick
    from agent.shares.base import STAGING  # noqa: PLC0415

    pruned = (pruning.share if on == "share" else pruning.store)(context, dry_run=dry_run)
    removed = [*pruned.releases, *(f"{STAGING}/{name}" for name in pruned.left_over)]
    verb = "Would remove" if dry_run else "Removed"
    click.echo(f"{verb}: {' '.join(removed)}" if removed else "Nothing to remove.")


@command(
    *(*_SHARE, "populate", *_LOCAL, "poll_interval", "reload_url", "reload_method"),
    required=("share",),
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(context: Context, as_json: bool) -> None:
    """Look at all that lies between the share and the worker; say what is wrong and what to do."""
    from agent.doctor import examination  # noqa: PLC0415 - keeps --help quick

    examination.run(context, say=click.echo, as_json=as_json)


def main() -> NoReturn:
    """Run the command line and exit; see `agent.errors.Exit` for the codes."""
    # Process 1 has no default action: a SIGTERM before a command listens would be lost, and the pod
    # would wait out its grace. No release is touched by then.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(Exit.STOPPED))
    try:
        cli(standalone_mode=False)
        sys.exit(Exit.DONE)
    except StoppedError:
        sys.exit(Exit.STOPPED)
    except AgentError as error:
        _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(Exit.CONFIG)
    except click.ClickException as error:
        _fail(f"{error.format_message()} See model-agent --help.", Exit.CONFIG)
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
    click.echo(f"model-agent: {sentence}", err=True)
    sys.exit(code)
