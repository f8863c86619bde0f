"""Who is let in, and in which words the others are kept out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.storage.fileshare import AccountSasPermissions, ResourceTypes, ShareSasPermissions

from tests.support.azure_clients import (
    StaticToken,
    account_sas,
    code_of,
    key_credential,
    share_client,
    share_sas,
    soon,
)
from tests.support.azure_double import running_double

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.storage.fileshare import ShareClient

    from tests.support.azure_double import Double
    from tests.support.certificates import Certificate

WRONG_KEY: Final = "d3Jvbmc="
# An hour is more than the fifteen minutes that the service allows.
AHEAD: Final = "--clock-offset=3600"


@pytest.fixture(scope="module")
def strict_double(certificate: Certificate) -> Iterator[Double]:
    """A double that knows one bearer token."""
    with running_double("--token=good", "--share=data", certificate=certificate) as double:
        yield double


def refusal(double: Double, share: str, credential: Any, **options: Any) -> HttpResponseError:
    """How a client with this credential fails to list a share."""
    with (
        share_client(double, share, credential, **options) as client,
        pytest.raises(HttpResponseError) as refused,
    ):
        list(client.list_directories_and_files())
    return refused.value


def test_wrong_key(double: Double, share_name: str) -> None:
    """A signature by another key is refused, and the answer shows what was to be signed."""
    wrong = AzureNamedKeyCredential(double.account, WRONG_KEY)
    error = refusal(double, share_name, wrong)
    assert (error.status_code, code_of(error)) == (403, "AuthenticationFailed")
    assert f"/{double.account}/{share_name}" in str(error)


def test_wrong_account(double: Double, share_name: str) -> None:
    """Another account's name is refused, though the key is right."""
    wrong = AzureNamedKeyCredential("other", double.key)
    assert code_of(refusal(double, share_name, wrong)) == "AuthenticationFailed"


def test_clock_skew() -> None:
    """A request dated more than fifteen minutes off is refused in words that say so."""
    with running_double(AHEAD, "--share=data") as double:
        error = refusal(double, "data", key_credential(double))
        assert code_of(error) == "AuthenticationFailed"
        assert "Request date header too old" in str(error)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expiry": soon(-1)}, "AuthenticationFailed"),
        ({"start": soon(10)}, "AuthenticationFailed"),
        ({"permission": ShareSasPermissions(read=True)}, "AuthorizationPermissionMismatch"),
        ({"protocol": "https"}, "AuthorizationProtocolMismatch"),
        ({"ip": "10.0.0.1-10.0.0.9"}, "AuthorizationSourceIPMismatch"),
        ({"policy_id": "policy"}, "AuthenticationFailed"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_share_sas_limits(
    double: Double, keyed: ShareClient, changes: dict[str, Any], code: str
) -> None:
    """A service SAS is good for its share, time, permissions, protocol and addresses only."""
    sas = share_sas(double, keyed.share_name, **changes)
    assert code_of(refusal(double, keyed.share_name, sas)) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"resource_types": ResourceTypes(object=True)}, "AuthorizationResourceTypeMismatch"),
        ({"services": "b"}, "AuthorizationServiceMismatch"),
        ({"permission": AccountSasPermissions(read=True)}, "AuthorizationPermissionMismatch"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_account_sas_limits(
    double: Double, keyed: ShareClient, changes: dict[str, Any], code: str
) -> None:
    """An account SAS is good for its services, resource types and permissions only."""
    sas = account_sas(double, **changes)
    assert code_of(refusal(double, keyed.share_name, sas)) == code


def test_sas_of_another_share(double: Double, keyed: ShareClient) -> None:
    """A service SAS opens no other share, and none opens with a letter of it changed."""
    elsewhere = share_sas(double, "elsewhere")
    assert code_of(refusal(double, keyed.share_name, elsewhere)) == "AuthenticationFailed"
    more = share_sas(double, keyed.share_name, permission="r").replace("sp=r", "sp=rl")
    assert code_of(refusal(double, keyed.share_name, more)) == "AuthenticationFailed"


def test_share_sas_makes_no_share(double: Double, share_name: str) -> None:
    """A service SAS never allows operations on the share itself."""
    with (
        share_client(double, share_name, share_sas(double, share_name)) as client,
        pytest.raises(HttpResponseError) as refused,
    ):
        client.create_share()
    assert code_of(refused.value) == "AuthorizationFailure"


def test_bearer_token(strict_double: Double) -> None:
    """The known token is good with its intent; another one, or none, is a 401 that says where."""
    good = share_client(strict_double, "data", StaticToken("good"), token_intent="backup")
    with good as client:
        assert list(client.list_directories_and_files()) == []
    error = refusal(strict_double, "data", StaticToken("bad"), token_intent="backup")
    assert isinstance(error, ClientAuthenticationError)
    assert (error.status_code, code_of(error)) == (401, "InvalidAuthenticationInfo")
    answer = strict_double.control.get("/data?restype=directory&comp=list")
    assert answer.status_code == 401
    assert answer.headers["x-ms-error-code"] == "NoAuthenticationInformation"
    assert re.match("Bearer authorization_uri=https://", answer.headers["WWW-Authenticate"])


def test_bearer_needs_intent(strict_double: Double) -> None:
    """A token without the header x-ms-file-request-intent is a bad request."""
    headers = {"Authorization": "Bearer good", "x-ms-version": "2025-05-05"}
    target = "/data?restype=directory&comp=list"
    answer = strict_double.control.get(target, headers=headers)
    assert answer.headers["x-ms-error-code"] == "MissingRequiredHeader"
    headers["x-ms-file-request-intent"] = "restore"
    answer = strict_double.control.get(target, headers=headers)
    assert answer.headers["x-ms-error-code"] == "InvalidHeaderValue"


def test_bearer_needs_tls(double: Double) -> None:
    """A token over plain http is refused."""
    headers = {"Authorization": "Bearer any", "x-ms-file-request-intent": "backup"}
    answer = double.control.get("/data?restype=directory&comp=list", headers=headers)
    assert answer.headers["x-ms-error-code"] == "AuthenticationFailed"


def test_untrusted_certificate(tls_double: Double) -> None:
    """The certificate is the test's own: nobody trusts it unasked."""
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE"):
        httpx.get(tls_double.url, trust_env=False)
