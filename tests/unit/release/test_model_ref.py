"""What files say of a model names the same one, whichever file says it."""

from __future__ import annotations

import pytest

from agent.release import catalog, manifest
from agent.release.model_ref import ModelRef
from tests.support.manifests import FULL, HEX

NAMED = 'version = "v1"\n[[model]]\nname = "BAAI/bge"\nloader = "fastembed"\n'


def test_a_model_of_a_manifest() -> None:
    """It has all four parts."""
    (model,) = manifest.parse(manifest.canonical(FULL)).models
    assert model.ref == ModelRef("BAAI/bge", "fastembed", "Qdrant/bge", HEX[:40])


@pytest.mark.parametrize(
    ("said", "repo", "revision"),
    [
        ("", "BAAI/bge", "main"),
        ('repo = "Qdrant/bge"\n', "Qdrant/bge", "main"),
        (f'revision = "{HEX[:40]}"\n', "BAAI/bge", HEX[:40]),
    ],
)
def test_an_entry_of_a_catalog(said: str, repo: str, revision: str) -> None:
    """Without a repo it is what the name says, without a revision what the branch main is."""
    (entry,) = catalog.parse(NAMED + said, where="here").model
    assert entry.ref == ModelRef("BAAI/bge", "fastembed", repo, revision)
