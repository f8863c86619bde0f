"""The doctor's reading of /proc/mounts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.doctor.judge import mounts

TEXT = r"""
rootfs / overlay rw,relatime 0 0
tmpfs /mnt tmpfs rw 0 0
//acct.file.core.windows.net/ml-models /mnt/share cifs ro,vers=3.1.1,actimeo=30,nobrl 0 0
//acct.file.core.windows.net/deep /mnt/share/deep/er cifs rw,acregmax=5,acdirmax=60 0 0
srv:/x /mnt/with\040blank\011tab\134back nfs4 ro,noac,actimeo=30 0 0
first /mnt/twice ext4 rw 0 0
second /mnt/twice ext4 ro 0 0
torn line
"""
MOUNTS = mounts.parse(TEXT)


def warnings(options: str, *, kind: str = "cifs", in_pod: bool = False, poll: float = 5) -> str:
    """What is wrong with a mount of these options."""
    (mount,) = mounts.parse(f"src /mnt/share {kind} {options} 0 0")
    found = list(mounts.judge(mount, poll_interval=poll, in_pod=in_pod))
    return " ".join(f"{f.seen} {f.remedy}" for f in found if f.level == "warn")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("/mnt/share", "//acct.file.core.windows.net/ml-models"),
        ("/mnt/share/releases", "//acct.file.core.windows.net/ml-models"),
        ("/mnt/share/deep/er/x", "//acct.file.core.windows.net/deep"),
        ("/mnt/share/deep", "//acct.file.core.windows.net/ml-models"),
        ("/mnt/shared", "tmpfs"),
        ("/mnt/with blank\ttab\\back", "srv:/x"),
        ("/mnt/twice", "second"),
        ("/home", "rootfs"),
    ],
)
def test_which_mount_a_path_lies_on(path: str, source: str) -> None:
    """The longest mount point wins, whole components only; of two on one point, the later."""
    found = mounts.holding(MOUNTS, path)
    assert found is not None
    assert found.source == source


def test_no_mount() -> None:
    """A path that no line speaks of lies on nothing known."""
    assert mounts.holding((), "/mnt") is None


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """Whatever /proc/mounts holds is read without an error."""
    for mount in mounts.parse(text):
        assert mount.cache_seconds >= 0


def test_a_good_mount() -> None:
    """A read-only mount with nobrl and a short cache is well, and says what it is."""
    (mount,) = mounts.parse("//a/s /mnt/share cifs ro,nobrl,actimeo=5 0 0")
    (found,) = mounts.judge(mount, poll_interval=5, in_pod=True)
    assert (found.level, found.seen) == ("ok", "/mnt/share is cifs of //a/s, read-only.")


def test_missing_nobrl() -> None:
    """CIFS without nobrl is warned of; other file systems have no such option."""
    assert "without nobrl" in warnings("ro")
    assert warnings("ro", kind="ext4") == warnings("ro", kind="nfs4") == ""


@pytest.mark.parametrize(
    ("options", "seconds"),
    [("actimeo=30", 30), ("acregmax=5,acdirmax=60", 60), ("acregmax=31", 31), ("actimeo=x", 0)],
)
def test_a_long_cache(options: str, seconds: int) -> None:
    """Attributes that are believed for longer than is usual, and than the poll interval."""
    said = warnings(f"ro,nobrl,{options}")
    assert (f"for {seconds} s." in said) == (seconds > 30)
    assert warnings(f"ro,nobrl,{options}", poll=60) == ""
    assert ("a new release" in warnings(f"ro,{options}", kind="nfs4")) == (seconds > 30)
    assert warnings(f"ro,noac,{options}", kind="nfs") == ""


def test_nocto() -> None:
    """An NFS client that does not ask on open may miss a marker."""
    assert "nocto" in warnings("ro,nocto", kind="nfs4")


def test_a_share_that_a_pod_can_write() -> None:
    """Read-write is warned of in a pod, and nowhere else."""
    assert "can be written" in warnings("rw,nobrl", in_pod=True)
    assert warnings("rw,nobrl") == ""


def test_a_share_that_is_not_mounted() -> None:
    """In a pod, a share on the image's own file system is no share."""
    (found,) = mounts.judge(MOUNTS[0], poll_interval=5, in_pod=True)
    assert (found.level, "Nothing is mounted" in found.seen) == ("warn", True)
    (found,) = mounts.judge(MOUNTS[0], poll_interval=5, in_pod=False)
    assert found.level == "ok"
