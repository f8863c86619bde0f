"""What a person reads when Azure Files cannot be used: the cause by name, and what to do."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import pytest
from azure.storage.fileshare import ShareSasPermissions

from agent import logs
from agent.errors import ConfigError, NoSpaceError, UnreachableError
from agent.shares.azurefiles import address
from agent.shares.azurefiles.credentials import Credentials
from agent.shares.azurefiles.files import Files
from agent.shares.azurefiles.service import Service
from agent.shares.azurefiles.share import AzureFilesShare
from tests.support.azure_clients import share_sas, soon
from tests.support.azure_double import ACCOUNT, KEY, Double, running_double
from tests.support.certificates import make_certificate
from tests.support.listening import Silent, listening
from tests.support.rest import identity_server
from tests.support.services import KEYED, service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

SHARE = "models"


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    """A double over http with one share."""
    with running_double(f"--share={SHARE}") as double:
        yield double


def read(endpoint: str, environ: Mapping[str, str], *, share: str = SHARE) -> bytes | None:
    """Read the marker as the agent does, but give up at once."""
    return Files(service(endpoint, share, environ), seconds=0.1).read("VERSION", 4096)


def told(endpoint: str, environ: Mapping[str, str], **more: Any) -> str:
    """The sentence and its remedy."""
    with pytest.raises(UnreachableError) as caught:
        read(endpoint, environ, **more)
    assert KEY not in str(caught.value)
    assert "sig=" not in str(caught.value)
    return str(caught.value)


def sas(double: Double, **changes: Any) -> dict[str, str]:
    """The environment of somebody who has a SAS."""
    return {"AZURE_STORAGE_SAS_TOKEN": share_sas(double, SHARE, **changes)}


@contextmanager
def failing(double: Double, **rule: Any) -> Iterator[None]:
    """Have the service answer with an error while the block runs."""
    double.fault("status", **rule, count=None)
    try:
        yield
    finally:
        double.heal()


def gateway(status: int) -> AbstractContextManager[str]:
    """Something that answers each request with a page of its own."""

    class Page(Silent, BaseHTTPRequestHandler):
        def answer(self) -> None:
            page = b"<html><title>Blocked by Web Gateway</title></html>"
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        do_GET = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

    return listening(Page)


@pytest.mark.parametrize("status", [200, 201, 204, 206, 302, 403, 404, 409])
def test_a_gateway_that_answers_for_the_service(status: int) -> None:
    """Whatever the agent asks for, its page is never taken for the share's answer."""
    with gateway(status) as url:
        files = Files(service(url, SHARE, KEYED), seconds=0.1)
        calls: list[Callable[[], object]] = [
            lambda: files.read("VERSION", 4096),
            lambda: files.size("VERSION"),
            lambda: files.entries("releases"),
            lambda: files.create("VERSION", 1),
            lambda: files.put("VERSION", 0, b"v"),
            lambda: files.delete("VERSION"),
            lambda: files.make_directory("releases"),
            lambda: files.move_directory("releases/v1", "releases/v2"),
        ]
        for call in calls:
            with pytest.raises(UnreachableError) as caught:
                call()
            assert "is not Azure Files" in caught.value.what
            assert "proxy" in caught.value.remedy


def test_a_bundle_of_certificates_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named that leads nowhere, before anything is sent."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    said = told("https://127.0.0.1:9", KEYED)
    assert said.startswith("/nowhere/ca.pem, which REQUESTS_CA_BUNDLE names, cannot be read")


def test_a_good_key_reads(double: Double) -> None:
    """With the right key a share without a marker is just that."""
    assert read(double.url, KEYED) is None


def test_a_wrong_key(double: Double) -> None:
    """The account key is not accepted: it may have been rotated."""
    text = told(double.url, {"AZURE_STORAGE_KEY": "d3Jvbmc="})
    assert "does not accept the account key" in text
    assert "rotated" in text


def test_a_wrong_share(double: Double) -> None:
    """The share does not exist."""
    assert "There is no share azurefiles://loopback/nothere" in told(
        double.url, KEYED, share="nothere"
    )


@pytest.mark.parametrize("prefix", ["no", "no/such"])
def test_a_wrong_prefix(prefix: str, double: Double) -> None:
    """The directory in the share does not exist: that is no share without a marker."""
    text = told(double.url, KEYED, share=f"{SHARE}/{prefix}")
    assert f"cannot exist on azurefiles://loopback/models/{prefix}" in text
    assert "Check the prefix in --share" in text
    files = Files(service(double.url, f"{SHARE}/{prefix}"), seconds=0.1)
    with pytest.raises(UnreachableError, match=f"no directory .*/models/{prefix}. Check the pre"):
        files.entries("")


def test_an_expired_sas(double: Double) -> None:
    """The SAS has expired: make a new one."""
    past = datetime.now(UTC) - timedelta(hours=1)
    assert "SAS for azurefiles://loopback/models has expired" in told(
        double.url, sas(double, expiry=past)
    )


AS_PEOPLE_HAVE_IT: Final[dict[str, Callable[[str], str]]] = {
    "as it is": str,
    "with its question mark": lambda token: f"?{token}",
    "quoted, as az prints it": lambda token: f'"{token}"',
    "quoted otherwise, with blanks": lambda token: f" '{token}' \n",
    "with a byte order mark": lambda token: f"\ufeff{token}\r\n",
    "the whole URL": lambda token: f"https://loopback.file.core.windows.net/models?{token}",
    "quoted URL": lambda token: f'"https://loopback.file.core.windows.net/models/?{token}"',
    "out of a page": lambda token: token.replace("&", "&amp;"),
    "decoded": unquote,
    "in two lines": lambda token: f"{token[:40]}\n{token[40:]}",
    "out of a connection string": lambda token: f"SharedAccessSignature={token}",
}


@pytest.mark.parametrize("written", AS_PEOPLE_HAVE_IT.values(), ids=AS_PEOPLE_HAVE_IT)
def test_a_sas_as_people_have_it(
    written: Callable[[str], str], double: Double, tmp_path: Path
) -> None:
    """In a variable or a file, whatever stands around it: there is one way to read it."""
    # One whose signature has a plus, which means a blank where it is not encoded.
    tokens = (share_sas(double, SHARE, expiry=soon(60 + n)) for n in range(500))
    token = next(token for token in tokens if "%2B" in token)
    assert read(double.url, {"AZURE_STORAGE_SAS_TOKEN": written(token)}) is None
    (tmp_path / "sastoken").write_text(written(token), encoding="utf-8")
    where = address.parse(f"azurefiles://{ACCOUNT}/{SHARE}")
    found = Credentials(where, tmp_path, {})
    reading = Service(where, found, endpoint=double.url, log=logs.get())
    assert Files(reading, seconds=0.1).read("VERSION", 4096) is None


def test_a_key_as_people_have_it(double: Double) -> None:
    """It is base64, which knows neither quotes nor line ends."""
    for written in (f'"{KEY}"', f"\ufeff{KEY}\n", f"{KEY[:40]}\n{KEY[40:]}"):
        assert read(double.url, {"AZURE_STORAGE_KEY": written}) is None


def test_a_sas_that_allows_too_little(double: Double) -> None:
    """The SAS has not the permission; the letters that it needs are named."""
    text = told(double.url, sas(double, permission=ShareSasPermissions(list=True)))
    assert "SAS does not allow this" in text
    assert "rcwdl" in text


def test_an_identity_without_the_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 403 for an identity names the role, and that the SMB roles are others."""
    certificate = make_certificate(tmp_path)
    with (
        running_double(f"--share={SHARE}", certificate=certificate) as tls,
        identity_server() as identity,
    ):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.ca))
        monkeypatch.setenv("IDENTITY_ENDPOINT", identity)
        monkeypatch.setenv("IDENTITY_HEADER", "loopback")
        assert read(tls.url, {}) is None
        tls.fault("forbidden", operation="GetFile")
        text = told(tls.url, {})
    assert "identity is not allowed to do this" in text
    assert "Storage File Data Privileged Reader" in text
    assert "SMB" in text


def test_keys_that_the_account_does_not_take(double: Double) -> None:
    """An account with keys switched off says so: use an identity."""
    double.fault("status", status=403, code="KeyBasedAuthenticationNotPermitted", count=1)
    assert "does not allow account keys" in told(double.url, KEYED)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (
            403,
            "AccountIsDisabled",
            "The storage account of azurefiles://loopback/models is disabled",
        ),
        (403, "ShareDisabled", "azurefiles://loopback/models is disabled"),
        (409, "ShareBeingDeleted", "azurefiles://loopback/models is being deleted"),
        (403, "InsufficientAccountPermissions", "locks and the policies of the account"),
        (400, "AccountRequiresHttps", "takes https only"),
        (403, "AuthorizationProtocolMismatch", "allows https only"),
        (403, "AuthorizationSourceIPMismatch", "does not allow the address of this machine"),
        (403, "AuthorizationServiceMismatch", "is not one for files"),
        (403, "AuthorizationResourceTypeMismatch", "does not reach what is in the share"),
        (400, "FeatureVersionMismatch", "VERSION on azurefiles://loopback/models is of a kind"),
        (409, "ReadOnlyAttribute", "VERSION on azurefiles://loopback/models is marked read-only"),
        (400, "InvalidFileOrDirectoryPathName", "VERSION is no name that a file on"),
        (409, "DeletePending", "VERSION on azurefiles://loopback/models is in use elsewhere"),
        (500, "ClientCacheFlushDelay", "is busy or throttled (500 ClientCacheFlushDelay)"),
        (
            409,
            "ShareSnapshotInProgress",
            "A snapshot of azurefiles://loopback/models is being made",
        ),
        (405, "UnsupportedHttpVerb", "refused a request about VERSION (405 UnsupportedHttpVerb)"),
    ],
)
def test_what_the_service_has_a_code_for(status: int, code: str, said: str, double: Double) -> None:
    """Each of its documented errors is told as what it is, whatever its status."""
    with failing(double, status=status, code=code):
        assert said in told(double.url, KEYED)


@pytest.mark.parametrize("status", [403, 409, 413])
@pytest.mark.parametrize("operation", ["CreateFile", "PutRange"])
def test_a_full_share(operation: str, status: int, double: Double) -> None:
    """It is a lack of room, exit 6, and at once: more tries make no room."""
    full = {"operation": operation, "status": status, "code": "ShareSizeLimitReached"}
    with failing(double, **full), pytest.raises(NoSpaceError) as caught:
        AzureFilesShare(service(double.url, SHARE)).write("VERSION", b"v1\n")
    assert "is full: its quota is reached. Raise the share's quota" in str(caught.value)


def test_a_clock_that_is_off() -> None:
    """A clock an hour behind is named, and by how much, instead of a wrong key."""
    with running_double(f"--share={SHARE}", "--clock-offset=3600") as ahead:
        text = told(ahead.url, KEYED)
    assert "The clock here is 3" in text
    assert "behind" in text


def test_a_busy_share(double: Double) -> None:
    """A share that throttles for longer than a call may take says so, with the status."""
    double.fault("throttled", count=None)
    try:
        assert "busy or throttled (429 TooManyRequests)" in told(double.url, KEYED)
    finally:
        double.heal()


def test_no_one_listens() -> None:
    """A closed port: the private endpoint, the firewall, egress to 443."""
    text = told("http://127.0.0.1:1", KEYED)
    assert "127.0.0.1:1 does not accept connections" in text
    assert "private endpoint" in text


def test_a_name_without_an_address() -> None:
    """A name that does not resolve: the account's name, the private DNS zone."""
    text = told("http://no-such-account.invalid", KEYED)
    assert "no-such-account.invalid cannot be resolved" in text
    assert "privatelink.file.core.windows.net" in text


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    """An unknown CA: REQUESTS_CA_BUNDLE."""
    with running_double(f"--share={SHARE}", certificate=make_certificate(tmp_path)) as tls:
        text = told(tls.url, KEYED)
    assert "is not trusted here" in text
    assert "REQUESTS_CA_BUNDLE" in text


def test_a_token_over_http(double: Double) -> None:
    """An identity's token is never sent in the clear: that is a mistake in the settings."""
    with pytest.raises(ConfigError, match="is sent over https only"):
        read(double.url, {})


def test_no_credential_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without key, SAS and identity, all ways to give one are named."""
    for name in ("PATH", "HOME"):  # no Azure CLI, and nobody who is logged in
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    with running_double(f"--share={SHARE}", certificate=make_certificate(tmp_path)) as tls:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.ca))
        text = told(tls.url, {})
    assert "There is no credential" in text
    assert "--azure-secret-dir" in text


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"AZURE_STORAGE_KEY": "not base64!"}, "AZURE_STORAGE_KEY is not an account key"),
        ({"AZURE_STORAGE_SAS_TOKEN": "sv=1"}, "AZURE_STORAGE_SAS_TOKEN is not a SAS token"),
        ({"AZURE_STORAGE_CONNECTION_STRING": "x"}, "is not a connection string"),
        ({"AZURE_STORAGE_CONNECTION_STRING": "AccountName=loopback"}, "has neither AccountKey"),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=other;AccountKey={KEY}"},
            "is for the account other",
        ),
    ],
)
def test_what_cannot_be_a_credential(environ: dict[str, str], said: str, double: Double) -> None:
    """A malformed credential is a mistake in the settings, named by where it stands."""
    with pytest.raises(ConfigError) as caught:
        read(double.url, environ)
    assert said in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_secret_is_read_again_when_it_changes(double: Double, tmp_path: Path) -> None:
    """A rotated key in a mounted Secret is taken at the next call, without a restart."""
    secret = tmp_path / "azurestorageaccountkey"
    secret.write_text("d3Jvbmc=\n")
    where = address.parse(f"azurefiles://{ACCOUNT}/{SHARE}")
    credentials = Credentials(where, tmp_path, {})
    files = Files(Service(where, credentials, endpoint=double.url, log=logs.get()), seconds=0.1)
    with pytest.raises(UnreachableError, match="does not accept the account key"):
        files.read("VERSION", 10)
    secret.write_text(f"{KEY}\n")
    assert files.read("VERSION", 10) is None


@pytest.mark.parametrize("made", [False, True])
def test_a_secret_that_is_missing(made: bool, double: Double, tmp_path: Path) -> None:
    """A Secret that is not mounted, or empty, is named; nothing else is tried in its place."""
    where = address.parse(f"azurefiles://{ACCOUNT}/{SHARE}")
    directory = tmp_path / "secret"
    if made:
        directory.mkdir()
    with pytest.raises(ConfigError, match="The storage secret is missing"):
        Credentials(where, directory, KEYED).read()
