"""A real SMB share: Debian's samba on the loopback, mounted by rclone.

Kernels of containers have no `cifs`; rclone speaks SMB itself and mounts by FUSE.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from tests.containers.mounting import NoMountError, mounted, want
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHARE: Final = "ml"
_CONFIG: Final = """\
[global]
server role = standalone server
smb ports = {port}
interfaces = lo
bind interfaces only = yes
disable netbios = yes
load printers = no
map to guest = Bad User
guest account = root
private dir = {room}
lock directory = {room}
state directory = {room}
cache directory = {room}
pid directory = {room}
ncalrpc dir = {room}/ncalrpc
[{share}]
path = {served}
guest ok = yes
read only = no
force user = root
"""


@contextmanager
def smb_share(served: Path, room: Path) -> Iterator[Path]:
    """Have `served` shared over SMB, and that mounted, while the block runs; give the mount.

    Args:
        served: The directory.
        room: Where the server keeps what it needs.

    Raises:
        NoMountError: That cannot be done here.
    """
    want(
        {
            "smbd (Debian: samba)": shutil.which("smbd"),
            "rclone (Debian: rclone)": shutil.which("rclone"),
        }
    )
    path = room / "mount"
    path.mkdir()
    with _server(served, room) as port:
        remote = f":smb,host=127.0.0.1,port={port},user=guest:{_SHARE}"
        flags = ("--vfs-cache-mode=off", "--dir-cache-time=30s", "--allow-other", "--read-only")
        with mounted(path, "rclone", "mount", remote, path, *flags):
            yield path


@contextmanager
def _server(served: Path, room: Path) -> Iterator[int]:
    port = _free_port()
    config = room / "smb.conf"
    config.write_text(_CONFIG.format(port=port, share=_SHARE, served=served, room=room))
    log = room / "smbd.log"
    command = ("smbd", "--foreground", "--no-process-group", "--debug-stdout", "-s", config)
    with log.open("wb") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
    try:
        until(lambda: server.poll() is not None or _answers(port))
        if server.poll() is not None:
            raise NoMountError(f"smbd ended: {log.read_text(errors='replace')[-500:]}")
        yield port
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
