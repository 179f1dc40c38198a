"""Errors of calls to the application behind the gateway."""

from gateway.http.errors import ApiError


class ApplicationAway(ApiError):
    """The application cannot be reached, or closed the connection before it answered."""

    http_status, problem_type, title = 502, "application-away", "The application does not answer"

    def __init__(self) -> None:
        super().__init__("The application behind this gateway does not answer. Try again later.")


class ApplicationSilent(ApiError):
    """The application did not begin to answer in time."""

    http_status, problem_type, title = 504, "application-silent", "The application is silent"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The application behind this gateway gave no answer within {seconds:g} s. "
            "It may have done what was asked; check before you retry."
        )
        self.seconds = seconds
