"""Volumes as directories of this machine, and what containers get of them."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.quantities import size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.containers.emulation.spec import Container, PodSpec, Volume
    from tests.k8s.rendering import Manifest

# What st_blocks counts in, whatever the file system's own size of a block.
_BLOCK: Final = 512


class Volumes:
    """The volumes of one pod.

    Args:
        directory: Where those that live as long as the pod are made.
        manifests: Those that have the ConfigMaps.
        places: Directories of this machine by the names of claims and Secrets, and by the paths of
            the node, that lead to them.

    An emptyDir is a directory on disk, as it is on a node; in memory, what is written would count
    against the container's limit.

    Raises:
        ValueError: a projected volume, which would need an API server.
    """

    def __init__(
        self,
        spec: PodSpec,
        directory: Path,
        manifests: list[Manifest],
        places: Mapping[str, Path],
    ) -> None:
        self._directory = directory
        self._manifests = manifests
        self._places = places
        self._spec = spec
        self._volumes = {volume.name: volume for volume in spec.volumes}
        self._paths = {volume.name: self._path(volume) for volume in spec.volumes}

    def binds(self, container: Container) -> dict[str, dict[str, str]]:
        """A container's mounts, as the engine takes them.

        Raises:
            KeyError: a volume that is not there.
        """
        return {
            str(self._paths[mount.name]): {
                "bind": mount.mount_path,
                "mode": "ro" if mount.read_only or self._read_only(mount.name) else "rw",
            }
            for mount in container.volume_mounts
        }

    def update(self, manifests: list[Manifest]) -> None:
        """Give ConfigMaps their new content, all of it at once, as a kubelet does by a rename."""
        self._manifests = manifests
        for volume in self._volumes.values():
            if volume.config_map:
                self._write(self._paths[volume.name], volume.config_map.name)

    def over(self) -> list[str]:
        """The emptyDirs that hold more than their limit, by name."""
        limits = {v.name: v.empty_dir.size_limit for v in self._spec.volumes if v.empty_dir}
        return [name for name, limit in limits.items() if used(self._paths[name]) > size(limit)]

    def _path(self, volume: Volume) -> Path:
        if volume.projected:
            what = f"the volume {volume.name} is projected: no API server is here to make tokens"
            raise ValueError(what)
        if volume.persistent_volume_claim:
            return self._places[volume.persistent_volume_claim.claim_name]
        if volume.host_path:
            return self._places[volume.host_path.path]
        secret = volume.secret
        if secret and not (secret.optional and secret.secret_name not in self._places):
            return self._places[secret.secret_name]
        path = self._directory / volume.name
        path.mkdir()
        if volume.config_map:
            self._write(path, volume.config_map.name)
        elif not volume.secret:
            self._give(path)
        return path

    def _give(self, path: Path) -> None:
        """As a kubelet hands a volume to `fsGroup`: the group's, and what is made in it too."""
        path.chmod(0o2777)
        os.chown(path, -1, self._spec.security_context.fs_group)

    def _write(self, path: Path, name: str) -> None:
        config = next(
            doc
            for doc in self._manifests
            if doc["kind"] == "ConfigMap" and doc["metadata"]["name"] == name
        )
        version = path / f"..{secrets.token_hex(4)}"
        version.mkdir()
        for key, text in config["data"].items():
            (version / key).write_text(text)
            link = path / key
            if not link.is_symlink():
                link.symlink_to(f"..data/{key}")
        new = path / "..data_tmp"
        new.symlink_to(version.name)
        new.rename(path / "..data")

    def _read_only(self, name: str) -> bool:
        volume = self._volumes[name]
        claim = volume.persistent_volume_claim
        return bool(volume.config_map or volume.secret or (claim and claim.read_only))


def used(directory: Path) -> int:
    """The bytes that a directory takes on disk; a file with several names counts once."""
    files: dict[int, int] = {}
    for parent, _, names in os.walk(directory):
        for name in names:
            # What is renamed or removed meanwhile counts next time.
            with suppress(FileNotFoundError):
                found = (Path(parent) / name).lstat()
                files[found.st_ino] = found.st_blocks * _BLOCK
    return sum(files.values())
