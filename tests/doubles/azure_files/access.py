"""Who may come in: Shared Key, shared access signatures, bearer tokens.

Source: "Authorize requests to Azure Storage", "Authorize with Microsoft Entra ID" (Microsoft REST
reference).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tests.doubles.azure_files.moments import parse_http_date
from tests.doubles.azure_files.resterror import RestError, bad_header, missing_header, unauthentic
from tests.doubles.azure_files.sas import check_sas
from tests.doubles.azure_files.signing import SignedParts, fits, strings_to_sign

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tests.doubles.azure_files.permissions import Need

_SKEW: Final = timedelta(minutes=15)
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_INTENT: Final = "x-ms-file-request-intent"
_CHALLENGE: Final = {
    "WWW-Authenticate": "Bearer authorization_uri="
    "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/oauth2/authorize "
    "resource_id=https://storage.azure.com"
}


@dataclass(frozen=True)
class Gate:
    """The credentials that are good.

    Attributes:
        account: The account's name.
        key: Its key.
        token: The one bearer token that is good; None: any that is well formed.
        closed: False lets everything in.
    """

    account: str
    key: bytes
    token: str | None = None
    closed: bool = True

    def check(
        self,
        parts: SignedParts,
        *,
        target: str,
        need: Need,
        now: datetime,
        secure: bool,
        remote: str,
    ) -> None:
        """Let a request in.

        Args:
            parts: What of it can be signed.
            target: The share and path that it is about, decoded.
            need: What the operation asks of a shared access signature.
            now: The service's time.
            secure: It came over https.
            remote: The address that it came from.

        Raises:
            RestError: It may not come in.
        """
        if not self.closed:
            return
        scheme, _, credentials = parts.headers.get("authorization", "").partition(" ")
        token = {name.lower(): value for name, value in parts.query}
        if scheme.lower() == "bearer":
            self._check_bearer(credentials.strip(), parts.headers, secure=secure)
        elif scheme == "SharedKey":
            self._check_key(credentials, parts, now)
        elif scheme:
            raise unauthentic(f"Authentication scheme {scheme} is not supported.")
        elif "sig" in token:
            check_sas(
                token,
                account=self.account,
                key=self.key,
                path=target,
                need=need,
                now=now,
                secure=secure,
                remote=remote,
            )
        else:
            raise RestError("NoAuthenticationInformation", headers=_CHALLENGE)

    def _check_key(self, credentials: str, parts: SignedParts, now: datetime) -> None:
        account, _, signature = credentials.partition(":")
        if account != self.account:
            raise unauthentic(f"The account {account} is not the one that is served here.")
        _check_date(parts.headers, now)
        texts = strings_to_sign(parts, self.account)
        if not fits(self.key, texts, signature):
            raise unauthentic(
                f"The MAC signature found in the HTTP request '{signature}' is not the same as any "
                f"computed signature. Server used following string to sign: '{texts[0]}'."
            )

    def _check_bearer(self, token: str, headers: Mapping[str, str], *, secure: bool) -> None:
        if not secure:
            raise unauthentic("Authentication scheme Bearer is only permitted over https.")
        good = token == self.token if self.token else bool(_TOKEN.fullmatch(token))
        if not good:
            raise RestError("InvalidAuthenticationInfo", headers=_CHALLENGE)
        if _INTENT not in headers:
            raise missing_header(_INTENT)
        if headers[_INTENT] != "backup":
            raise bad_header(_INTENT, headers[_INTENT])


def _check_date(headers: Mapping[str, str], now: datetime) -> None:
    text = headers.get("x-ms-date") or headers.get("date") or ""
    moment = parse_http_date(text)
    if moment is None:
        raise unauthentic("The Date header in the request is missing or incorrect.")
    if abs(now - moment) > _SKEW:
        age = "old" if moment < now else "new"
        raise unauthentic(f"Request date header too {age}: '{text}'")
