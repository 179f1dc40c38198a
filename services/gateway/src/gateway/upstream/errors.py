"""Why the application behind the gateway gave no answer."""


class ApplicationAway(Exception):
    """The application cannot be reached, or broke off before it answered."""

    def __init__(self) -> None:
        super().__init__("The application behind this gateway does not answer. Try again later.")


class ApplicationSilent(Exception):
    """The application took a call, or had no room for it, and did not begin to answer in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The application behind this gateway gave no answer within {seconds:g} s. "
            "It may have done what was asked; look before you try again."
        )
        self.seconds = seconds
