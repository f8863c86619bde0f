"""Fetches models with huggingface_hub into a Hub cache without links. The child imports this."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import httpx
from huggingface_hub import HfApi, constants, get_session, hf_hub_url
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from agent import retry
from agent.errors import AgentError, PickleError, ReleaseMissingError, VerificationError
from agent.files.durable import writing
from agent.hub import digests
from agent.hub.explain import explain, undigested
from agent.hub.protocol import Fetched, Hashing, Note, Remote, Resolved
from agent.release import layout, paths
from agent.release.loaders import choice
from agent.release.manifest import is_pickle

if TYPE_CHECKING:
    from collections.abc import Callable

    from huggingface_hub.hf_api import RepoSibling

    from agent.hub.protocol import Event, Request
    from agent.release.loaders.selection import Selection
    from agent.release.model_ref import ModelRef
    from agent.release.wanted import Wanted
    from agent.retry import RemoteError

T = TypeVar("T")

_PARALLEL: Final = 4
_SHA_LENGTH: Final = 40
# Of `modules.json`, or the list of a model's shards.
_SMALL_BYTES: Final = 16 * 1024 * 1024
# The agent kills a child that was silent for too long: give up before that, with the reason.
_PATIENCE: Final = 0.8


class Fetcher:
    """Fetches what one request asks for.

    Args:
        request: The request.
        tell: Called with everything that happens.
    """

    def __init__(self, request: Request, tell: Callable[[Event], None]) -> None:
        self._request = request
        self._tell = tell
        self._api = HfApi()
        # For one answer, so that a second try fits into the time that the Hub has.
        self._timeout = request.seconds / 3

    def resolve(self, want: Wanted) -> Resolved:
        """Return the commit that a model is at, and the files that its loader needs.

        Raises:
            ReleaseMissingError: The Hub does not have it, or not all that its loader needs.
            PickleError: Nothing safe remains.
            VerificationError: It gives no digest for a file.
            RemoteError: The Hub does not answer.
        """
        ref = want.ref
        info = self._attempt(
            lambda: self._api.model_info(
                ref.repo, revision=ref.revision, files_metadata=True, timeout=self._timeout
            ),
            ref.repo,
            f"revision {ref.revision}",
        )
        if info.id and info.id != ref.repo:
            self._tell(Note("hub.renamed", {"repo": ref.repo, "now": info.id}))
        listed = {file.rfilename: file for file in info.siblings or ()}
        found = replace(ref, revision=_revision(info.sha, ref.repo))
        texts = {
            name: self._read(found, _remote(listed[name], ref.repo))
            for name in choice.asks(want, [*listed])
        }
        selection = choice.select(want, [*listed], texts)
        names = _allowed(want, selection, allow_pickle=self._request.allow_pickle)
        return Resolved(found, tuple(_remote(listed[name], ref.repo) for name in names))

    def fetch(self, model: Resolved) -> None:
        """Fetch the files of a model, and hold each to what the Hub says of it.

        Raises:
            VerificationError: A file is twice not what the Hub says.
            ReleaseMissingError: A file is gone.
            RemoteError: The Hub does not give it now.
        """
        home = Path(self._request.directory) / layout.repo_directory(model.ref)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for _ in pool.map(partial(self._file, model, home), model.files):
                pass
        with writing(f"{model.ref.repo} refs/main"):
            (home / "refs").mkdir(exist_ok=True)
            (home / "refs" / "main").write_text(model.ref.revision)

    def _file(self, model: Resolved, home: Path, remote: Remote) -> None:
        """Fetch one file; one that is already there with the right bytes is kept."""
        with writing(remote.path):
            self._have(model, home, remote)
        self._tell(Fetched(remote.path))

    def _have(self, model: Resolved, home: Path, remote: Remote) -> None:
        path = home / "snapshots" / model.ref.revision / remote.path
        part = home / ".part" / model.ref.revision / remote.path
        hashing = partial(self._tell, Hashing(remote.path))
        if path.is_file() and not digests.problem(path, remote, hashing):
            return
        part.parent.mkdir(parents=True, exist_ok=True)
        for last in (False, True):
            self._attempt(partial(self._get, model, remote, part), model.ref.repo, remote.path)
            problem = digests.problem(part, remote, hashing)
            if not problem:
                break
            # Never go on from wrong bytes: neither now nor in the next run.
            part.unlink()
            if last:
                raise VerificationError(
                    f"{remote.path} of {model.ref.repo} as the Hub sends it {problem}.",
                    remedy="Look at what stands between here and the Hub: a proxy, HF_ENDPOINT.",
                )
        path.parent.mkdir(parents=True, exist_ok=True)
        part.replace(path)

    def _get(self, model: Resolved, remote: Remote, part: Path) -> None:
        """Fetch the rest of a file of which a killed process, or a broken connection, left a part.

        (`hf_hub_download` starts a file from its beginning in every process.)
        """
        with writing(remote.path):
            have = part.stat().st_size if part.is_file() else 0
            if have == remote.size:
                part.touch()
                return
        headers = build_hf_headers() | {"Accept-Encoding": "identity"}
        headers |= {"Range": f"bytes={have}-"} if have else {}
        url = hf_hub_url(model.ref.repo, remote.path, revision=model.ref.revision)
        with get_session().stream("GET", url, headers=headers, timeout=self._timeout) as answer:
            hf_raise_for_status(answer)
            going_on = answer.status_code == httpx.codes.PARTIAL_CONTENT
            with writing(remote.path), part.open("ab" if going_on else "wb") as file:
                for piece in answer.iter_bytes():
                    file.write(piece)

    def _read(self, ref: ModelRef, remote: Remote) -> bytes:
        """Return a small file, by whose content others are chosen; it is verified when fetched."""
        if paths.problem(remote.path) or remote.size > _SMALL_BYTES:
            return b""
        url = hf_hub_url(ref.repo, remote.path, revision=ref.revision)

        def get() -> bytes:
            headers = build_hf_headers() | {"Accept-Encoding": "identity"}
            answer = get_session().get(url, headers=headers, timeout=self._timeout)
            hf_raise_for_status(answer)
            return answer.content

        return self._attempt(get, ref.repo, remote.path)

    def _attempt(self, call: Callable[[], T], repo: str, about: str) -> T:
        def explained() -> T:
            try:
                return call()
            except AgentError:  # of this machine's disk
                raise
            except Exception as error:  # noqa: BLE001 - the library raises whatever its parts do
                told = explain(error, repo=repo, about=about, endpoint=constants.ENDPOINT)
            raise told

        def retried(error: RemoteError, number: int) -> None:
            self._tell(Note("hub.retry", {"error": error.what, "attempt": number}))

        seconds = self._request.seconds * _PATIENCE
        return retry.attempt(explained, seconds=seconds, retried=retried)


def _revision(sha: str | None, repo: str) -> str:
    """Return a commit as the Hub names it, which becomes a directory here."""
    if sha is None or len(sha) != _SHA_LENGTH or not set(sha) <= set("0123456789abcdef"):
        raise VerificationError(
            f"The Hub gives {sha!r} for a revision of {repo}, which is no commit.",
            remedy="Check HF_ENDPOINT.",
        )
    return sha


def _remote(file: RepoSibling, repo: str) -> Remote:
    """Return what a file is held to.

    Raises:
        VerificationError: There is nothing to hold it to.
    """
    path, lfs = file.rfilename, file.lfs
    if lfs and lfs.sha256:
        return Remote(path, lfs.size, lfs.sha256)
    if not lfs and file.blob_id and file.size is not None:
        return Remote(path, file.size, blob_id=file.blob_id)
    raise undigested(f"digest for {path}", repo=repo, endpoint=constants.ENDPOINT)


def _allowed(want: Wanted, selection: Selection, *, allow_pickle: bool) -> tuple[str, ...]:
    """Return the files of a selection that is complete, and that may be made a release of."""
    repo = want.ref.repo
    if selection.missing is not None:
        raise ReleaseMissingError(
            f"{repo} on the Hub has no {selection.missing}, which {want.ref.loader} needs.",
            remedy="Pin a revision that has it, or name another model in the catalog.",
        )
    # They come from outside, and become paths here and on the share.
    if odd := next((name for name in selection.files if paths.problem(name)), None):
        raise VerificationError(
            f"{repo} on the Hub has a file {odd!r}, which {paths.problem(odd)}.",
            remedy="Name another model, or leave the file out with allow.",
        )
    pickles = [name for name in selection.files if is_pickle(name)]
    if pickles and not allow_pickle:
        raise PickleError(
            f"{repo} has its weights only as {pickles[0]}, a pickle, which runs code when loaded.",
            remedy="Name a model with safetensors, or allow it with --allow-pickle.",
        )
    return selection.files
