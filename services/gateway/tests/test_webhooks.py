"""Webhooks: what receivers get, retries, secrets, refused addresses and the API."""

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import update
from standardwebhooks import Webhook, WebhookVerificationError

from embedded.dispatcher import Dispatcher
from gateway import app as gateway_app
from gateway.access.service import Caller
from gateway.app import Gateway
from gateway.internal_messages import WebhookDue
from gateway.models import Base, WebhookDelivery, WebhookEndpoint
from gateway.retention import POLICIES
from gateway.settings import Settings
from gateway.videos.event_payloads import LIVE_NAMES
from gateway.webhooks.delivery_policy import (
    MAX_BODY_BYTES,
    RETRY_DELAYS_SECONDS,
    TYPES,
    EndpointResponse,
    body_of,
    retry_delay,
    type_of,
)
from gateway.webhooks.endpoints import MAX_PER_OWNER
from gateway.webhooks.webhook_sender import MAX_CONCURRENT_PER_ENDPOINT, AddressRefused, WebhookRequest, WebhookSender
from shared.contracts.events import SceneDelayed, StoryboardCreated, VideoFailed, VideoRequested
from shared.contracts.story import Scene
from shared.http.public_address import GuardedNetwork
from shared.messaging.message_processor import Handled, Service, process
from shared.persistence.database import now
from shared.persistence.migration_files import folder_of
from shared.persistence.unit_of_work import transaction
from shared.process.retention import Retention
from shared_testing.ports import free_port
from shared_testing.servers import delivery, eventually, migrated, published
from shared_testing.sql_server import SqlServer

ENDPOINTS = "/api/v1/webhook-endpoints"
SENDER = WebhookSender(GuardedNetwork())


@dataclass(frozen=True)
class Post:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """Return the body as a receiver reads it. Raises if it was not signed with this secret."""
        return Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """A real HTTP server. It responds with the next of `answers` (status, headers, body), then with 200."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answers: deque[tuple[int, dict[str, str], bytes]] = deque()
        self.answering = threading.Event()
        self.answering.set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.posts.append(Post(self.path, headers, body))
                receiver.answering.wait()
                status, more, text = receiver.answers.popleft() if receiver.answers else (200, {}, b"thanks")
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.answering.set()
        self.server.shutdown()
        self.server.server_close()


def use_network(gateway: Gateway, network: GuardedNetwork) -> None:
    """Replace the network of a gateway's webhooks."""
    gateway.webhook_endpoints.sender = gateway.webhook_deliveries.sender = WebhookSender(network)


@pytest.fixture
def receiver(gateway: Gateway) -> Iterator[Receiver]:
    """A receiver on this machine, which the gateway may send to."""
    use_network(gateway, GuardedNetwork(["127.0.0.1"]))
    with Receiver() as receiver:
        yield receiver


async def post_due(gateway: Gateway, service: Service[Any]) -> int:
    """Send all scheduled webhooks now. Returns the number of messages handled."""
    subscription = next(s for s in service.router.subscriptions if s.event is WebhookDue)
    due = [event for event in await published(gateway.database) if isinstance(event, WebhookDue)]
    bodies = [event.model_dump_json().encode() for event in due]
    outcomes = await asyncio.gather(
        *(process(service, subscription, delivery(subscription.consumer), body) for body in bodies)
    )
    assert set(map(type, outcomes)) <= {Handled}
    return len(due)


async def registered(api: httpx.AsyncClient, receiver: Receiver, **more: object) -> Any:
    answer = await api.post(ENDPOINTS, json={"url": receiver.url, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def fail_a_video(api: httpx.AsyncClient, gateway: Gateway, **request: object) -> str:
    """Request a video and fail it. Returns its id."""
    video_id: str = (await api.post("/api/v1/videos", json={"prompt": "a fox", **request})).json()["videoId"]
    failed = VideoFailed(video_id=UUID(video_id), stage="composer", kind="broken", reason="It broke.")
    async with transaction(gateway.database) as work:
        await gateway.projector.record(work, failed)
    return video_id


async def deliveries(api: httpx.AsyncClient, endpoint: Any, **query: Any) -> Any:
    return (await api.get(endpoint["links"]["deliveries"], params=query)).json()["data"]


# --- what is sent


async def test_a_finished_video_sends_a_webhook_whose_signature_verifies(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    endpoint = await registered(api, receiver)
    video_id = await fail_a_video(api, gateway, postId="post 7")
    await post_due(gateway, service)
    [post] = receiver.posts
    payload = post.verified(endpoint["secret"])
    assert (payload["type"], payload["data"]["videoId"], payload["data"]["status"]) == (
        "video.failed",
        video_id,
        "failed",
    )
    assert (payload["data"]["error"], payload["data"]["postId"], payload["data"]["seq"]) == ("It broke.", "post 7", 2)
    assert (await api.get(payload["data"]["links"]["self"])).json()["errorMessage"] == "It broke."
    assert datetime.fromisoformat(payload["timestamp"]).tzinfo is not None
    assert post.headers["content-type"] == "application/json"
    [sent] = await deliveries(api, endpoint)
    assert (sent["deliveryId"], sent["videoId"], sent["type"]) == (post.id, video_id, "video.failed")
    assert (sent["state"], sent["attempts"], sent["lastStatus"], sent["lastAnswer"]) == ("delivered", 1, 200, "thanks")
    assert sent["nextAt"] is None

    with pytest.raises(WebhookVerificationError):
        post.verified("whsec_" + base64.b64encode(b"x" * 32).decode())
    post.headers["webhook-id"] = str(uuid4())
    with pytest.raises(WebhookVerificationError):
        post.verified(endpoint["secret"])


async def test_an_endpoint_receives_only_its_types_and_only_new_events(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    await fail_a_video(api, gateway)
    await registered(api, receiver, types=["video.generation_started"])
    video_id = await fail_a_video(api, gateway)
    await post_due(gateway, service)
    payloads = [json.loads(post.body) for post in receiver.posts]
    assert [(one["type"], one["data"]["videoId"]) for one in payloads] == [("video.generation_started", video_id)]


async def test_webhooks_go_only_to_endpoints_of_the_video_s_owner(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    async def identify(connection: Any) -> Caller:
        return Caller(connection.headers["x-owner"], frozenset({"read", "write"}))

    gateway.access.identify = identify  # type: ignore[method-assign]
    api.headers["x-owner"] = "hen"
    hens = await registered(api, receiver)
    api.headers["x-owner"] = "fox"
    mine = await registered(api, receiver)
    video_id = await fail_a_video(api, gateway)
    await post_due(gateway, service)
    assert [post.verified(mine["secret"])["data"]["videoId"] for post in receiver.posts] == [video_id]

    assert [one["endpointId"] for one in (await api.get(ENDPOINTS)).json()["data"]] == [mine["endpointId"]]
    own = hens["links"]["self"]
    for answer in (
        await api.get(own),
        await api.get(f"{own}/deliveries"),
        await api.patch(own, json={"enabled": False}),
        await api.post(f"{own}/rotate"),
        await api.post(f"{own}/test"),
        await api.post(f"{own}/deliveries/{receiver.posts[0].id}/retry"),
        await api.delete(own),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    foreign = await api.post(f"{hens['links']['self']}/deliveries/{receiver.posts[0].id}/retry")
    assert foreign.status_code == 404
    assert (await api.post(ENDPOINTS, json={"url": receiver.url, "owner": "hen"})).status_code == 403
    assert (await api.get(mine["links"]["self"])).json()["enabled"]


async def test_events_that_arrive_before_the_request_go_only_to_the_owner(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    types = ["video.generation_started", "video.scene_processing"]
    factory_s = await registered(api, receiver, types=types, owner="factory")
    await registered(api, receiver, types=types)
    video_id = uuid4()
    delayed = SceneDelayed(video_id=video_id, scene_number=1, provider="p", kind="busy", reason="It is full.")
    async with transaction(gateway.database) as work:
        await gateway.projector.record(work, delayed)
        await gateway.projector.record_request(work, VideoRequested(video_id=video_id, prompt="a fox", owner="factory"))
    await post_due(gateway, service)
    payloads = sorted(
        (post.verified(factory_s["secret"]) for post in receiver.posts), key=lambda one: one["data"]["seq"]
    )
    assert [one["type"] for one in payloads] == ["video.scene_processing", "video.generation_started"]


async def test_a_redelivered_message_sends_nothing(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    await registered(api, receiver)
    await fail_a_video(api, gateway)
    [due] = [event for event in await published(gateway.database) if isinstance(event, WebhookDue)]
    subscription = next(s for s in service.router.subscriptions if s.event is WebhookDue)
    for message_id in ("one", "one", "another"):
        message = delivery(subscription.consumer, message_id)
        assert isinstance(await process(service, subscription, message, due.model_dump_json().encode()), Handled)
    assert len(receiver.posts) == 1


async def test_a_message_saved_by_an_earlier_version_sends_its_webhook(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    await registered(api, receiver)
    await fail_a_video(api, gateway)
    [due] = [event for event in await published(gateway.database) if isinstance(event, WebhookDue)]
    subscription = next(s for s in service.router.subscriptions if s.event is WebhookDue)
    body = json.dumps({"version": 1, "videoId": str(due.delivery_id), "turn": due.turn, "putOff": 0}).encode()
    assert isinstance(await process(service, subscription, delivery(subscription.consumer), body), Handled)
    assert len(receiver.posts) == 1


# --- retries


async def test_a_500_is_retried_with_the_same_id_and_a_new_timestamp(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    endpoint = await registered(api, receiver)
    await fail_a_video(api, gateway)
    receiver.answers.append((500, {}, b"not now \x00\xff" + b"x" * 10_000))
    await post_due(gateway, service)
    [sent] = await deliveries(api, endpoint, state="pending")
    assert (sent["attempts"], sent["lastStatus"]) == (1, 500)
    assert sent["lastAnswer"].startswith("not now ")
    assert len(sent["lastAnswer"]) <= 500
    wait = datetime.fromisoformat(sent["nextAt"]) - datetime.fromisoformat(sent["lastAt"])
    assert 4 <= wait.total_seconds() <= 6
    assert (await api.get(endpoint["links"]["self"])).json()["failingSince"] is not None

    await asyncio.sleep(1.1)  # timestamps have whole seconds
    assert await post_due(gateway, service) == 1
    first, second = receiver.posts
    assert (first.id, first.body) == (second.id, second.body)
    assert int(first.headers["webhook-timestamp"]) < int(second.headers["webhook-timestamp"])
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    second.verified(endpoint["secret"])
    [sent] = await deliveries(api, endpoint, state="delivered")
    assert sent["attempts"] == 2
    assert (await api.get(endpoint["links"]["self"])).json()["failingSince"] is None
    assert await post_due(gateway, service) == 0


async def test_a_410_disables_the_endpoint_and_fails_pending_deliveries(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    endpoint = await registered(api, receiver)
    receiver.answers.append((500, {}, b""))
    await fail_a_video(api, gateway)
    await post_due(gateway, service)
    waiting = await published(gateway.database)

    receiver.answers.append((410, {}, b"gone"))
    await fail_a_video(api, gateway)
    await post_due(gateway, service)
    shown = (await api.get(endpoint["links"]["self"])).json()
    assert (shown["enabled"], shown["disabledBecause"]) == (False, "It returned 410 Gone.")
    assert [sent["state"] for sent in await deliveries(api, endpoint)] == ["failed", "failed"]

    await fail_a_video(api, gateway)
    async with transaction(gateway.database) as work:
        for event in waiting:
            await work.emit(event)
    await post_due(gateway, service)
    assert len(receiver.posts) == 2
    assert (await api.post(f"{endpoint['links']['self']}/test")).status_code == 409
    retry = f"{endpoint['links']['deliveries']}/{receiver.posts[0].id}/retry"
    refused = await api.post(retry)
    assert (refused.status_code, "410 Gone" in refused.json()["detail"]) == (409, True)

    assert (await api.patch(endpoint["links"]["self"], json={"enabled": True})).json()["disabledBecause"] is None
    assert (await api.post(retry)).status_code == 202
    await post_due(gateway, service)
    assert [post.id for post in receiver.posts].count(receiver.posts[0].id) == 2


async def test_a_delivery_fails_after_ten_attempts_and_three_days_of_failures_disable_the_endpoint(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    endpoint = await registered(api, receiver)
    receiver.answers.extend((503, {}, b"") for _ in range(10))
    await fail_a_video(api, gateway)
    for _ in RETRY_DELAYS_SECONDS:
        assert await post_due(gateway, service) == 1
        assert (await deliveries(api, endpoint))[0]["state"] == "pending"
    # Ten attempts take three days; pretend that they did.
    async with transaction(gateway.database) as work:
        await work.session.execute(update(WebhookEndpoint).values(failing_since=now(-3.1 * 86_400)))
    await post_due(gateway, service)
    [sent] = await deliveries(api, endpoint)
    assert (sent["state"], sent["attempts"], sent["nextAt"]) == ("failed", 10, None)
    assert len({post.id for post in receiver.posts}) == 1
    shown = (await api.get(endpoint["links"]["self"])).json()
    assert (shown["enabled"], "three days" in shown["disabledBecause"]) == (False, True)
    assert await post_due(gateway, service) == 0


async def test_a_delivery_can_be_retried_by_hand_in_any_state(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    endpoint = await registered(api, receiver)
    receiver.answers.append((500, {}, b""))
    await fail_a_video(api, gateway)
    await post_due(gateway, service)
    [sent] = await deliveries(api, endpoint)
    retry = f"{endpoint['links']['deliveries']}/{sent['deliveryId']}/retry"
    answer = await api.post(retry)
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    # Both the retry and the regular attempt have a message; one of them is out of date.
    assert await post_due(gateway, service) == 2
    assert [post.id for post in receiver.posts] == [sent["deliveryId"]] * 2
    assert (await api.post(retry)).status_code == 202  # already delivered
    await post_due(gateway, service)
    assert [post.id for post in receiver.posts] == [sent["deliveryId"]] * 3
    assert (await api.post(f"{endpoint['links']['deliveries']}/{uuid4()}/retry")).status_code == 404


async def test_a_crash_before_sending_or_before_saving_the_response_loses_no_webhook(
    api: httpx.AsyncClient, gateway: Gateway, receiver: Receiver, tmp_path: Path
) -> None:
    endpoint = await registered(api, receiver)
    video_id = await fail_a_video(api, gateway)
    # The process died after the commit, before sending. Another one continues on the same database.
    receiver.answering.clear()
    again = Gateway(gateway.settings.model_copy(update={"webhook_private_hosts": ("127.0.0.1",)}))
    dispatcher = Dispatcher(tmp_path / "dead")
    dispatcher.connect([again.service(dispatcher)])
    async with dispatcher.running():
        await eventually(lambda: receiver.posts, what="a post after the restart")
    assert [sent["attempts"] for sent in await deliveries(api, endpoint)] == [0]
    # The process died after sending, before saving the response.
    receiver.answering.set()
    third = Gateway(again.settings)
    dispatcher = Dispatcher(tmp_path / "dead")
    dispatcher.connect([third.service(dispatcher)])
    async with dispatcher.running():
        await eventually(lambda: deliveries(api, endpoint, state="delivered"), what="a delivery after the restart")
    assert {post.id for post in receiver.posts} == {receiver.posts[0].id}
    assert len(receiver.posts) == 2
    assert receiver.posts[1].verified(endpoint["secret"])["data"]["videoId"] == video_id


async def test_a_slow_endpoint_does_not_delay_others(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    with Receiver() as slow:
        slow.answering.clear()
        slow_one = await registered(api, slow)
        for _ in range(MAX_CONCURRENT_PER_ENDPOINT * 2):
            await fail_a_video(api, gateway)
        quick_one = await registered(api, receiver)
        await fail_a_video(api, gateway)
        posting = asyncio.create_task(post_due(gateway, service))
        await eventually(lambda: deliveries(api, quick_one, state="delivered"))
        await eventually(lambda: len(slow.posts) == MAX_CONCURRENT_PER_ENDPOINT)
        slow.answering.set()
        await posting
        # Deferred attempts come back after increasing delays.
        while await post_due(gateway, service):
            pass
        states = [sent["state"] for sent in await deliveries(api, slow_one)]
        assert states == ["delivered"] * (MAX_CONCURRENT_PER_ENDPOINT * 2 + 1)
        assert len(slow.posts) == len({post.id for post in slow.posts})


@pytest.mark.connected
async def test_a_killed_gateway_loses_no_webhook(
    broker_url: str, sql_server: SqlServer, schema: Callable[[], str], tmp_path: Path
) -> None:
    settings = {
        "BROKER_URL": broker_url,
        "DATABASE_URL": sql_server.url(schema()),
        "STORAGE_URL": tmp_path.as_uri(),
        "MEDIA_SECRET": "secret",
        "WEBHOOK_PRIVATE_HOSTS": '["127.0.0.1"]',
        "PORT": str(free_port()),
    }
    url, command = f"http://127.0.0.1:{settings['PORT']}", Path(sys.executable).with_name("gateway")
    environment = {"PATH": os.environ["PATH"], **settings}
    async with migrated(settings["DATABASE_URL"], Base.metadata, folder_of(gateway_app.__file__)):
        pass

    async with httpx.AsyncClient(base_url=url, timeout=10) as api:

        async def ready() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await api.get("/readyz")).status_code == 200
            return False

        async def cancel_a_video() -> str:
            video = (await api.post("/api/v1/videos", json={"prompt": "a fox"})).json()
            assert (await api.post(video["links"]["cancel"], json={})).status_code == 202
            return str(video["videoId"])

        with Receiver() as receiver, (tmp_path / "log").open("wb") as log:
            receiver.answering.clear()
            first = subprocess.Popen([command], env=environment, cwd=tmp_path, stdout=log, stderr=log)
            try:
                await eventually(ready, 60, "the gateway is ready")
                endpoint = await registered(api, receiver)
                videos = {await cancel_a_video() for _ in range(MAX_CONCURRENT_PER_ENDPOINT + 2)}
                await eventually(lambda: len(receiver.posts) == MAX_CONCURRENT_PER_ENDPOINT)
                videos.add(await cancel_a_video())
            finally:
                first.kill()
                first.wait(10)
            receiver.answering.set()
            second = subprocess.Popen([command], env=environment, cwd=tmp_path, stdout=log, stderr=log)
            try:
                await eventually(ready, 60, "the gateway is ready again")

                async def all_delivered() -> bool:
                    return len(await deliveries(api, endpoint, state="delivered")) == len(videos)

                await eventually(all_delivered, 60, "all webhooks are delivered")
            finally:
                second.terminate()
                second.wait(20)
    video_ids = {post.id: post.verified(endpoint["secret"])["data"]["videoId"] for post in receiver.posts}
    assert sorted(video_ids.values()) == sorted(videos)  # one id for each video, even if it was sent twice
    assert len(receiver.posts) > len(videos)


# --- secrets


async def test_both_secrets_sign_for_a_day_after_rotation(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    first = await registered(api, receiver)
    answer = await api.post(f"{first['links']['self']}/rotate")
    second = answer.json()
    assert answer.status_code == 200
    assert second["secret"] != first["secret"]
    await fail_a_video(api, gateway)
    await post_due(gateway, service)
    post = receiver.posts[-1]
    assert len(post.headers["webhook-signature"].split(" ")) == 2
    assert post.verified(first["secret"]) == post.verified(second["secret"])

    async with transaction(gateway.database) as work:
        await work.session.execute(update(WebhookEndpoint).values(old_secret_until=now(-1)))
    await fail_a_video(api, gateway)
    await post_due(gateway, service)
    post = receiver.posts[-1]
    assert len(post.headers["webhook-signature"].split(" ")) == 1
    post.verified(second["secret"])
    with pytest.raises(WebhookVerificationError):
        post.verified(first["secret"])


async def test_a_secret_is_long_and_shown_only_when_created(
    api: httpx.AsyncClient, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = await registered(api, receiver)
    prefix, _, rest = endpoint["secret"].partition("_")
    assert (prefix, len(base64.b64decode(rest)) >= 24) == ("whsec", True)
    own = endpoint["links"]["self"]
    answers = [
        await api.get(own),
        await api.get(ENDPOINTS),
        await api.patch(own, json={"description": "another"}),
        await api.post(f"{own}/test"),
        await api.get(f"{own}/deliveries"),
    ]
    assert not [answer.text for answer in answers if rest in answer.text or "whsec" in answer.text]
    assert rest not in "".join(capsys.readouterr())


# --- refused addresses


class Names:
    """A resolver that returns `addresses` for every name."""

    addresses: Sequence[str] = ("8.8.8.8",)

    async def __call__(self, _host: str, _port: int) -> Sequence[str]:
        return self.addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/hook",
        "https://127.1/hook",
        "https://2130706433/hook",
        "https://localhost/hook",
        "https://[::1]/hook",
        "https://[::ffff:127.0.0.1]/hook",
        "https://[::ffff:7f00:1]/hook",
        "https://10.1.2.3/hook",
        "https://192.168.1.1/hook",
        "https://172.16.0.1/hook",
        "https://[fd00::1]/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/hook",
        "https://224.0.0.1/hook",
        "https://0.0.0.0/hook",
        "https://[64:ff9b::7f00:1]/hook",
        "http://8.8.8.8/hook",
        "https://name:word@8.8.8.8/hook",
        "https://8.8.8.8:25/hook",
        "https://8.8.8.8:99999/hook",
        "https:///hook",
        "https://xn--/hook",
        "https://a..b/hook",
        "https://" + "a" * 70 + ".example/hook",
        "ftp://8.8.8.8/hook",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "8.8.8.8/hook",
        "https://8.8.8.8/" + "x" * 2000,
    ],
)
async def test_a_private_or_unresolvable_url_is_rejected(url: str) -> None:
    with pytest.raises(AddressRefused):
        await SENDER.check(url)


@pytest.mark.parametrize("url", ["https://8.8.8.8/hook", "https://8.8.8.8:8443/h?a=b", "https://[2606:4700::1111]/"])
async def test_a_public_url_is_accepted(url: str) -> None:
    await SENDER.check(url)
    with pytest.raises(AddressRefused):
        await SENDER.check(url.replace("https", "http"))


async def test_a_rejected_url_is_named_and_no_endpoint_is_created(api: httpx.AsyncClient) -> None:
    for url in ("https://127.0.0.1/hook", "http://8.8.8.8/hook", "https://169.254.169.254/", "nonsense"):
        refused = await api.post(ENDPOINTS, json={"url": url})
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
        assert [error["field"] for error in refused.json()["errors"]] == ["url"]
    assert (await api.get(ENDPOINTS)).json()["data"] == []


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://127.0.0.1/hook", "127.0.0.1"),
        ("http://127.0.0.1:9000/hook", "127.0.0.1"),
        ("http://hooks.inside.example/hook", "hooks.inside.example"),
        ("https://10.1.2.3/hook", "10.1.2.3"),
        ("https://169.254.169.254/", None),
        ("https://[fd00:ec2::254]/", None),
        ("ftp://8.8.8.8/", None),
    ],
)
async def test_a_rejection_names_the_setting_that_allows_the_host(
    api: httpx.AsyncClient, url: str, host: str | None
) -> None:
    detail = (await api.post(ENDPOINTS, json={"url": url})).json()["errors"][0]["detail"]
    assert (f'WEBHOOK_PRIVATE_HOSTS=["{host}"]' in detail) is (host is not None), detail
    assert host is not None or "WEBHOOK" not in detail


async def test_a_host_that_resolves_to_a_private_address_is_rejected_at_registration_and_at_sending(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    names = Names()
    use_network(gateway, GuardedNetwork(resolve=names))
    body = {"url": f"https://hooks.example:{receiver.server.server_port}/hook"}
    endpoint = (await api.post(ENDPOINTS, json=body)).json()
    for address in ("127.0.0.1", "169.254.169.254", "10.0.0.1", "fd00::1", "::ffff:10.0.0.1"):
        names.addresses = ["8.8.8.8", address]  # the name resolves differently now
        refused = await api.post(ENDPOINTS, json=body)
        assert (refused.status_code, address in refused.json()["detail"]) == (422, True)
        assert (await api.patch(endpoint["links"]["self"], json=body)).status_code == 422
        await fail_a_video(api, gateway)
        await post_due(gateway, service)
        sent = (await deliveries(api, endpoint))[0]
        assert (sent["state"], sent["attempts"], sent["lastStatus"]) == ("pending", 1, None)
        assert "not a public address" in sent["lastAnswer"]
        assert address in sent["lastAnswer"]
    assert receiver.posts == []


async def test_a_redirect_is_not_followed_and_counts_as_a_failure(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    endpoint = await registered(api, receiver)
    with Receiver() as inside:
        for status in (301, 302, 303, 307, 308):
            receiver.answers.append((status, {"location": inside.url}, b""))
            await api.post(f"{endpoint['links']['self']}/test")
            await post_due(gateway, service)
            sent = (await deliveries(api, endpoint))[0]
            assert (sent["state"], sent["lastStatus"]) == ("pending", status)
            await published(gateway.database)
        assert (len(receiver.posts), inside.posts) == (5, [])


async def test_an_unreachable_endpoint_is_a_failed_attempt(gateway: Gateway, receiver: Receiver) -> None:
    async def answer(url: str) -> EndpointResponse:
        return await gateway.webhook_deliveries.sender.send(WebhookRequest("id", "endpoint", "owner", url, "{}", {}))

    port = receiver.server.server_port
    receiver.__exit__()
    for url in (f"http://127.0.0.1:{port}/", f"https://127.0.0.1:{port}/", "https://nowhere.invalid/", "http://[::1/"):
        said = await answer(url)
        assert (said.status, said.is_success, bool(said.text)) == (None, False, True), url


# --- the API


async def test_an_endpoint_can_be_created_read_changed_and_removed(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    made = await api.post(ENDPOINTS, json={"url": receiver.url, "description": "the app"})
    endpoint = made.json()
    own = endpoint["links"]["self"]
    assert made.headers["location"] == own
    assert (endpoint["types"], endpoint["enabled"]) == (["video.completed", "video.failed", "video.cancelled"], True)
    without_secret = {key: value for key, value in endpoint.items() if key != "secret"}
    assert (await api.get(own)).json() == without_secret

    elsewhere = f"{receiver.url}/elsewhere"
    changed = await api.patch(own, json={"url": elsewhere, "types": ["video.failed"], "description": "it"})
    assert changed.json() == {**without_secret, "url": elsewhere, "types": ["video.failed"], "description": "it"}
    await fail_a_video(api, gateway)
    await post_due(gateway, service)
    assert [post.path for post in receiver.posts] == ["/hook/elsewhere"]

    assert (await api.patch(own, json={"enabled": False})).json()["disabledBecause"] == "Its owner disabled it."
    await fail_a_video(api, gateway)
    assert await post_due(gateway, service) == 0

    assert (await api.delete(own)).status_code == 204
    assert (await api.get(own)).status_code == (await api.delete(own)).status_code == 404
    async with gateway.database.reading() as session:
        assert (await session.get(WebhookDelivery, 1)) is None


async def test_pending_deliveries_of_a_removed_endpoint_are_dropped(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    endpoint = await registered(api, receiver)
    await fail_a_video(api, gateway)
    await api.delete(endpoint["links"]["self"])
    assert await post_due(gateway, service) == 1
    assert receiver.posts == []


async def test_a_test_webhook_is_sent_whatever_the_endpoint_s_types(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    endpoint = await registered(api, receiver, types=["video.completed"])
    answer = await api.post(f"{endpoint['links']['self']}/test")
    assert (answer.status_code, answer.json()["state"], answer.json()["type"]) == (202, "pending", "webhook.test")
    await post_due(gateway, service)
    assert receiver.posts[0].verified(endpoint["secret"])["type"] == "webhook.test"
    [sent] = await deliveries(api, endpoint)
    assert (sent["deliveryId"], sent["state"], sent["videoId"]) == (answer.json()["deliveryId"], "delivered", None)


async def test_an_invalid_field_is_named_and_no_endpoint_is_created(api: httpx.AsyncClient, receiver: Receiver) -> None:
    for name, value in (
        ("types", []),
        ("types", ["video.invented"]),
        ("types", "video.failed"),
        ("description", "x" * 501),
        ("owner", ""),
        ("invented", 1),
        ("url", None),
        ("url", ""),
    ):
        refused = await api.post(ENDPOINTS, json={"url": receiver.url, name: value})
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
        assert refused.json()["errors"][0]["field"].startswith(name)
    assert (await api.get(ENDPOINTS)).json()["data"] == []


async def test_pages_of_deliveries_have_no_gaps_while_more_are_added(
    api: httpx.AsyncClient, gateway: Gateway, receiver: Receiver
) -> None:
    endpoint = await registered(api, receiver)
    test, listed = f"{endpoint['links']['self']}/test", endpoint["links"]["deliveries"]
    made = [(await api.post(test)).json()["deliveryId"] for _ in range(5)]
    seen: list[str] = []
    query = "?limit=2"
    while True:
        answer = await api.get(f"{listed}{query}")
        page = answer.json()
        seen += [sent["deliveryId"] for sent in page["data"]]
        await api.post(test)
        if not page["hasMore"]:
            break
        query = answer.headers["link"].partition("<")[2].partition(">")[0]
        assert f"after={page['nextCursor']}" in query
    assert seen == made[::-1]
    assert (page["nextCursor"], "link" in answer.headers) == (None, False)
    for bad in ("?limit=0", "?limit=101", "?after=x", "?after=-1", "?state=lost"):
        assert (await api.get(f"{listed}{bad}")).status_code == 422


async def test_the_number_of_endpoints_per_owner_is_limited(api: httpx.AsyncClient, receiver: Receiver) -> None:
    for _ in range(MAX_PER_OWNER):
        await registered(api, receiver)
    refused = await api.post(ENDPOINTS, json={"url": receiver.url})
    assert (refused.status_code, str(MAX_PER_OWNER) in refused.json()["detail"]) == (409, True)


async def test_deliveries_of_a_deleted_video_are_deleted(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    endpoint = await registered(api, receiver)
    deleted, kept = [await fail_a_video(api, gateway) for _ in range(2)]
    await post_due(gateway, service)
    assert {sent["videoId"] for sent in await deliveries(api, endpoint)} == {deleted, kept}
    assert (await api.delete(f"/api/v1/videos/{deleted}")).status_code == 204
    assert [sent["videoId"] for sent in await deliveries(api, endpoint)] == [kept]


async def test_old_deliveries_are_deleted(api: httpx.AsyncClient, gateway: Gateway, receiver: Receiver) -> None:
    endpoint = await registered(api, receiver)
    old, young = [(await api.post(f"{endpoint['links']['self']}/test")).json()["deliveryId"] for _ in range(2)]
    async with transaction(gateway.database) as work:
        its = WebhookDelivery.delivery_id == old
        await work.session.execute(update(WebhookDelivery).where(its).values(created_at=now(-31 * 86_400)))
    await Retention("gateway", gateway.database, POLICIES).pass_once()
    assert [sent["deliveryId"] for sent in await deliveries(api, endpoint)] == [young]


async def test_the_openapi_document_describes_the_webhooks(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    assert set(document["webhooks"]) == set(TYPES)
    post = document["webhooks"]["video.completed"]["post"]
    assert {header["name"] for header in post["parameters"]} == {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }


# --- the delivery policy


def test_live_events_and_webhooks_have_the_same_names() -> None:
    assert {type_of(name) for name in LIVE_NAMES.values()} == set(TYPES)


def test_ten_attempts_take_about_three_days() -> None:
    waits = [retry_delay(attempts, 0.5) for attempts in range(1, 11)]
    assert waits == [*RETRY_DELAYS_SECONDS, None]
    assert 3.0 < sum(RETRY_DELAYS_SECONDS) / 86_400 < 3.5


@pytest.mark.parametrize(
    ("attempts", "luck", "retry_after", "wait"),
    [
        (1, 0.0, None, 4.5),
        (1, 1.0, None, 5.5),
        (3, 0.0, None, 1620),
        (9, 1.0, None, 95_040),
        (10, 0.5, None, None),
        (10, 0.5, 60, None),
        (11, 0.5, None, None),
        (1, 0.5, 120, 120),
        (2, 0.5, 120, 300),
        (1, 0.5, 10_000_000, 86_400),
    ],
)
def test_retry_delays_are_jittered_and_respect_retry_after_up_to_a_day(
    attempts: int, luck: float, retry_after: float | None, wait: float | None
) -> None:
    assert retry_delay(attempts, luck, retry_after) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("status", "taken"),
    [(None, False), (200, True), (204, True), (299, True), (302, False), (404, False), (500, False)],
)
def test_only_2xx_is_a_success(status: int | None, taken: bool) -> None:
    assert EndpointResponse(status, "").is_success is taken


def test_a_body_that_is_too_large_names_the_omitted_fields() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    small = {"videoId": "v", "status": "failed"}
    assert json.loads(body_of("video.failed", at, small)) == {
        "type": "video.failed",
        "timestamp": "2026-01-02T03:04:05.000+00:00",
        "data": small,
    }
    body = body_of("video.failed", at, {**small, "scenes": ["é" * 9000], "error": "x" * 9000})
    assert len(body.encode()) < MAX_BODY_BYTES
    assert json.loads(body)["data"] == {**small, "error": "x" * 9000, "omitted": ["scenes"]}


async def test_the_largest_storyboard_fits_into_a_webhook(
    api: httpx.AsyncClient, gateway: Gateway, service: Service[Any], receiver: Receiver
) -> None:
    endpoint = await registered(api, receiver, types=["video.storyboard_created"])
    video_id = (await api.post("/api/v1/videos", json={"prompt": "a fox", "sceneCount": 5})).json()["videoId"]
    scenes = tuple(
        Scene(
            scene_number=n, description="ด" * 500, camera_angle="wide", duration=6, action="ด" * 2000, transition="cut"
        )
        for n in range(1, 6)
    )
    story = StoryboardCreated(
        video_id=UUID(video_id), title="t", niche="n", overall_prompt="p", total_duration=30, scenes=scenes,
        story_script="s", aspect_ratio="16:9",
    )  # fmt: skip
    async with transaction(gateway.database) as work:
        await gateway.projector.record(work, story)
    await post_due(gateway, service)
    [post] = receiver.posts
    assert len(post.body) < MAX_BODY_BYTES
    payload = post.verified(endpoint["secret"])["data"]
    assert (payload["title"], payload["omitted"]) == ("t", ["storyboard", "scenes"])


def test_private_hosts_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WEBHOOK_PRIVATE_HOSTS", '["app.internal"]')
    settings = Settings(database_url=SecretStr("sqlite+aiosqlite://"), storage_url=tmp_path.as_uri())
    network = Gateway(settings).webhook_deliveries.sender.network
    assert (network.may_be_inside("app.internal"), network.may_be_inside("localhost")) == (True, False)
