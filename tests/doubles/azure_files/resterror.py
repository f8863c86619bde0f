"""Errors as the service words them: code, HTTP status, message, XML body.

Source: "Common REST API error codes", "Azure Files error codes" and "Status and error codes"
(Microsoft REST reference); codes of leases on files as seen in recorded answers.
"""

from __future__ import annotations

from html import escape
from typing import Final

BOM: Final = "\ufeff"
PROLOGUE: Final = '<?xml version="1.0" encoding="utf-8"?>'

_CODES: Final[dict[str, tuple[int, str]]] = {
    "AccountRequiresHttps": (400, "The account being accessed does not support http."),
    "AuthenticationFailed": (
        403,
        (
            "Server failed to authenticate the request. Make sure the value of Authorization "
            "header is formed correctly including the signature."
        ),
    ),
    "AuthorizationFailure": (403, "This request is not authorized to perform this operation."),
    "AuthorizationPermissionMismatch": (
        403,
        "This request is not authorized to perform this operation using this permission.",
    ),
    "AuthorizationProtocolMismatch": (
        403,
        "This request is not authorized to perform this operation using this protocol.",
    ),
    "AuthorizationResourceTypeMismatch": (
        403,
        "This request is not authorized to perform this operation using this resource type.",
    ),
    "AuthorizationServiceMismatch": (
        403,
        "This request is not authorized to perform this operation using this service.",
    ),
    "AuthorizationSourceIPMismatch": (
        403,
        "This request is not authorized to perform this operation using this source IP.",
    ),
    "CannotDeleteFileOrDirectory": (
        409,
        "The file or directory could not be deleted because it is in use by an SMB client.",
    ),
    "DirectoryNotEmpty": (409, "The specified directory is not empty."),
    "EmptyMetadataKey": (400, "The key for one of the metadata key-value pairs is empty."),
    "FileInvalidPermission": (400, "The specified file permission is not valid."),
    "FileInvalidPermissionKey": (
        400,
        "The specified file permission key does not exist in the share.",
    ),
    "InternalError": (500, "The server encountered an internal error. Please retry the request."),
    "InvalidAuthenticationInfo": (
        401,
        (
            "Server failed to authenticate the request. Please refer to the information in the "
            "www-authenticate header."
        ),
    ),
    "InvalidFileOrDirectoryPathName": (400, "The file or directory path is too long."),
    "InvalidHeaderValue": (
        400,
        "The value for one of the HTTP headers is not in the correct format.",
    ),
    "InvalidMd5": (400, "The MD5 value specified in the request is invalid."),
    "InvalidMetadata": (400, "The specified metadata is invalid. It has invalid characters."),
    "InvalidQueryParameterValue": (
        400,
        "Value for one of the query parameters specified in the request URI is invalid.",
    ),
    "InvalidRange": (
        416,
        "The range specified is invalid for the current size of the resource.",
    ),
    # Spelt as the service spells it.
    "InvalidResourceName": (400, "The specifed resource name contains invalid characters."),
    "InvalidUri": (400, "The requested URI does not represent any resource on the server."),
    "LeaseAlreadyPresent": (409, "There is already a lease present."),
    "LeaseIdMismatchWithFileOperation": (
        412,
        "The lease ID specified did not match the lease ID for the file.",
    ),
    "LeaseIdMismatchWithLeaseOperation": (
        409,
        "The lease ID specified did not match the lease ID for the file or share.",
    ),
    "LeaseIdMismatchWithShareOperation": (
        412,
        "The lease ID specified did not match the lease ID for the share.",
    ),
    "LeaseIdMissing": (
        412,
        "There is currently a lease on the resource and no lease ID was specified in the request.",
    ),
    "LeaseIsBreakingAndCannotBeAcquired": (
        409,
        (
            "The lease ID matched, but the lease is currently in breaking state and cannot be "
            "acquired until it is broken."
        ),
    ),
    "LeaseIsBreakingAndCannotBeChanged": (
        409,
        "The lease ID matched, but the lease is currently in breaking state and cannot be changed.",
    ),
    "LeaseIsBrokenAndCannotBeRenewed": (
        409,
        "The lease ID matched, but the lease has been broken explicitly and cannot be renewed.",
    ),
    "LeaseLost": (
        412,
        "A lease ID was specified, but the lease for the resource has expired.",
    ),
    "LeaseNotPresentWithFileOperation": (412, "There is currently no lease on the file."),
    "LeaseNotPresentWithLeaseOperation": (409, "There is currently no lease on the file or share."),
    "LeaseNotPresentWithShareOperation": (412, "There is currently no lease on the share."),
    "Md5Mismatch": (
        400,
        (
            "The MD5 value specified in the request did not match with the MD5 value calculated by "
            "the server."
        ),
    ),
    "MetadataTooLarge": (400, "The metadata specified exceeds the maximum allowable limit (8KB)."),
    "MissingContentLengthHeader": (411, "Content-Length HTTP header is missing."),
    "MissingRequiredHeader": (
        400,
        "An HTTP header that's mandatory for this request is not specified.",
    ),
    "NoAuthenticationInformation": (
        401,
        (
            "Server failed to authenticate the request. Please refer to the information in the "
            "www-authenticate header."
        ),
    ),
    "OperationTimedOut": (500, "Operation could not be completed within the specified time."),
    "OutOfRangeInput": (400, "One of the request inputs is out of range."),
    "OutOfRangeQueryParameterValue": (
        400,
        (
            "One of the query parameters specified in the request URI is outside the permissible "
            "range."
        ),
    ),
    "ParentNotFound": (404, "The specified parent path does not exist."),
    "ReadOnlyAttribute": (
        409,
        "The specified resource is read-only and cannot be modified at this time.",
    ),
    "RequestBodyTooLarge": (
        413,
        "The request body is too large and exceeds the maximum permissible limit.",
    ),
    "ResourceAlreadyExists": (409, "The specified resource already exists."),
    "ResourceNotFound": (404, "The specified resource does not exist."),
    "ResourceTypeMismatch": (
        409,
        "The specified resource type does not match the type of the existing resource.",
    ),
    "ServerBusy": (
        503,
        "The server is currently unable to receive requests. Please retry your request.",
    ),
    "ShareAlreadyExists": (409, "The specified share already exists."),
    "ShareNotFound": (404, "The specified share does not exist."),
    "SharingViolation": (409, "The specified resource may be in use by an SMB client."),
    "TooManyRequests": (429, "Too many requests. Please retry your request later."),
    "UnsupportedHeader": (
        400,
        "One of the HTTP headers specified in the request is not supported.",
    ),
    "UnsupportedHttpVerb": (405, "The resource doesn't support the specified HTTP verb."),
    "UnsupportedQueryParameter": (
        400,
        "One of the query parameters specified in the request URI is not supported.",
    ),
}


class RestError(Exception):
    """A request that ends in an error answer.

    Args:
        code: One of the service's error codes.
        detail: Further elements of the body, such as `AuthenticationErrorDetail`.
        headers: Further headers of the answer.

    Attributes:
        code: The error code.
        status: Its HTTP status.
        message: Its message.
    """

    def __init__(
        self,
        code: str,
        *,
        detail: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.status, self.message = _CODES[code]
        self.detail = detail or {}
        self.headers = headers or {}


def bad_header(name: str, value: str) -> RestError:
    """The value of a header is not one that it can have."""
    return RestError("InvalidHeaderValue", detail={"HeaderName": name, "HeaderValue": value})


def missing_header(name: str) -> RestError:
    """A header that the operation needs is not there."""
    return RestError("MissingRequiredHeader", detail={"HeaderName": name})


def unauthentic(why: str) -> RestError:
    """The credentials prove nothing, with the reason in words."""
    return RestError("AuthenticationFailed", detail={"AuthenticationErrorDetail": why})


def code_for(status: int) -> str:
    """The code that an injected fault with this status has when it names none."""
    named = {429: "TooManyRequests", 503: "ServerBusy", 403: "AuthorizationPermissionMismatch"}
    return named.get(status, "InternalError")


def message_of(code: str) -> str:
    """The service's words for a code; the code itself where it is not one of those above."""
    return _CODES.get(code, (0, code))[1]


def error_body(
    code: str, message: str, *, request_id: str, time: str, detail: dict[str, str]
) -> bytes:
    """The XML body of an error, byte order mark included, as the service writes it."""
    elements = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in detail.items())
    text = f"{message}\nRequestId:{request_id}\nTime:{time}"
    body = f"<Error><Code>{escape(code)}</Code><Message>{escape(text)}</Message>{elements}</Error>"
    return f"{BOM}{PROLOGUE}{body}".encode()
