"""Settings: flags, environment, defaults, and all mistakes at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import settings
from agent.errors import ConfigError
from agent.models.shapes import Shape

# The defaults of the design document.
DEFAULTS: dict[str, object] = {
    "share": None,
    "store": Path("/mnt/models"),
    "catalog": None,
    "marker": "VERSION",
    "device": "auto",
    "warm_shapes": None,
    "warm_timeout": 900.0,
    "keep": 2,
    "poll_interval": 5.0,
    "reverify_interval": 86400.0,
    "reload_url": "http://127.0.0.1:8081",
    "reload_method": "http",
    "reload_process": None,
    "reload_timeout": 120.0,
    "store_limit": None,
    "lock_timeout": 600.0,
    "populate": "store",
    "hub_timeout": 30.0,
    "optimize": None,
    "azure_endpoint": None,
    "azure_secret_dir": None,
    "space_cosine": 0.99,
    "allow_new_space": False,
    "listen": ("0.0.0.0", 9090),
    "no_fallback": False,
    "no_warm": False,
    "require_manifest": False,
    "allow_pickle": False,
    "sign_key": None,
    "verify_key": None,
    "require_signature": False,
    "kubernetes_events": False,
    "log_format": None,
}
# For each setting: a text, what it means, another text and what that means.
EXAMPLES: dict[str, tuple[str, object, str, object]] = {
    "share": ("/mnt/share", "/mnt/share", "/other", "/other"),
    "store": ("/data", Path("/data"), "relative/x", Path("relative/x")),
    "catalog": ("/c.toml", Path("/c.toml"), "d.toml", Path("d.toml")),
    "marker": ("prod/VERSION", "prod/VERSION", "CURRENT", "CURRENT"),
    "populate": ("never", "never", "share", "share"),
    "hub_timeout": ("1m", 60.0, "500ms", 0.5),
    "optimize": ("true", True, "false", False),
    "azure_endpoint": ("https://h/", "https://h", "http://127.0.0.1:1", "http://127.0.0.1:1"),
    "azure_secret_dir": ("/etc/secret", Path("/etc/secret"), "s", Path("s")),
    "device": ("cuda:1", "cuda:1", "cpu", "cpu"),
    "warm_shapes": ("1x16,32x512", (Shape(1, 16), Shape(32, 512)), "2x8", (Shape(2, 8),)),
    "warm_timeout": ("90s", 90.0, "1h", 3600.0),
    "keep": ("3", 3, "1", 1),
    "poll_interval": ("500ms", 0.5, "1m", 60.0),
    "reverify_interval": ("0s", 0.0, "7h", 25200.0),
    "reload_url": (
        "unix:///run/worker.sock",
        "unix:///run/worker.sock",
        "http://w:1/",
        "http://w:1",
    ),
    "reload_method": ("none", "none", "http", "http"),
    "reload_process": ("app.py", "app.py", "gunicorn", "gunicorn"),
    "reload_timeout": ("1m30s", 90.0, "1h", 3600.0),
    "store_limit": ("8Gi", 8 * 1024**3, "500M", 500_000_000),
    "lock_timeout": ("0s", 0.0, "2m", 120.0),
    "space_cosine": ("0.999", 0.999, "1", 1.0),
    "allow_new_space": ("true", True, "no", False),
    "listen": ("[::]:80", ("::", 80), "127.0.0.1:0", ("127.0.0.1", 0)),
    "no_fallback": ("true", True, "0", False),
    "no_warm": ("yes", True, "no", False),
    "require_manifest": ("1", True, "false", False),
    "allow_pickle": ("on", True, "off", False),
    "sign_key": ("/k.pem", Path("/k.pem"), "k", Path("k")),
    "verify_key": ("/k.pub", Path("/k.pub"), "k", Path("k")),
    "require_signature": ("off", False, "no", False),
    "kubernetes_events": ("yes", True, "no", False),
    "log_format": ("json", "json", "console", "console"),
}
# For each setting that does not take any text: one that it refuses.
MISTAKES = {
    "marker": "../VERSION",
    "populate": "sometimes",
    "hub_timeout": "0s",
    "optimize": "perhaps",
    "azure_endpoint": "files.example",
    "device": "gpu",
    "warm_shapes": "32",
    "warm_timeout": "0s",
    "keep": "0",
    "poll_interval": "0s",
    "reverify_interval": "daily",
    "reload_url": "https://worker",
    "reload_method": "sighup",
    "reload_timeout": "120",
    "store_limit": "8GB",
    "lock_timeout": "forever",
    "space_cosine": "2",
    "allow_new_space": "maybe",
    "listen": "9090",
    "no_fallback": "maybe",
    "no_warm": "maybe",
    "require_manifest": "maybe",
    "allow_pickle": "maybe",
    "require_signature": "maybe",
    "kubernetes_events": "maybe",
    "log_format": "xml",
}


def flag(name: str) -> str:
    """How the command line calls a setting."""
    return "--" + name.replace("_", "-")


def refusal(
    flags: dict[str, str | None], environ: dict[str, str], required: tuple[str, ...] = ()
) -> str:
    """The sentence that refuses them; it is one line."""
    with pytest.raises(ConfigError) as caught:
        settings.parse(flags, environ, required=required)
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) == 1
    return caught.value.what


@pytest.mark.parametrize(("name", "expected"), DEFAULTS.items())
def test_the_defaults_are_the_documented_ones(name: str, expected: object) -> None:
    """What nobody set is as the documentation says."""
    assert getattr(settings.parse({}, {}), name) == expected


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_setting_is_a_flag_and_a_variable_and_the_flag_wins(name: str) -> None:
    """Either sets it; where both do, the flag counts, and only for this setting."""
    text, value, other_text, other_value = EXAMPLES[name]
    variable = "MODEL_AGENT_" + name.upper()
    assert settings.variable(name) == variable
    by_flag = settings.parse({name: text}, {})
    by_variable = settings.parse({name: None}, {variable: text})
    assert by_flag == by_variable
    assert by_flag == settings.parse({name: text}, {variable: other_text})
    assert {n for n in DEFAULTS if getattr(by_flag, n) != DEFAULTS[n]} <= {name}
    assert getattr(by_flag, name) == value
    assert getattr(settings.parse({name: other_text}, {variable: text}), name) == other_value


def test_no_setting_is_left_out_here() -> None:
    """Every setting has its examples, and each that does not take any text a mistake."""
    assert set(EXAMPLES) == set(settings.BY_NAME)
    assert set(EXAMPLES) - set(MISTAKES) == {
        *("share", "store", "catalog", "azure_secret_dir", "reload_process"),
        *("sign_key", "verify_key"),
    }


@pytest.mark.parametrize("name", settings.BY_NAME)
def test_every_setting_says_what_it_means(name: str) -> None:
    """`--help` has a sentence for each."""
    assert settings.BY_NAME[name].metadata["help"].endswith(".")


@pytest.mark.parametrize(("name", "text"), MISTAKES.items())
def test_a_mistake_names_the_setting_where_it_was_made(name: str, text: str) -> None:
    """Who set a flag reads of the flag, who set a variable reads of the variable."""
    assert f"{flag(name)} {text!r} " in refusal({name: text}, {})
    variable = settings.variable(name)
    assert f"{variable} {text!r} " in refusal({}, {variable: text})
    assert f"{flag(name)} {text!r} " in refusal({name: text}, {variable: EXAMPLES[name][0]})


def test_a_signature_is_required_by_a_key() -> None:
    """Without a key nothing could be told from anything: that is a mistake, and is said."""
    sentence = refusal({"require_signature": "true"}, {})
    assert "--require-signature needs --verify-key (or MODEL_AGENT_VERIFY_KEY)" in sentence
    both = settings.parse({"require_signature": "true"}, {"MODEL_AGENT_VERIFY_KEY": "/k.pub"})
    assert both.require_signature


def test_a_wrong_variable_does_not_matter_where_the_flag_is_given() -> None:
    """The flag wins over a mistake too."""
    assert settings.parse({"keep": "3"}, {"MODEL_AGENT_KEEP": "many"}).keep == 3


@pytest.mark.parametrize("name", [n for n, value in DEFAULTS.items() if value is not None])
def test_an_empty_variable_is_no_variable(name: str) -> None:
    """A pod's manifest that sets one to nothing leaves the default."""
    assert getattr(settings.parse({}, {settings.variable(name): ""}), name) == DEFAULTS[name]


def test_an_empty_flag_is_a_mistake() -> None:
    """Nobody types a flag to say nothing."""
    assert "--keep ''" in refusal({"keep": ""}, {})


@given(
    st.sets(st.sampled_from(sorted(MISTAKES))),
    st.sets(st.sampled_from(sorted(MISTAKES))),
    st.sets(st.sampled_from(["MODEL_AGENT_POLL_INTERVALL", "MODEL_AGENT_X"])),
    st.booleans(),
)
def test_all_mistakes_are_told_together(
    flags: set[str], variables: set[str], unknown: set[str], with_share: bool
) -> None:
    """One look at the error is enough to correct everything."""
    given_flags: dict[str, str | None] = {name: MISTAKES[name] for name in flags}
    given_flags["share"] = "/share" if with_share else None
    environ = {settings.variable(name): MISTAKES[name] for name in variables - flags}
    environ |= dict.fromkeys(unknown, "1")
    expected = [f"{flag(name)} {MISTAKES[name]!r}" for name in flags]
    expected += [f"{settings.variable(name)} {MISTAKES[name]!r}" for name in variables - flags]
    expected += [f"{name} is unknown" for name in unknown]
    expected += [] if with_share else ["--share (or MODEL_AGENT_SHARE) is required"]
    if not expected:
        assert settings.parse(given_flags, environ, required=["share"]).share == "/share"
        return
    sentence = refusal(given_flags, environ, ("share",))
    assert all(mistake in sentence for mistake in expected)
    assert sentence.count(";") == len(expected) - 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MODEL_AGENT_POLL_INTERVALL", ", did you mean MODEL_AGENT_POLL_INTERVAL"),
        ("MODEL_AGENT_STORE_LIMITS", ", did you mean MODEL_AGENT_STORE_LIMIT"),
        ("MODEL_AGENT_RELOAD_TIMOUT", ", did you mean MODEL_AGENT_RELOAD_TIMEOUT"),
        ("MODEL_AGENT_" + "Q" * 80, ""),
    ],
)
def test_an_unknown_variable_names_the_nearest_known_one(name: str, hint: str) -> None:
    """A misspelt variable is never silently without effect."""
    assert refusal({}, {name: "1"}) == f"The settings are wrong: {name} is unknown{hint}."


@pytest.mark.parametrize(
    "name",
    [
        "MODEL_AGENT_PORT",
        "MODEL_AGENT_PORT_9090_TCP",
        "MODEL_AGENT_PORT_9090_TCP_ADDR",
        "MODEL_AGENT_PORT_9090_TCP_PORT",
        "MODEL_AGENT_PORT_9090_TCP_PROTO",
        "MODEL_AGENT_SERVICE_HOST",
        "MODEL_AGENT_SERVICE_PORT",
        "MODEL_AGENT_SERVICE_PORT_METRICS",
    ],
)
def test_what_kubernetes_injects_for_a_service_is_no_mistake(name: str) -> None:
    """A Service that is called model-agent does not keep the agent from starting."""
    assert settings.parse({}, {name: "tcp://10.0.0.1:9090"}) == settings.parse({}, {})


@pytest.mark.parametrize(
    "name",
    [
        "MODEL_AGENT_PORTS",
        "MODEL_AGENT_SERVICE",
        "MODEL_AGENT_SERVICE_HOSTNAME",
        "MODEL_AGENT_MY_PORT",
    ],
)
def test_what_only_resembles_a_service_link_is_unknown(name: str) -> None:
    """No more is tolerated than Kubernetes injects."""
    assert f"{name} is unknown" in refusal({}, {name: "1"})


def test_other_programs_variables_are_not_looked_at() -> None:
    """Only names with the agent's prefix are its business."""
    environ = {"PATH": "/bin", "model_agent_x": "1", "XMODEL_AGENT_KEEP": "many", "KEEP": "9"}
    assert settings.parse({}, environ) == settings.parse({}, {})


@pytest.mark.parametrize("environ", [{}, {"MODEL_AGENT_SHARE": ""}])
def test_what_a_command_requires_must_be_there(environ: dict[str, str]) -> None:
    """A command that reads the share says that it needs one, and how to name it."""
    sentence = refusal({"share": None}, environ, ("share",))
    assert "--share (or MODEL_AGENT_SHARE) is required" in sentence
    assert settings.parse({}, environ | {"MODEL_AGENT_SHARE": "/s"}).share_address == "/s"
    limit = refusal({}, environ, ("store_limit",))
    assert "--store-limit (or MODEL_AGENT_STORE_LIMIT) is required" in limit


def test_a_long_value_is_cut_in_the_error() -> None:
    """A mistake of a whole page stays a sentence."""
    assert len(refusal({"keep": "x" * 10_000}, {})) < 300


def test_a_signal_needs_somebody_to_go_to() -> None:
    """`--reload-method signal` without a process to signal is a mistake like any other."""
    assert "--reload-process" in refusal({"reload_method": "signal"}, {})
    given_both = {"reload_method": "signal", "reload_process": "app.py"}
    assert settings.parse(given_both, {}).reload_process == "app.py"
