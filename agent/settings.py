"""All settings, parsed once, every mistake reported together.

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

# What Kubernetes injects into every pod for a Service that is called model-agent.
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
    """What one run of the agent goes by. Times are seconds, sizes bytes."""

    share: str | None = _setting(
        str, None, "Where releases live: a directory, or azurefiles://ACCOUNT/SHARE[/PREFIX]."
    )
    store: Path = _setting(Path, "/mnt/models", "The local store.")
    catalog: Path | None = _setting(
        Path, None, "TOML that says what one release must contain (built in: two models)."
    )
    marker: str = _setting(q.marker_path, "VERSION", "The marker's path on the share.")
    populate: Populate = _setting(
        q.one_of("share", "store", "never"),
        "store",
        "Where the catalog's own release goes if the share lacks it: share, store or never.",
    )
    hub_timeout: float = _setting(
        q.positive_duration, "30s", "How long the Hub may send nothing before it is given up."
    )
    optimize: bool | None = _setting(
        q.boolean, None, "Keep ONNX weights as external data, which load faster (else: catalog)."
    )
    device: str = _setting(
        devices.request, "auto", "auto, cpu, cuda or cuda:N; cuda must really run there."
    )
    warm_shapes: tuple[Shape, ...] | None = _setting(
        shapes.parse, "auto", "What a warm-up runs: texts x tokens, e.g. 1x16,32x512."
    )
    warm_timeout: float = _setting(
        q.positive_duration, "15m", "How long the models of a release may take to warm."
    )
    keep: int = _setting(q.count, "2", "Releases kept in the store.")
    poll_interval: float = _setting(
        q.positive_duration, "5s", "Time between two looks at the marker, jittered by 10 %."
    )
    reverify_interval: float = _setting(
        q.duration, "24h", "Time in which all of the active release is read again; 0s: never."
    )
    reload_url: str = _setting(
        q.worker_url, "http://127.0.0.1:8081", "The worker's admin listener, or unix:///PATH."
    )
    reload_method: Method = _setting(
        q.one_of("http", "signal", "none"),
        "http",
        "http; signal: SIGHUP to --reload-process; none where the worker cannot be told.",
    )
    reload_process: str | None = _setting(
        str, None, "The worker's process, by the name of its program or script."
    )
    reload_timeout: float = _setting(
        q.positive_duration, "120s", "From the worker's 202 to confirmed."
    )
    store_limit: int | None = _setting(q.size, None, "Bytes that the store may take, e.g. 8Gi.")
    lock_timeout: float = _setting(
        q.duration, "10m", "Wait for another agent on the same store, or the same new release."
    )
    space_cosine: float = _setting(
        q.cosine, "0.99", "Releases agree at least this much, or are another embedding space."
    )
    allow_new_space: bool = _setting(
        q.boolean,
        "false",
        "Take another embedding space: stored vectors are made anew.",
    )
    listen: tuple[str, int] = _setting(q.address, "0.0.0.0:9090", "Probes, metrics and status.")
    no_fallback: bool = _setting(q.boolean, "false", "Fail rather than use the previous release.")
    no_warm: bool = _setting(q.boolean, "false", "Activate without warming.")
    require_manifest: bool = _setting(q.boolean, "false", "Adopt no tree without a manifest.")
    allow_pickle: bool = _setting(q.boolean, "false", "Accept files that run code when loaded.")
    sign_key: Path | None = _setting(Path, None, "Sign with this private key (PEM, EC).")
    verify_key: Path | None = _setting(
        Path, None, "Refuse releases whose signature is not of this public key's owner (PEM)."
    )
    require_signature: bool = _setting(
        q.boolean, "false", "Refuse releases without a signature; needs --verify-key."
    )
    azure_endpoint: str | None = _setting(
        q.endpoint, None, "Azure Files elsewhere than https://ACCOUNT.file.core.windows.net."
    )
    azure_secret_dir: Path | None = _setting(
        Path, None, "A mounted Secret: azurestorageaccountkey, sastoken or connectionstring."
    )
    kubernetes_events: bool = _setting(
        q.boolean, "false", "Events about the pod, and an annotation with the active release."
    )
    log_format: str | None = _setting(
        q.one_of("json", "console"), None, "json, or console (the default on a terminal)."
    )

    @property
    def share_address(self) -> str:
        """The share, for what cannot do without one.

        Raises:
            ConfigError: None is set.
        """
        if self.share is None:
            raise ConfigError(
                f"--share (or {variable('share')}) is required here.",
                remedy="Say where releases live.",
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
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def parse(
    flags: Mapping[str, str | None], environ: Mapping[str, str], *, required: Iterable[str] = ()
) -> Settings:
    """Settings out of flags (by field name, None if not given) and the environment.

    Raises:
        ConfigError: Anything is wrong; every mistake is in it.
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
