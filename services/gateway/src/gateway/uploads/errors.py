"""Why an upload is refused."""

from dataclasses import replace
from uuid import UUID

from gateway.http.errors import RETRY_AFTER_SECONDS, ApiError, Problem


class UploadUnusable(ApiError):
    """The file is not what its content type says, is damaged, or has an unsuitable size in pixels."""

    http_status, problem_type, title = 422, "upload-unusable", "Upload unusable"


class UploadTooLarge(ApiError):
    """The file has more bytes than allowed."""

    http_status, problem_type, title = 413, "upload-too-large", "Upload too large"

    def __init__(self, content_type: str, limit: int) -> None:
        super().__init__(f"A file of type {content_type} has at most {limit:,} bytes.")


class UploadsBusy(ApiError):
    """So much is being uploaded at the moment that no more fits."""

    http_status, problem_type, title = 503, "uploads-busy", "Uploads busy"

    def __init__(self) -> None:
        super().__init__("Too many files are being uploaded at the moment. Try again soon.")

    def problem(self) -> Problem:
        """Return the problem, with the time to wait."""
        return replace(super().problem(), headers={"Retry-After": RETRY_AFTER_SECONDS})


class UploadTypeUnsupported(ApiError):
    """Files of this type cannot be uploaded."""

    http_status, problem_type, title = 415, "upload-type-unsupported", "Upload type unsupported"

    def __init__(self, content_type: str, supported: tuple[str, ...]) -> None:
        named = f"not {content_type}" if content_type else "which is missing"
        super().__init__(f"The content type must be one of {', '.join(supported)}, {named}.")


class UploadNotFound(ApiError):
    """There is no such upload, or it was removed."""

    http_status, problem_type, title = 404, "upload-not-found", "Upload not found"

    def __init__(self, upload_id: UUID) -> None:
        super().__init__(f"There is no upload {upload_id}.")
        self.upload_id = upload_id
