"""The catalog: what one release must contain."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.release import catalog
from agent.release.catalog import Catalog, Entry, Expected
from tests.support import strategies

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = 'version = "v1"\n'
MODEL = '[[model]]\nname = "BAAI/bge"\nloader = "fastembed"\n'

# What hypothesis puts together to TOML that is nearly right, or not at all.
PIECES = st.sampled_from(
    [
        *("version", "model", "name", "loader", "expected", " = ", ".", ",", "\n", "#", "[[", "]]"),
        *("[", "]", "{", "}", '"', "'''", "v1", '"a/b"', '"fastembed"', "1", "-0x1F", "1e400"),
        *("nan", "true", "1979-05-27", "07:32:00", "\\", "\r\n", "\x00", "é", "\ud800"),
    ]
)


def entries() -> st.SearchStrategy[Entry]:
    """Entries that keep every rule."""
    expected = st.builds(
        Expected,
        text=st.text(),
        first=st.lists(st.floats(-1, 1), min_size=1, max_size=3).map(tuple),
    )
    return st.builds(
        Entry,
        name=strategies.repos(),
        loader=st.sampled_from(get_args(catalog.Loader)),
        repo=st.none() | strategies.repos(),
        revision=st.none() | strategies.digests(40),
        optimize=st.none() | st.booleans(),
        expected=st.none() | expected,
    )


def catalogs() -> st.SearchStrategy[Catalog]:
    """Catalogs that keep every rule."""
    models = st.lists(entries(), min_size=1, max_size=3, unique_by=lambda e: (e.name, e.loader))
    return st.builds(Catalog, version=strategies.versions(), model=models.map(tuple))


def quote(text: str) -> str:
    """A basic string of TOML; it escapes as JSON does, and DEL as well."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def lines(entry: Entry) -> Iterator[str]:
    """The TOML of one entry."""
    yield f"[[model]]\nname = {quote(entry.name)}\nloader = {quote(entry.loader)}"
    if entry.repo is not None:
        yield f"repo = {quote(entry.repo)}"
    if entry.revision is not None:
        yield f"revision = {quote(entry.revision)}"
    if entry.optimize is not None:
        yield f"optimize = {json.dumps(entry.optimize)}"
    if entry.expected is not None:
        first = json.dumps(entry.expected.first)
        yield f"expected = {{ text = {quote(entry.expected.text)}, first = {first} }}"


def refusal(text: str) -> str:
    """The sentence that refuses the text; it is one line, and the operator's to correct."""
    with pytest.raises(ConfigError) as caught:
        catalog.parse(text, where="my.toml")
    error = caught.value
    assert (error.exit_code, error.blames_release) == (2, False)
    assert error.what.startswith("The catalog my.toml is refused: ")
    assert len(str(error).splitlines()) == 1
    assert error.__cause__ is None
    return error.what


@given(catalogs())
@settings(max_examples=40)
def test_what_is_written_is_read(written: Catalog) -> None:
    """Every field of a catalog is what its TOML says, and what is not said is left to loaders."""
    text = [f"version = {quote(written.version)}"]
    text += [line for entry in written.model for line in lines(entry)]
    assert catalog.parse("\n".join(text), where="here") == written


def test_the_built_in_catalog_holds_the_two_documented_models() -> None:
    """Without a catalog of his own an operator gets the models that the workers ask for."""
    text = (resources.files("agent.release") / "catalog.toml").read_text()
    found = catalog.parse(text, where="built in")
    assert {(entry.name, entry.loader) for entry in found.model} == {
        ("BAAI/bge-large-en-v1.5", "fastembed"),
        ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers"),
    }
    assert all(entry.revision for entry in found.model)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "version", id="empty"),
        pytest.param("version = \n", "line 1", id="broken"),
        pytest.param('version = "v1"\nversion = "v2"\n', "line 2", id="key-twice"),
        pytest.param("\x00", "line 1", id="nul"),
        pytest.param(MODEL, "version", id="no-version"),
        pytest.param("version = 2026-11-23\n" + MODEL, "version", id="date-without-quotes"),
        pytest.param('version = "../v1"\n' + MODEL, "version is '../v1'", id="bad-version"),
        pytest.param(HEAD, "model", id="no-model"),
        pytest.param(HEAD + "model = []", "no [[model]]", id="empty-models"),
        pytest.param(HEAD + "[model]\nname = 1", "model", id="one-bracket"),
        pytest.param(HEAD + MODEL + "dim = 3", "dim", id="unknown-field"),
        pytest.param(HEAD + "surprise = 1\n" + MODEL, "surprise", id="unknown-field-at-the-top"),
        pytest.param(HEAD + '[[model]]\nloader = "fastembed"', "name", id="no-name"),
        pytest.param(HEAD + '[[model]]\nname = "a/b"', "loader", id="no-loader"),
        pytest.param(
            HEAD + MODEL.replace("fastembed", "ollama"),
            "'ollama'",
            id="unknown-loader",
        ),
        pytest.param(HEAD + MODEL.replace("BAAI/bge", "bge"), "name", id="name-without-its-org"),
        pytest.param(HEAD + MODEL.replace("BAAI/bge", "../bge"), "name", id="traversing-name"),
        pytest.param(HEAD + MODEL.replace("BAAI/bge", "a/b/c"), "name", id="name-too-deep"),
        pytest.param(HEAD + MODEL.replace("BAAI/bge", "a/.."), "name", id="name-ends-in-dots"),
        pytest.param(HEAD + MODEL.replace("BAAI/bge", "a/b\\n"), "name", id="name-with-newline"),
        pytest.param(HEAD + MODEL + 'repo = "b"', "repo", id="bad-repo"),
        pytest.param(HEAD + MODEL + 'revision = "main"', "revision", id="branch-for-revision"),
        pytest.param(HEAD + MODEL + "optimize = 1", "optimize", id="number-for-a-boolean"),
        pytest.param(HEAD + MODEL + "expected = {first = []}", "text", id="numbers-of-nothing"),
        pytest.param(HEAD + MODEL + "expected = {text = ''}", "first", id="text-without-numbers"),
        pytest.param(
            HEAD + MODEL + "expected = {text = '', first = ['1']}", "first", id="words-for-numbers"
        ),
        pytest.param(
            HEAD + MODEL + "expected = {text = '', first = []}", "first", id="no-numbers-at-all"
        ),
        pytest.param(
            HEAD + MODEL + "expected = {text = '', first = [], last = 1}",
            "last",
            id="inner",
        ),
        pytest.param(HEAD + MODEL * 2, "'BAAI/bge' stands twice", id="model-twice"),
        pytest.param(
            HEAD + MODEL + MODEL.replace("BAAI", "baai"), "stands twice", id="model-in-another-case"
        ),
        pytest.param(
            HEAD + MODEL.replace("fastembed", "huggingface") + 'allow = [""]',
            "allow has an empty pattern",
            id="empty-pattern",
        ),
        pytest.param(
            HEAD + MODEL + 'allow = ["*.json"]', "allow is for the loader huggingface", id="allow"
        ),
        pytest.param("a = " + "[" * 5000, "", id="deep"),
        pytest.param("a = " + "1" * 5000, "", id="5000-digits"),
        pytest.param('version = "\ud800"', "", id="lone-surrogate"),
    ],
)
def test_a_broken_catalog_is_refused(text: str, reason: str) -> None:
    """Whatever is wrong is told as one sentence that names the field or the line."""
    assert reason in refusal(text)


def test_one_model_may_be_there_for_two_loaders() -> None:
    """The same name under two loaders is two models."""
    text = HEAD + MODEL + MODEL.replace("fastembed", "sentence-transformers")
    loaders = [entry.loader for entry in catalog.parse(text, where="here").model]
    assert loaders == ["fastembed", "sentence-transformers"]


@given(st.text() | st.lists(PIECES, max_size=20).map("".join))
def test_no_text_crashes_the_reader(text: str) -> None:
    """Any text is refused as a catalog that the operator must correct."""
    refusal(text)


@given(st.integers(0, len(HEAD + MODEL)), st.lists(PIECES, max_size=3).map("".join))
def test_no_slip_of_the_pen_crashes_the_reader(at: int, slip: str) -> None:
    """A catalog with anything put into it is sound or refused."""
    whole = HEAD + MODEL
    text = whole[:at] + slip + whole[at:]
    try:
        found = catalog.parse(text, where="here")
    except ConfigError:
        return
    assert found.model


def test_the_loaders_that_there_are() -> None:
    """They are listed where one is named that is none."""
    with pytest.raises(ConfigError) as caught:
        catalog.parse(HEAD + MODEL.replace("fastembed", "ollama"), where="my.toml")
    assert "fastembed or sentence-transformers or huggingface" in caught.value.remedy
