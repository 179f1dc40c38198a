"""Classifies errors of an S3 server: wrong configuration, one object, or an outage."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)

KEYS = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
REASONS = {
    "InvalidAccessKeyId": f"The storage does not know the access key. {KEYS}",
    "SignatureDoesNotMatch": f"The storage refuses the secret key. {KEYS}",
    "InvalidToken": "The storage refuses the session token. Check AWS_SESSION_TOKEN.",
    "ExpiredToken": "The session token has expired. Renew AWS_SESSION_TOKEN.",
    "AccessDenied": "The access key has no permission for this. Let it list, read, write and delete in the bucket.",
    "NoSuchBucket": "The bucket does not exist. Create it, or correct STORAGE_URL.",
    "InvalidBucketName": "The bucket has an invalid name. Correct STORAGE_URL.",
    "PermanentRedirect": "The bucket is in another region. Set `region` in STORAGE_URL.",
    "AuthorizationHeaderMalformed": "The bucket is in another region. Set `region` in STORAGE_URL.",
    "NotImplemented": "The storage lacks something that Multishot needs. Use another S3 server.",
}
BY_STATUS = {301: "PermanentRedirect", 401: "AccessDenied", 403: "AccessDenied", 501: "NotImplemented"}
AWAY = (HTTPClientError, EndpointConnectionError, ProxyConnectionError)


def fault_of(error: BotoCoreError | ClientError) -> str | None:
    """Return what is wrong with the configuration, in a sentence for operators; None: another kind of error."""
    match error:
        case SSLError():
            return "The storage's certificate cannot be verified. Trust its authority with AWS_CA_BUNDLE."
        case NoCredentialsError() | PartialCredentialsError():
            return f"There are no credentials for the storage. {KEYS}"
        case ClientError():
            known = REASONS.get(error.response.get("Error", {}).get("Code", ""))
            return known or REASONS.get(BY_STATUS.get(_status(error), ""))
        case _ if isinstance(error, AWAY):
            return None
        case _:
            return f"The storage cannot be used as it is configured: {type(error).__name__}. Correct STORAGE_URL."


def is_away(error: BotoCoreError | ClientError) -> bool:
    """Return whether the server is unreachable, overloaded or failing."""
    return fault_of(error) is None and (isinstance(error, BotoCoreError) or _status(error) >= 500 or _is_busy(error))


def _is_busy(error: ClientError) -> bool:
    return _status(error) == 429 or error.response.get("Error", {}).get("Code") in ("SlowDown", "RequestTimeout")


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
