"""The service as an aiohttp application."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.doubles.azure_files.call import SMB_VERSION, Call
from tests.doubles.azure_files.directory_calls import (
    create_directory,
    delete_directory,
    get_directory_metadata,
    get_directory_properties,
    list_directory,
    set_directory_metadata,
    set_directory_properties,
)
from tests.doubles.azure_files.file_calls import (
    create_file,
    delete_file,
    get_file_metadata,
    get_file_properties,
    set_file_metadata,
    set_file_properties,
)
from tests.doubles.azure_files.lease_calls import lease_file, lease_share
from tests.doubles.azure_files.moments import http_date, iso
from tests.doubles.azure_files.names import split_path
from tests.doubles.azure_files.permissions import NEEDS, operation_of
from tests.doubles.azure_files.range_calls import get_file, list_ranges, put_range
from tests.doubles.azure_files.rename_calls import rename_directory, rename_file
from tests.doubles.azure_files.resterror import (
    RestError,
    bad_header,
    code_for,
    error_body,
    message_of,
)
from tests.doubles.azure_files.share_calls import (
    create_share,
    delete_share,
    get_share_metadata,
    get_share_properties,
    set_share_metadata,
)
from tests.doubles.azure_files.signing import SignedParts, split_query
from tests.doubles.loopback.control import PREFIX, Control

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tests.doubles.azure_files.access import Gate
    from tests.doubles.azure_files.moments import Clock
    from tests.doubles.azure_files.tree import Tree

_HANDLERS: Final[dict[str, Callable[[Call], Awaitable[web.StreamResponse]]]] = {
    "CreateShare": create_share,
    "GetShareProperties": get_share_properties,
    "GetShareMetadata": get_share_metadata,
    "SetShareMetadata": set_share_metadata,
    "DeleteShare": delete_share,
    "LeaseShare": lease_share,
    "ListDirectoriesAndFiles": list_directory,
    "CreateDirectory": create_directory,
    "GetDirectoryProperties": get_directory_properties,
    "GetDirectoryMetadata": get_directory_metadata,
    "SetDirectoryMetadata": set_directory_metadata,
    "SetDirectoryProperties": set_directory_properties,
    "RenameDirectory": rename_directory,
    "DeleteDirectory": delete_directory,
    "CreateFile": create_file,
    "GetFile": get_file,
    "GetFileProperties": get_file_properties,
    "GetFileMetadata": get_file_metadata,
    "SetFileMetadata": set_file_metadata,
    "SetFileProperties": set_file_properties,
    "PutRange": put_range,
    "ListRanges": list_ranges,
    "RenameFile": rename_file,
    "DeleteFile": delete_file,
    "LeaseFile": lease_file,
}
PRESETS: Final[dict[str, dict[str, Any]]] = {
    "busy": {"kind": "status", "status": 503, "code": "ServerBusy"},
    "throttled": {"kind": "status", "status": 429, "code": "TooManyRequests"},
    "sharing_violation": {"kind": "status", "status": 409, "code": "SharingViolation"},
    "forbidden": {"kind": "status", "status": 403, "code": "AuthorizationPermissionMismatch"},
    "timed_out": {"kind": "status", "status": 500, "code": "OperationTimedOut"},
}
_UNKNOWN: Final = "Unknown"
_NEWEST: Final = "2026-10-06"
_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_SERVER: Final = "Windows-Azure-File/1.0 Microsoft-HTTPAPI/2.0"
_CLIENT_ERROR: Final = 400
_ID: Final = "azure.request-id"


class Service:
    """Answers requests to one storage account.

    Args:
        gate: Whose credentials are good.
        tree: The account's shares.
        clock: Its clock.
    """

    def __init__(self, gate: Gate, tree: Tree, clock: Clock) -> None:
        self._gate = gate
        self._tree = tree
        self._clock = clock

    def application(self) -> web.Application:
        """The application, with the control endpoint."""
        control = Control(
            operation=name_operation,
            render=self._render_fault,
            presets=PRESETS,
            range_headers=("x-ms-range", "Range"),
        )
        app = web.Application(middlewares=[control.middleware()])
        control.install(app)
        app.router.add_route("*", "/{path:.*}", self._answer)
        app.on_response_prepare.append(self._dress)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            call = self._parse(request)
            return await _HANDLERS[call.operation](call)
        except RestError as error:
            return self._render(request, error)

    def _parse(self, request: web.Request) -> Call:
        raw_path, _, raw_query = request.raw_path.partition("?")
        parameters = split_query(raw_query)
        headers = {name.lower(): value for name, value in request.headers.items()}
        dotted = headers.get("x-ms-allow-trailing-dot", "").lower() == "true"
        share, path = split_path(raw_path, keep_trailing_dot=dotted)
        operation = name_operation(request)
        if operation == _UNKNOWN:
            raise RestError("UnsupportedQueryParameter")
        self._gate.check(
            SignedParts(request.method, raw_path, parameters, headers),
            target="/".join([share, *path]),
            need=NEEDS[operation],
            now=self._clock.now(),
            secure=request.secure,
            remote=request.remote or "",
        )
        query = {name.lower(): value for name, value in parameters}
        version = _version(headers, query)
        return Call(
            request, operation, version, query, headers, share, path, self._tree, self._clock
        )

    def _render(self, request: web.Request, error: RestError) -> web.Response:
        headers = error.headers | {"x-ms-error-code": error.code}
        if request.method == "HEAD":
            return web.Response(status=error.status, reason=error.message, headers=headers)
        body = error_body(
            error.code,
            error.message,
            request_id=_request_id(request),
            time=iso(self._clock.now()),
            detail=error.detail,
        )
        headers["Content-Type"] = "application/xml"
        return web.Response(status=error.status, reason=error.message, body=body, headers=headers)

    def _render_fault(self, request: web.Request, rule: Mapping[str, Any]) -> web.StreamResponse:
        error = RestError("InternalError")
        error.status = rule["status"]
        error.code = rule.get("code") or code_for(error.status)
        error.message = rule.get("message") or message_of(error.code)
        return self._render(request, error)

    async def _dress(self, request: web.Request, response: web.StreamResponse) -> None:
        """The headers that every answer has, and none that the real ones do not have."""
        if request.path.startswith(PREFIX):
            return
        headers, version = response.headers, request.headers.get("x-ms-version", _NEWEST)
        headers["Server"] = _SERVER
        headers["Date"] = http_date(self._clock.now())
        headers["x-ms-request-id"] = _request_id(request)
        headers["x-ms-version"] = version
        client_id = request.headers.get("x-ms-client-request-id")
        if client_id and version >= SMB_VERSION:
            headers["x-ms-client-request-id"] = client_id
        if request.method == "HEAD" and response.status >= _CLIENT_ERROR:
            headers.pop("Content-Length", None)
            headers["Transfer-Encoding"] = "chunked"


def name_operation(request: web.Request) -> str:
    """The operation's name, for the control endpoint and for dispatch."""
    query = {name.lower(): value for name, value in request.query.items()}
    return operation_of(request.method, query) or _UNKNOWN


def _version(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    version = headers.get("x-ms-version") or query.get("sv") or _NEWEST
    if not _VERSION.fullmatch(version):
        raise bad_header("x-ms-version", version)
    return version


def _request_id(request: web.Request) -> str:
    if _ID not in request:
        request[_ID] = str(uuid.uuid4())
    found: str = request[_ID]
    return found
