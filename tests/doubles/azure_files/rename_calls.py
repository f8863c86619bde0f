"""Rename File and Rename Directory, after the pages in the Microsoft REST reference."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.doubles.azure_files.call import changed
from tests.doubles.azure_files.names import split_path
from tests.doubles.azure_files.nodes import Directory, File
from tests.doubles.azure_files.resterror import RestError, bad_header

if TYPE_CHECKING:
    from aiohttp import web

    from tests.doubles.azure_files.call import Call
    from tests.doubles.azure_files.nodes import Node

_SOURCE = "x-ms-file-rename-source"


async def rename_file(call: Call) -> web.Response:
    """Rename File: atomic, also over an existing file."""
    file = call.tree.file(call.share, _source_path(call))
    file.lease.check_write(call.headers.get("x-ms-source-lease-id"), call.clock.now())
    _check_target(call, file)
    _move(call, file)
    if "x-ms-content-type" in call.headers:
        file.settings["Content-Type"] = call.headers["x-ms-content-type"]
    return changed(file, call.smb_headers(file))


async def rename_directory(call: Call) -> web.Response:
    """Rename Directory: never onto an existing directory."""
    directory = call.tree.directory(call.share, _source_path(call))
    _check_target(call, directory)
    _move(call, directory)
    return changed(directory, call.smb_headers(directory))


def _source_path(call: Call) -> tuple[str, ...]:
    text = call.needed(_SOURCE)
    dotted = call.flag("x-ms-source-allow-trailing-dot")
    share, path = split_path(urlsplit(text).path, keep_trailing_dot=dotted)
    if share != call.share:
        raise bad_header(_SOURCE, text)
    return path


def _check_target(call: Call, moved: Node) -> None:
    there = call.tree.find(call.share, call.path)
    if there is None or there is moved:
        return
    if not call.flag("x-ms-file-rename-replace-if-exists") or isinstance(moved, Directory):
        raise RestError("ResourceAlreadyExists")
    if not isinstance(there, File):
        raise RestError("ResourceTypeMismatch")
    there.lease.check_write(call.headers.get("x-ms-destination-lease-id"), call.clock.now())
    if there.smb.read_only and not call.flag("x-ms-file-rename-ignore-readonly"):
        raise RestError("ReadOnlyAttribute")


def _move(call: Call, node: Node) -> None:
    permissions = call.tree.share(call.share).permissions
    smb, metadata = node.smb.updated(call.headers, permissions, call.clock.now()), call.metadata()
    call.tree.rename(node, call.share, call.path)
    node.smb, node.metadata = smb, metadata or node.metadata
