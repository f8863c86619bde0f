"""Sessions recorded against the real service: reading them, replaying them, comparing."""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import yaml  # type: ignore[import-untyped]  # comes with huggingface-hub, without types

from tests.support.loopback import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

RECORDINGS: Final = ROOT.parent / "shared" / "azure-files-recordings"

_PER_CONNECTION: Final = {"connection", "content-length", "user-agent"}
# The account that was recorded had CORS rules at times; Vary says no more than that.
_OF_THE_ACCOUNT: Final = {"vary"}
_GUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_HTTP_DATE: Final = r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
# Headers whose values differ from run to run: only their form is compared.
FORMS: Final = {
    "date": _HTTP_DATE,
    "etag": r'"0x[0-9A-F]{15}"',
    "last-modified": _HTTP_DATE,
    "x-ms-request-id": _GUID,
    "x-ms-file-id": r"\d+",
    "x-ms-file-permission-key": r"\d+\*\d+",
    "x-ms-file-change-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z",
}
_MINTED_HEADER: Final = "x-ms-file-permission-key"


@dataclass(frozen=True)
class Asked:
    """A recorded request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """A response, recorded or replayed; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Minted:
    """What the service minted when it was recorded, and the double in its place."""

    pairs: dict[str, str] = field(default_factory=dict)

    def learn(self, recorded: Answer, replayed: Answer) -> None:
        """Note what this answer minted."""
        for old, new in zip(_minted(recorded), _minted(replayed), strict=True):
            if old:
                self.pairs[old] = new

    def replace(self, text: str) -> str:
        """`text` with what was minted replaced."""
        for old, new in self.pairs.items():
            text = text.replace(old, new)
        return text


def load(path: Path) -> list[tuple[Asked, Answer]]:
    """The interactions of one session, in order."""
    session = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [(_asked(i["request"]), _answer(i["response"])) for i in session["interactions"]]


def send(connection: http.client.HTTPConnection, asked: Asked, minted: Minted) -> Answer:
    """Send a recorded request as it was, but for what was minted."""
    headers = {name: minted.replace(value) for name, value in asked.headers.items()}
    if asked.method != "GET":
        headers["Content-Length"] = str(len(asked.body))
    connection.request(asked.method, minted.replace(asked.target), asked.body or None, headers)
    response = connection.getresponse()
    body = response.read()
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, body)


def prerequisites(session: Sequence[tuple[Asked, Answer]]) -> list[str]:
    """Targets to PUT first: the share and the directories that were there before the session."""
    made, wanted = set[str](), list[str]()
    for asked, answer in session:
        path = urlsplit(asked.target).path.strip("/").split("/")
        parents = ["/".join(path[:n]) for n in range(1, len(path))]
        # Where nothing was made or found, only the share is known to have been there.
        known = parents if answer.status < http.client.BAD_REQUEST else parents[:1]
        wanted += [p for p in known if p not in made and p not in wanted]
        made.add("/".join(path))
    return [f"/{p}?restype={'directory' if '/' in p else 'share'}" for p in wanted]


def differences(recorded: Answer, replayed: Answer) -> list[str]:
    """In what the double's answer is not the service's; empty if in nothing."""
    found = []
    if recorded.status != replayed.status:
        found.append(f"status {replayed.status}, not {recorded.status}")
    names = recorded.headers.keys() - _OF_THE_ACCOUNT
    found += [f"no header {name}" for name in names - replayed.headers.keys()]
    found += [f"a header {name}" for name in replayed.headers.keys() - names]
    for name in names & replayed.headers.keys():
        found += _header_difference(name, recorded.headers[name], replayed.headers[name])
    if _content(recorded) != _content(replayed):
        found.append(f"body {_content(replayed)!r:.300}, not {_content(recorded)!r:.300}")
    return found


def _header_difference(name: str, recorded: str, replayed: str) -> list[str]:
    form = FORMS.get(name)
    if form:
        assert re.fullmatch(form, recorded), f"the recording itself has another form: {recorded}"
        same = re.fullmatch(form, replayed) is not None
    else:
        same = recorded == replayed
    return [] if same else [f"{name}: {replayed}, not {recorded}"]


def _content(answer: Answer) -> object:
    """What of a body must be equal: all of it, but for what differs from run to run in XML."""
    if answer.headers.get("content-type") != "application/xml" or not answer.body:
        return answer.body
    root = ET.fromstring(answer.body.decode("utf-8-sig"))
    if root.tag == "Error":
        return root.findtext("Code"), (root.findtext("Message") or "").partition("\n")[0]
    entries = [
        (e.tag, e.findtext("Name"), e.findtext("Properties/Content-Length"))
        for e in root.findall("Entries/*")
    ]
    ranges = [(e.findtext("Start"), e.findtext("End")) for e in root.findall("Range")]
    attributes = {k: v for k, v in root.attrib.items() if k != "ServiceEndpoint"}
    shape = [child.tag for child in root]
    return root.tag, attributes, shape, entries, ranges, bool(root.findtext("NextMarker"))


def _minted(answer: Answer) -> list[str]:
    marker = re.search(rb"<NextMarker>([^<]+)</NextMarker>", answer.body)
    return [answer.headers.get(_MINTED_HEADER, ""), marker[1].decode() if marker else ""]


def _asked(request: Mapping[str, Any]) -> Asked:
    url = urlsplit(request["uri"])
    headers = {k: v[0] for k, v in request["headers"].items() if k.lower() not in _PER_CONNECTION}
    target = f"{url.path}?{url.query}" if url.query else url.path
    return Asked(request["method"], target, headers, _bytes(request["body"]))


def _answer(response: Mapping[str, Any]) -> Answer:
    headers = {name.lower(): values[0] for name, values in response["headers"].items()}
    return Answer(response["status"]["code"], headers, _bytes(response["body"]["string"]))


def _bytes(body: str | bytes | None) -> bytes:
    return body.encode() if isinstance(body, str) else body or b""
