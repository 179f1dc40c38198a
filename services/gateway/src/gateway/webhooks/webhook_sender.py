"""Sends webhooks over HTTP: to allowed addresses only, within limits, without following redirects."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx

from gateway.http.errors import FieldError, InvalidRequest
from gateway.webhooks.delivery_policy import EndpointResponse
from shared.http.public_address import GuardedNetwork, NotPublic, guarded_transport, is_neighbour

TIMEOUT_SECONDS = 15.0
EXCERPT_SECONDS = 1.0
EXCERPT_CHARACTERS = 500
MAX_URL_CHARACTERS = 2000
MAX_CONCURRENT_PER_ENDPOINT = 4
MAX_CONCURRENT_PER_OWNER = 16
"""Per process, so that a slow endpoint, or an owner with many of them, does not delay others."""

PORTS = {"https": 443, "http": 80}
OPEN_PORTS = range(1024, 65_536)
"""Ports below belong to mail servers and the like, which might interpret a request as their own protocol."""


class AddressRefused(InvalidRequest):
    """Webhooks may not be sent to this URL."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(reason, (FieldError(("body", "url"), "address", reason),))
        self.url = url
        self.reason = reason


class EndpointBusy(Exception):
    """The endpoint, or its owner, has as many requests in progress as allowed."""


@dataclass(frozen=True)
class WebhookRequest:
    """One signed request to an endpoint."""

    delivery_id: str
    endpoint_id: str
    owner: str
    url: str
    body: str
    headers: Mapping[str, str]


class WebhookSender:
    """Sends webhooks through a guarded network."""

    def __init__(self, network: GuardedNetwork) -> None:
        self.network = network
        self.transport = guarded_transport(network)
        self.in_progress: Counter[str] = Counter()

    async def check(self, url: str) -> None:
        """Raise `AddressRefused` if webhooks may not be sent to this URL."""
        parsed = _parse(url)
        # Use the raw host, because decoding an internationalised one may fail.
        host = parsed.raw_host.decode()
        inside = self.network.may_be_inside(host)
        hint = _setting_hint(host) if parsed.scheme == "http" and host else ""
        if parsed.scheme != "https" and not (parsed.scheme == "http" and inside):
            raise AddressRefused(url, f"The URL must start with https://.{hint}")
        if not host:
            raise AddressRefused(url, "The URL has no host.")
        if parsed.userinfo:
            raise AddressRefused(url, "The URL must not contain a user name or password.")
        port = parsed.port or PORTS[parsed.scheme]
        if port != PORTS[parsed.scheme] and port not in OPEN_PORTS:
            raise AddressRefused(url, f"Port {port} is not allowed. Use {OPEN_PORTS.start} or above.")
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self.network.addresses(host, port)
        except NotPublic as error:
            inside = all(is_neighbour(one) for one in error.addresses) and bool(error.addresses)
            hint = _setting_hint(host) if inside and not self.network.may_be_inside(host) else ""
            raise AddressRefused(url, f"{error}{hint}") from error
        except (OSError, TimeoutError) as error:
            raise AddressRefused(url, f"{host} could not be resolved.") from error

    async def send(self, request: WebhookRequest) -> EndpointResponse:
        """Send a request once. Raises `EndpointBusy`."""
        with self._slot(request):
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    return await self._send(request)
            except TimeoutError:
                return EndpointResponse(None, f"No response within {TIMEOUT_SECONDS:.0f} s.")
            except (NotPublic, httpx.HTTPError, httpx.InvalidURL) as error:
                return EndpointResponse(None, f"{type(error).__name__}: {error}"[:EXCERPT_CHARACTERS])

    @contextlib.contextmanager
    def _slot(self, request: WebhookRequest) -> Iterator[None]:
        limits = {
            f"endpoint {request.endpoint_id}": MAX_CONCURRENT_PER_ENDPOINT,
            f"owner {request.owner}": MAX_CONCURRENT_PER_OWNER,
        }
        if any(self.in_progress[name] >= most for name, most in limits.items()):
            raise EndpointBusy
        self.in_progress.update(limits.keys())
        try:
            yield
        finally:
            self.in_progress.subtract(limits.keys())
            for name in limits:
                if not self.in_progress[name]:
                    del self.in_progress[name]

    async def _send(self, request: WebhookRequest) -> EndpointResponse:
        headers = {
            "content-type": "application/json",
            "user-agent": "Multishot-Webhooks/1",
            "accept-encoding": "identity",
            **request.headers,
        }
        # Use the transport without a client: no redirects, no cookies.
        http_request = httpx.Request(
            "POST",
            request.url,
            content=request.body.encode(),
            headers=headers,
            extensions={"timeout": httpx.Timeout(TIMEOUT_SECONDS).as_dict()},
        )
        response = await self.transport.handle_async_request(http_request)
        try:
            return EndpointResponse(response.status_code, await _excerpt(response), _retry_after(response))
        finally:
            await response.aclose()


def _setting_hint(host: str) -> str:
    return f' To allow this host in the private network, set WEBHOOK_PRIVATE_HOSTS=["{host}"] on the server.'


def _parse(url: str) -> httpx.URL:
    if len(url) > MAX_URL_CHARACTERS:
        raise AddressRefused(url, f"The URL is longer than {MAX_URL_CHARACTERS} characters.")
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise AddressRefused(url, f"Invalid URL: {error}.") from error


async def _excerpt(response: httpx.Response) -> str:
    """Return the beginning of the body. Errors are ignored, because the status decides the outcome."""
    read = b""
    with contextlib.suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(EXCERPT_SECONDS):
            async for block in response.aiter_raw(EXCERPT_CHARACTERS):
                read += block
                if len(read) >= EXCERPT_CHARACTERS:
                    break
    return read[:EXCERPT_CHARACTERS].decode(errors="replace").replace("\x00", "�")


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() and len(value) < 10 else None
