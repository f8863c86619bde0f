"""A stand-in for a Kubernetes API server, over HTTPS: Events, and annotations of one pod.

It answers as the real one does: objects with a `resourceVersion`, and else a `Status` with the
reason, message and code of that failure. What it refuses, and how it fails, is set by the test.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from tests.support import apirules
from tests.support.certificates import make_certificate
from tests.support.listening import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from email.message import Message
    from pathlib import Path

    from tests.support.apirules import Object
    from tests.support.certificates import Certificate

NAMESPACE: Final = "embeddings"
POD: Final = "worker-7c5d8-abcde"
UID: Final = "0b9a1d9e-6d0f-4a53-9f43-3f1f8a3a9a11"
ANNOTATION: Final = "model-agent/active-release"
# As real ones begin; the second is what the kubelet writes in the place of the first.
FIRST_TOKEN: Final = "eyJ.first"
SECOND_TOKEN: Final = "eyJ.second"

_EVENTS: Final = re.compile(rf"/apis/events\.k8s\.io/v1/namespaces/{NAMESPACE}/events(?:/([^/]+))?")
_PODS: Final = re.compile(rf"/api/v1/namespaces/{NAMESPACE}/pods/([^/]+)/status")
_PATCHES: Final = {"application/merge-patch+json", "application/strategic-merge-patch+json"}
_REASONS: Final = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "AlreadyExists",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


class StatusError(Exception):
    """A failure as the API server tells it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": _REASONS[code],
            "code": code,
        }


@dataclass
class ApiServer:
    """What it has, and how it behaves.

    Attributes:
        directory: Where its certificate and the token are, as in a pod.
        certificate: What it serves with.
        url: Where it is.
        events: The Events by name.
        annotations: Those of the pod.
        forbidden: Verbs and resources that the Role lacks, as `create events`.
        failing: Answers all with this status, if there is one.
        hanging: Whether it answers nothing.
        calls: What it was asked, with the code of each answer.
    """

    directory: Path
    certificate: Certificate
    url: str = ""
    events: dict[str, Object] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    failing: int = 0
    hanging: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    calls: list[tuple[str, str, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def token(self) -> Path:
        """The file with the token that it takes."""
        return self.directory / "token"

    def environment(self) -> dict[str, str]:
        """What a pod has that the component `events` is for, but by KUBECONFIG."""
        pod = {"POD_NAME": POD, "POD_NAMESPACE": NAMESPACE, "POD_UID": UID}
        return pod | {"KUBECONFIG": str(self.directory / "kubeconfig"), "NO_PROXY": "127.0.0.1"}

    def told(self) -> list[tuple[str, str, int]]:
        """Type, reason and count of each Event, in order."""
        found = list(self.events.values())
        return [(e["type"], e["reason"], e.get("series", {}).get("count", 1)) for e in found]

    def noted(self, reason: str) -> Object:
        """The latest Event with this reason."""
        return next(e for e in reversed(self.events.values()) if e["reason"] == reason)

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Object:
        """What it answers.

        Raises:
            StatusError: It does not do that.
        """
        if self.hanging.is_set():
            self.let_go.wait(600)
        if self.failing:
            raise StatusError(self.failing, "etcdserver: request timed out")
        if headers.get("Authorization") != f"Bearer {self.token.read_text()}":
            raise StatusError(401, "Unauthorized")
        patches = method == "PATCH"
        if patches and headers.get("Content-Type") not in _PATCHES:
            raise StatusError(415, "the body of the request was in an unknown format")
        with self.lock:
            if match := _EVENTS.fullmatch(path):
                self._let_in("patch" if patches else "create", "events", "events.k8s.io")
                return self._event(match[1], json.loads(body))
            if patches and (match := _PODS.fullmatch(path)):
                self._let_in("patch", "pods/status", "")
                return self._pod(match[1], json.loads(body))
        raise StatusError(404, "the server could not find the requested resource")

    def _let_in(self, verb: str, resource: str, group: str) -> None:
        if f"{verb} {resource}" in self.forbidden:
            user = f"system:serviceaccount:{NAMESPACE}:embeddings-worker"
            raise StatusError(
                403,
                f'{resource} is forbidden: User "{user}" cannot {verb} resource "{resource}" in '
                f'API group "{group}" in the namespace "{NAMESPACE}"',
            )

    def _event(self, name: str | None, body: Object) -> Object:
        if name is None:
            name = body["metadata"]["name"]
            faults = apirules.created(body)
            if name in self.events:
                raise StatusError(409, f'events "{name}" already exists')
        else:
            old = self.events.get(name)
            if old is None:
                raise StatusError(404, f'events.events.k8s.io "{name}" not found')
            body = apirules.merged(old, body)
            faults = apirules.updated(body, old)
        if faults:
            raise StatusError(422, f'Event.events.k8s.io "{name}" is invalid: {faults}')
        body["metadata"]["resourceVersion"] = str(len(self.calls) + 1)
        self.events[name] = body
        return body

    def _pod(self, name: str, patch: Object) -> Object:
        if name != POD:
            raise StatusError(404, f'pods "{name}" not found')
        old = {"metadata": {"name": POD, "annotations": dict(self.annotations)}}
        new = apirules.merged(old, patch)
        assert set(new) == {"metadata"}
        self.annotations = new["metadata"]["annotations"]
        return {"apiVersion": "v1", "kind": "Pod", **new}


@contextmanager
def api_server(directory: Path) -> Iterator[ApiServer]:
    """Run one on a loopback port while the block runs; its files are in `directory`."""
    directory.mkdir()
    server = ApiServer(directory, make_certificate(directory))
    listener = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    listener.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate.cert, server.certificate.key)
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    server.url = f"https://127.0.0.1:{listener.server_port}"
    _write_account(server)
    threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.let_go.set()
        listener.shutdown()
        listener.server_close()


def _write_account(server: ApiServer) -> None:
    """The files that a projected volume gives a pod, and a kubeconfig that leads to them."""
    ca = server.directory / "ca.crt"
    ca.write_bytes(server.certificate.cert.read_bytes())
    server.token.write_text(FIRST_TOKEN)
    (server.directory / "namespace").write_text(NAMESPACE)
    named = [{"name": "pod", "context": {"cluster": "pod", "user": "pod"}}]
    config = {
        "current-context": "pod",
        "contexts": named,
        "clusters": [
            {"name": "pod", "cluster": {"server": server.url, "certificate-authority": str(ca)}}
        ],
        "users": [{"name": "pod", "user": {"tokenFile": str(server.token)}}],
    }
    (server.directory / "kubeconfig").write_text(json.dumps(config))


def _titled(headers: Message) -> dict[str, str]:
    return {name.title(): value for name, value in headers.items()}


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(Silent, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._answer(201)

        def do_PATCH(self) -> None:
            self._answer(200)

        def _answer(self, code: int) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.partition("?")[0]
            answer: dict[str, Any]
            try:
                answer = server.answer(self.command, path, _titled(self.headers), body)
            except StatusError as error:
                code, answer = error.code, error.status
            server.calls.append((self.command, path, code))
            data = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
