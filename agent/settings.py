"""All settings, parsed once; all mistakes are reported together.

Every flag `--x-y` is also the environment variable `MODEL_AGENT_X_Y`; the flag wins.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from agent import quantities as q
from agent.errors import ConfigError
from agent.models import shapes
from agent.models.devices import device as devices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent.models.shapes import Shape

PREFIX: Final = "MODEL_AGENT_"

# The variables that Kubernetes sets in every pod if a Service is called model-agent.
_SERVICE_LINK = re.compile(r"MODEL_AGENT_(PORT|SERVICE_HOST|SERVICE_PORT)(_.*)?")

_METAVARS: Final[Mapping[Callable[[str], Any], str]] = {
    Path: "PATH",
    q.address: "HOST:PORT",
    q.cosine: "COSINE",
    q.count: "N",
    q.duration: "DURATION",
    q.marker_path: "PATH",
    q.positive_duration: "DURATION",
    q.size: "SIZE",
    q.worker_url: "URL",
    q.endpoint: "URL",
    devices.request: "DEVICE",
    shapes.parse: "SHAPES",
}

Method = Literal["http", "signal", "none"]
Populate = Literal["share", "store", "never"]


def _setting(parse: Callable[[str], Any], default: str | None, meaning: str) -> Any:
    metavar = _METAVARS.get(parse, "NAME")
    metadata = {"parse": parse, "default": default, "help": meaning, "metavar": metavar}
    value = parse(default) if default is not None else None
    return field(default=value, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one run of the agent; times are in seconds, sizes in bytes."""

    share: str | None = _setting(
        str, None, "The share of releases: a directory, or azurefiles://ACCOUNT/SHARE[/PREFIX]."
    )
    store: Path = _setting(Path, "/mnt/models", "The local store.")
    catalog: Path | None = _setting(
        Path, None, "TOML file with the models of one release (default: two built-in models)."
    )
    marker: str = _setting(q.marker_path, "VERSION", "The marker's path on the share.")
    populate: Populate = _setting(
        q.one_of("share", "store", "never"),
        "store",
        "Where to put the catalog's own release if the share lacks it: share, store or never.",
    )
    hub_timeout: float = _setting(
        q.positive_duration, "30s", "Time without a byte from the Hub after which it is given up."
    )
    optimize: bool | None = _setting(
        q.boolean,
        None,
        "Store ONNX weights as external data, to load faster (default: see catalog).",
    )
    device: str = _setting(
        devices.request, "auto", "auto, cpu, cuda or cuda:N; cuda fails if it does not run there."
    )
    warm_shapes: tuple[Shape, ...] | None = _setting(
        shapes.parse, "auto", "Batches that a warm-up runs: texts x tokens, e.g. 1x16,32x512."
    )
    warm_timeout: float = _setting(
        q.positive_duration, "15m", "Longest time to warm the models of a release."
    )
    keep: int = _setting(q.count, "2", "Number of releases kept in the store.")
    poll_interval: float = _setting(
        q.positive_duration, "5s", "Time between two reads of the marker, jittered by 10 %."
    )
    reverify_interval: float = _setting(
        q.duration, "24h", "Time in which all of the active release is verified again; 0s: never."
    )
    reload_url: str = _setting(
        q.worker_url, "http://127.0.0.1:8081", "The worker's admin listener, or unix:///PATH."
    )
    reload_method: Method = _setting(
        q.one_of("http", "signal", "none"),
        "http",
        "http, signal (SIGHUP to --reload-process), or none if the worker cannot be told.",
    )
    reload_process: str | None = _setting(
        str, None, "The worker's process, by the name of its program or script."
    )
    reload_timeout: float = _setting(
        q.positive_duration,
        "120s",
        "Longest time from the worker's 202 until it serves the release.",
    )
    store_limit: int | None = _setting(q.size, None, "Largest size of the store, e.g. 8Gi.")
    lock_timeout: float = _setting(
        q.duration,
        "10m",
        "Longest wait for another agent that has the store or publishes the release.",
    )
    space_cosine: float = _setting(
        q.cosine, "0.99", "Lowest cosine at which two releases share an embedding space."
    )
    allow_new_space: bool = _setting(
        q.boolean,
        "false",
        "Accept another embedding space (stored vectors must be recomputed).",
    )
    listen: tuple[str, int] = _setting(
        q.address, "0.0.0.0:9090", "Address of probes, metrics and status."
    )
    no_fallback: bool = _setting(q.boolean, "false", "Fail rather than use the previous release.")
    no_warm: bool = _setting(q.boolean, "false", "Activate without warming.")
    require_manifest: bool = _setting(q.boolean, "false", "Do not adopt trees without a manifest.")
    allow_pickle: bool = _setting(q.boolean, "false", "Accept files that run code when loaded.")
    sign_key: Path | None = _setting(Path, None, "Sign with this private key (PEM, EC).")
    verify_key: Path | None = _setting(
        Path, None, "Refuse releases whose signature does not match this public key (PEM)."
    )
    require_signature: bool = _setting(
        q.boolean, "false", "Refuse releases without a signature; needs --verify-key."
    )
    azure_endpoint: str | None = _setting(
        q.endpoint, None, "Azure Files' URL, if not https://ACCOUNT.file.core.windows.net."
    )
    azure_secret_dir: Path | None = _setting(
        Path, None, "Mounted Secret with azurestorageaccountkey, sastoken or connectionstring."
    )
    kubernetes_events: bool = _setting(
        q.boolean, "false", "Write Events about the pod, and its active release as annotation."
    )
    log_format: str | None = _setting(
        q.one_of("json", "console"), None, "json, or console (the default on a terminal)."
    )

    @property
    def share_address(self) -> str:
        """The share's address.

        Raises:
            ConfigError: No share is set.
        """
        if self.share is None:
            raise ConfigError(
                f"--share (or {variable('share')}) is required here.",
                remedy="Give the directory or the Azure Files address of the share.",
            )
        return self.share


BY_NAME: Final[Mapping[str, Field[Any]]] = {each.name: each for each in fields(Settings)}

# The settings by what they belong to: commands take them so, and docs/reference.md lists them so.
LOG: Final = ("log_format",)
STORE: Final = ("store", "store_limit", "lock_timeout")
_AZURE: Final = ("azure_endpoint", "azure_secret_dir")
_TRUST: Final = ("allow_pickle", "verify_key", "require_signature")
SHARE: Final = ("share", *_AZURE, "marker", "catalog", "require_manifest", *_TRUST)
START: Final = ("populate", "hub_timeout", "no_fallback", "no_warm")
DEVICE: Final = ("device", "warm_shapes", "warm_timeout")
SPACE: Final = ("space_cosine", "allow_new_space")
FOLLOW: Final = ("poll_interval", "reverify_interval", "listen", "kubernetes_events")
WORKER: Final = ("reload_url", "reload_method", "reload_process", "reload_timeout")
MAKE: Final = ("optimize", "sign_key")


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def parse(
    flags: Mapping[str, str | None], environ: Mapping[str, str], *, required: Iterable[str] = ()
) -> Settings:
    """Return the settings from flags (by field name, None if not given) and the environment.

    Raises:
        ConfigError: A setting is wrong; the error lists every mistake.
    """
    mistakes = _unknown(environ)
    values: dict[str, Any] = {}
    for name, each in BY_NAME.items():
        flag = flags.get(name)
        text = flag if flag is not None else environ.get(variable(name))
        called = f"--{name.replace('_', '-')}" if flag is not None else variable(name)
        if text is None or (text == "" and each.default is not MISSING and flag is None):
            continue
        try:
            values[name] = each.metadata["parse"](text)
        except ValueError as error:
            mistakes.append(f"{called} {text[:100]!r} {error}")
    missing = [name for name in required if not values.get(name)]
    if values.get("reload_method") == "signal" and not values.get("reload_process"):
        missing.append("reload_process")
    mistakes += [
        f"--{name.replace('_', '-')} (or {variable(name)}) is required" for name in missing
    ]
    if values.get("require_signature") and not values.get("verify_key"):
        mistakes.append(f"--require-signature needs --verify-key (or {variable('verify_key')})")
    if mistakes:
        raise ConfigError(
            f"The settings are wrong: {'; '.join(mistakes)}.",
            remedy="See model-agent COMMAND --help.",
        )
    return Settings(**values)


def _unknown(environ: Mapping[str, str]) -> list[str]:
    known = [variable(name) for name in BY_NAME]
    names = [n for n in environ if n.startswith(PREFIX) and n not in known]
    return [
        f"{name} is unknown{_nearest(name, known)}"
        for name in sorted(names)
        if not _SERVICE_LINK.fullmatch(name)
    ]


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f", did you mean {near[0]}" if near else ""
