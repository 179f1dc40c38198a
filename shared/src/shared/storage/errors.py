"""Errors of the storage."""


class ObjectMissing(Exception):
    """No object has this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"No object is stored under {key}")
        self.key = key


class ObjectDamaged(Exception):
    """The downloaded object differs from the stored one."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The checksum of {key} differs from the one it was stored with")
        self.key = key


class StorageUnavailable(ConnectionError):
    """The storage does not answer, or answers with server errors; a later attempt may succeed."""


class StorageMisconfigured(Exception):
    """The storage is configured wrongly. Retrying does not help; the message says what to change."""


class LinkInvalid(Exception):
    """The link was not signed by us, was changed, or has expired."""
