"""tRPC's error codes, and the shape in which its clients read an error."""

from collections.abc import Mapping
from typing import Any

CODES: dict[str, tuple[int, int]] = {
    "PARSE_ERROR": (-32700, 400),
    "BAD_REQUEST": (-32600, 400),
    "UNAUTHORIZED": (-32001, 401),
    "PAYMENT_REQUIRED": (-32002, 402),
    "FORBIDDEN": (-32003, 403),
    "NOT_FOUND": (-32004, 404),
    "METHOD_NOT_SUPPORTED": (-32005, 405),
    "TIMEOUT": (-32008, 408),
    "CONFLICT": (-32009, 409),
    "PRECONDITION_FAILED": (-32012, 412),
    "PAYLOAD_TOO_LARGE": (-32013, 413),
    "UNSUPPORTED_MEDIA_TYPE": (-32015, 415),
    "UNPROCESSABLE_CONTENT": (-32022, 422),
    "PRECONDITION_REQUIRED": (-32028, 428),
    "TOO_MANY_REQUESTS": (-32029, 429),
    "CLIENT_CLOSED_REQUEST": (-32099, 499),
    "INTERNAL_SERVER_ERROR": (-32603, 500),
    "NOT_IMPLEMENTED": (-32603, 501),
    "BAD_GATEWAY": (-32603, 502),
    "SERVICE_UNAVAILABLE": (-32603, 503),
    "GATEWAY_TIMEOUT": (-32603, 504),
}
"""Each code with its number and its HTTP status. Source: the package @trpc/server 11, `rpc/codes.ts`."""

Issue = dict[str, Any]
"""What is wrong with one field, in zod's format: code, path, message and more."""


class TRPCError(Exception):
    """A refused call. `code` is one of `CODES`, `message` is for people; `headers` go with the answer.

    For an invalid input, `issues` are zod issues, `message` is their JSON, and `sentences` is the text for people.
    """

    def __init__(
        self,
        code: str,
        message: str,
        issues: tuple[Issue, ...] | None = None,
        headers: Mapping[str, str] | None = None,
        sentences: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.issues = issues
        self.headers = headers or {}
        self.sentences = sentences

    @property
    def status(self) -> int:
        """Return the HTTP status of the code."""
        return CODES[self.code][1]


def code_of(status: int) -> str:
    """Return the code of an HTTP status."""
    by_status = {http: code for code, (_, http) in CODES.items() if code != "PARSE_ERROR"}
    return by_status.get(status) or ("BAD_REQUEST" if status < 500 else "INTERNAL_SERVER_ERROR")


def shape(error: TRPCError, path: str | None, request_id: str) -> dict[str, object]:
    """Return an error as clients read it. Stack and cause stay in the log, under `request_id`."""
    number, status = CODES[error.code]
    data: dict[str, object] = {"code": error.code, "httpStatus": status}
    if path is not None:
        data["path"] = path
    data["zodError"] = _flat(error.issues) if error.issues is not None else None
    data["requestId"] = request_id
    return {"message": error.message, "code": number, "data": data}


def _flat(issues: tuple[Issue, ...]) -> dict[str, object]:
    """Group issues as zod's `flatten` does: those of the whole input, and those of each field."""
    fields: dict[str, list[str]] = {}
    for issue in issues:
        if issue["path"]:
            fields.setdefault(str(issue["path"][0]), []).append(issue["message"])
    return {"formErrors": [issue["message"] for issue in issues if not issue["path"]], "fieldErrors": fields}
