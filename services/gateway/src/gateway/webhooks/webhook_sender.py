"""Posts webhooks: to addresses that may be posted to, within limits, and never two steps further (no redirects)."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx

from gateway.http.errors import FieldError, InvalidRequest
from gateway.webhooks.delivery_policy import Answer
from shared.http.public_address import GuardedNetwork, NotPublic, guarded_transport, is_neighbour

POST_SECONDS = 15.0
EXCERPT_SECONDS = 1.0
EXCERPT_CHARACTERS = 500
LONGEST_URL = 2000
AT_ONCE_PER_ENDPOINT = 4
AT_ONCE_PER_OWNER = 16
"""In one process: a slow endpoint, or an owner with many, must not hold up the others."""

PORTS = {"https": 443, "http": 80}
OPEN_PORTS = range(1024, 65_536)
"""Below, there are mail servers and the like, which might take a line of ours for one of theirs."""


class AddressRefused(InvalidRequest):
    """Nothing is posted to this address."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(reason, (FieldError(("body", "url"), "address", reason),))
        self.url = url
        self.reason = reason


class EndpointBusy(Exception):
    """As much as may be is on its way to this endpoint, or to others of its owner."""


@dataclass(frozen=True)
class Parcel:
    """One attempt at a webhook, ready to be posted."""

    delivery_id: str
    endpoint_id: str
    owner: str
    url: str
    body: str
    headers: Mapping[str, str]


class Courier:
    """Posts by this network."""

    def __init__(self, network: GuardedNetwork) -> None:
        self.network = network
        self.transport = guarded_transport(network)
        self.under_way: Counter[str] = Counter()

    async def check(self, url: str) -> None:
        """Raise `AddressRefused` where nothing could be posted to this URL."""
        asked = _parsed(url)
        # As it is looked up: to show it in its own letters may fail.
        host = asked.raw_host.decode()
        inside = self.network.may_be_inside(host)
        hint = _unless_inside(host) if asked.scheme == "http" and host else "."
        if asked.scheme != "https" and not (asked.scheme == "http" and inside):
            raise AddressRefused(url, f"It must begin with https://{hint}")
        if not host:
            raise AddressRefused(url, "It names no host.")
        if asked.userinfo:
            raise AddressRefused(url, "It must not carry a name or a password.")
        port = asked.port or PORTS[asked.scheme]
        if port != PORTS[asked.scheme] and port not in OPEN_PORTS:
            raise AddressRefused(url, f"Nothing is posted to port {port}.")
        try:
            async with asyncio.timeout(POST_SECONDS):
                await self.network.addresses(host, port)
        except NotPublic as place:
            inside = all(is_neighbour(one) for one in place.addresses) and bool(place.addresses)
            hint = _unless_inside(host) if inside and not self.network.may_be_inside(host) else "."
            raise AddressRefused(url, f"{str(place).rstrip('.')}{hint}") from place
        except (OSError, TimeoutError) as error:
            raise AddressRefused(url, f"{host} could not be found.") from error

    async def post(self, parcel: Parcel) -> Answer:
        """Post it once. Raises `EndpointBusy`."""
        with self._turn(parcel):
            try:
                async with asyncio.timeout(POST_SECONDS):
                    return await self._post(parcel)
            except TimeoutError:
                return Answer(None, f"It did not answer within {POST_SECONDS:.0f} s.")
            except (NotPublic, httpx.HTTPError, httpx.InvalidURL) as error:
                return Answer(None, f"{type(error).__name__}: {error}"[:EXCERPT_CHARACTERS])

    @contextlib.contextmanager
    def _turn(self, parcel: Parcel) -> Iterator[None]:
        limits = {
            f"endpoint {parcel.endpoint_id}": AT_ONCE_PER_ENDPOINT,
            f"owner {parcel.owner}": AT_ONCE_PER_OWNER,
        }
        if any(self.under_way[name] >= most for name, most in limits.items()):
            raise EndpointBusy
        self.under_way.update(limits.keys())
        try:
            yield
        finally:
            self.under_way.subtract(limits.keys())
            for name in limits:
                if not self.under_way[name]:
                    del self.under_way[name]

    async def _post(self, parcel: Parcel) -> Answer:
        headers = {
            "content-type": "application/json",
            "user-agent": "Multishot-Webhooks/1",
            "accept-encoding": "identity",
            **parcel.headers,
        }
        # The transport alone, without a client around it: no redirects, no cookies of others.
        request = httpx.Request(
            "POST",
            parcel.url,
            content=parcel.body.encode(),
            headers=headers,
            extensions={"timeout": httpx.Timeout(POST_SECONDS).as_dict()},
        )
        answer = await self.transport.handle_async_request(request)
        try:
            return Answer(answer.status_code, await _beginning(answer), _retry_after(answer))
        finally:
            await answer.aclose()


def _unless_inside(host: str) -> str:
    return f', unless this server is set to post into its own network: WEBHOOK_PRIVATE_HOSTS=["{host}"].'


def _parsed(url: str) -> httpx.URL:
    if len(url) > LONGEST_URL:
        raise AddressRefused(url, f"It is longer than {LONGEST_URL} characters.")
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise AddressRefused(url, f"It is not a URL: {error}.") from error


async def _beginning(answer: httpx.Response) -> str:
    """How the answer begins. The status is known by now; an answer that does not end changes nothing of it."""
    read = b""
    with contextlib.suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(EXCERPT_SECONDS):
            async for block in answer.aiter_raw(EXCERPT_CHARACTERS):
                read += block
                if len(read) >= EXCERPT_CHARACTERS:
                    break
    return read[:EXCERPT_CHARACTERS].decode(errors="replace").replace("\x00", "�")


def _retry_after(answer: httpx.Response) -> float | None:
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isdecimal() and len(said) < 10 else None
