"""Wires the gateway: the API, the Socket.IO server and the event handlers behind them."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import socketio
from fastapi import FastAPI
from sqlalchemy.exc import IntegrityError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp
from uvicorn.loops.auto import auto_loop_factory

from gateway import doctor, procedures, status_page
from gateway.access import key_command
from gateway.access import key_routes as keys
from gateway.access import session_routes as session
from gateway.access.keys import Keys
from gateway.access.middleware import protect_metrics
from gateway.access.service import Access
from gateway.access.tokens import Tokens
from gateway.billing import routes as money
from gateway.billing.charges import Charges
from gateway.billing.service import Billing
from gateway.eta.service import Etas
from gateway.handlers import Dependencies, router
from gateway.http import documentation, problems
from gateway.http.hosts import AllowedHosts, AllowedHostsMiddleware
from gateway.http.idempotency import Idempotency
from gateway.http.middleware import with_middleware
from gateway.http.problems import error_response
from gateway.http.request_context import RequestContextMiddleware
from gateway.live import sse_routes as events
from gateway.live.rooms import Rooms
from gateway.media import routes as media
from gateway.models import Base
from gateway.providers import routes as providers
from gateway.providers.service import Providers
from gateway.retention import POLICIES
from gateway.settings import Settings
from gateway.storyboards import routes as storyboards
from gateway.storyboards.service import Storyboards
from gateway.uploads import routes as uploads
from gateway.uploads.service import Uploads
from gateway.upstream.middleware import UpstreamMiddleware
from gateway.upstream.proxy import Proxy
from gateway.upstream.sockets import UpstreamSockets
from gateway.upstream.trpc_forwarder import TrpcForwarder
from gateway.videos import frame_routes as frames
from gateway.videos import rating_routes as ratings
from gateway.videos import receipt_routes as receipts
from gateway.videos import retention_routes as retention
from gateway.videos import review_routes as reviews
from gateway.videos import routes as videos
from gateway.videos.commands import VideoCommands
from gateway.videos.completion import Completion
from gateway.videos.costs import VideoCosts
from gateway.videos.event_log import EventLog
from gateway.videos.event_payloads import PAYLOADS
from gateway.videos.event_stream import LOOK_EVERY_SECONDS, EventStream
from gateway.videos.expiry import Expiry
from gateway.videos.frame_reviews import FrameReviews
from gateway.videos.mapping import epoch_of
from gateway.videos.projector import VideoProjector
from gateway.videos.queries import VideoQueries
from gateway.videos.ratings import Ratings
from gateway.videos.receipts import Receipts
from gateway.videos.reviews import Reviews
from gateway.videos.statistics import Statistics
from gateway.videos.status import ACTIVE_STATUSES
from gateway.webhooks import routes as webhooks
from gateway.webhooks.deliveries import WebhookDeliveries
from gateway.webhooks.endpoints import WebhookEndpoints
from gateway.webhooks.webhook_sender import WebhookSender
from shared import telemetry
from shared.command_line import command_of
from shared.contracts.events import VideoFailed, VideoRequested
from shared.doctor import command as doctor_command
from shared.http.public_address import GuardedNetwork
from shared.http.serving import serve
from shared.messaging.errors import MessageMalformed
from shared.messaging.event_router import EphemeralPublisher, NullPublisher
from shared.messaging.message_processor import DeadLetter, Service
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared.persistence.unit_of_work import transaction
from shared.process.retention import leftovers
from shared.process.supervisor import every
from shared.settings import read
from shared.storage.open import open_storage
from shared.storage.signer import LinkSigner
from shared.worker import Worker

TRPC_PATH = "/api/trpc"
PAGE_BESIDE_APPLICATION = "/multishot"
"""The path of the status page when `/` is the application's."""


class Gateway:
    """The gateway, for both ways to run: `service` handles events, `app` answers HTTP and sockets."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.database_url.get_secret_value(), Base.metadata, settings.database_connections)
        signer = LinkSigner(settings.media_secret.get_secret_value().encode(), f"{settings.public_url}/media")
        self.storage = open_storage(settings.storage_url, signer, writes=False)
        self.billing = Billing(self.database, settings, settings.token_prices.storyboard)
        self.charges = Charges(self.database)
        self.event_log = EventLog(self.database, settings.public_url)
        self.queries = VideoQueries(self.database, Etas(settings, ACTIVE_STATUSES), self.event_log)
        self.projector = VideoProjector(self.queries, self.event_log, VideoCosts(self.billing, self.charges))
        self.videos = VideoCommands(self.queries, self.projector)
        self.uploads = Uploads(self.database, self.storage, settings.upload_retention_days)
        self.reviews = Reviews(self.projector, self.uploads, settings.scene_seconds)
        self.frame_reviews = FrameReviews(self.projector, self.uploads)
        self.idempotency = Idempotency(self.database)
        self.storyboards = Storyboards(self.database, self.billing, settings.storyboard_wait_seconds)
        self.keys = Keys(self.database)
        self.access = Access(
            self.keys if settings.auth == "keys" else None,
            Tokens(settings.auth_secret.get_secret_value().encode()),
            settings.calls_per_minute,
        )
        webhook_sender = WebhookSender(GuardedNetwork(settings.webhook_private_hosts))
        self.webhook_endpoints = WebhookEndpoints(self.database, webhook_sender)
        self.webhook_deliveries = WebhookDeliveries(self.database, webhook_sender, settings.public_url)
        self.expiry = Expiry(self.queries, self.projector, settings.retention_days)
        self.event_log.announcers += [self.webhook_deliveries.announce, self.expiry.announce]
        self.event_stream = EventStream(self.queries)
        upstream = settings.app_upstream_url
        self.application = Proxy(upstream, error_response) if upstream else None
        sockets = UpstreamSockets(upstream, PAYLOADS, keeps_tokens=settings.auth == "keys") if upstream else None
        self.live = Rooms(self.event_stream, self.access, settings, sockets)

    def service(self, ephemeral: EphemeralPublisher) -> Service[Dependencies]:
        """Return the event handlers, with their dependencies and background tasks."""
        self.event_log.ephemeral = ephemeral
        deps = Dependencies(self.database, self.projector, self.storyboards, self.event_stream, self.webhook_deliveries)
        background = (every(LOOK_EVERY_SECONDS, self.event_stream.catch_up, "event_stream"),)
        resources = (self.storage, self.event_stream.running(), self.application or contextlib.nullcontext())
        return Service(
            router,
            deps,
            self.database,
            self._show_as_failed,
            resources,
            background=background,
            epoch_of=epoch_of,
            storage=self.storage,
            policies=(*POLICIES, self.expiry.policy, self.uploads.policy, leftovers(None, self.storage.sweep)),
            checks=doctor.checks(self.expiry),
        )

    async def _show_as_failed(self, dead_letter: DeadLetter, database: Database) -> None:
        """Show a request that failed here as failed. Storyboard reports requests that cannot be parsed."""
        if (
            dead_letter.event is not VideoRequested
            or not dead_letter.failure.fails_video
            or dead_letter.video_id is None
        ):
            return
        if isinstance(dead_letter.failure, MessageMalformed):
            return
        if await self.queries.was_requested(dead_letter.video_id):
            return  # the first request with this id is not affected
        failure = dead_letter.failure
        fields = {"kind": failure.kind, "reason": f"The request: {failure.reason}", "epoch": dead_letter.epoch}
        failed = VideoFailed(video_id=dead_letter.video_id, stage="storyboard", **fields)
        with contextlib.suppress(IntegrityError):  # a valid request with this id arrived at the same moment
            async with transaction(database) as work:
                await self.projector.record(work, failed)

    def app(self, lifespan: contextlib.AbstractAsyncContextManager[None], routes: list[BaseRoute]) -> ASGIApp:
        """Return the ASGI app. `lifespan` is entered while it serves; `routes` are those of the process."""

        @contextlib.asynccontextmanager
        async def run_lifespan(_app: FastAPI) -> AsyncIterator[None]:
            async with lifespan:
                yield

        page = "/" if self.application is None else PAGE_BESIDE_APPLICATION
        app = documentation.app(lifespan=run_lifespan, routes=[*map(protect_metrics, routes), status_page.route(page)])
        url = self.settings.public_url
        problems.install(app, url)
        app.state.access = self.access
        app.state.idempotency_secret = self.access.tokens.secret
        app.include_router(
            videos.routes(self.videos, self.reviews, self.idempotency, Completion(self.event_stream), url)
        )
        app.include_router(events.routes(self.event_stream, self.access))
        app.include_router(storyboards.routes(self.storyboards, self.billing.estimates, url))
        app.include_router(reviews.routes(self.reviews, self.billing, self.idempotency, url))
        app.include_router(frames.routes(self.frame_reviews, self.idempotency, url))
        app.include_router(uploads.routes(self.uploads, url))
        app.include_router(retention.routes(self.expiry, url))
        app.include_router(receipts.routes(Receipts(self.queries, self.charges)))
        app.include_router(ratings.routes(Ratings(self.queries), Statistics(self.database), url))
        app.include_router(providers.routes(Providers(self.database, self.settings)))
        app.include_router(money.routes(self.charges))
        app.include_router(media.routes(self.queries, self.storage))
        app.include_router(webhooks.routes(self.webhook_endpoints, self.webhook_deliveries, url))
        webhooks.describe(app.webhooks)
        app.include_router(keys.routes(self.keys, self.access, url))
        app.include_router(session.routes(self.access, url))
        seconds = self.settings.call_seconds
        fallback = None if self.application is None else TrpcForwarder(self.application, TRPC_PATH).forward
        commands = procedures.Commands(self.videos, self.reviews, self.frame_reviews, self.idempotency)
        trpc = procedures.server(commands, self.event_stream, self.access, url, seconds, fallback)
        app.router.routes.append(trpc.route(TRPC_PATH))
        api = with_middleware(app, self.settings, exempt=(TRPC_PATH,))
        whole: ASGIApp = RequestContextMiddleware(socketio.ASGIApp(self.live.server, other_asgi_app=api))
        if self.application is not None:
            whole = UpstreamMiddleware(whole, self.application, app.router.routes, TRPC_PATH, trpc.has_any)
        return AllowedHostsMiddleware(whole, AllowedHosts(url, self.settings.allowed_hosts), error_response)


def main() -> None:
    """Run the console script `gateway`: serve, or do what the argument says."""
    if sys.argv[1:2] == ["key"]:
        key_command.main(sys.argv[2:])
        return
    given = command_of(router.service, sys.argv[1:], key="create an API key, for AUTH=keys")
    settings = read(Settings)
    telemetry.set_up(router.service, settings)
    gateway = Gateway(settings)
    if given.command == "doctor":
        doctor_command.main(lambda: gateway.service(NullPublisher()), settings, folder_of(__file__), fix=given.fix)
    if given.command == "migrate":
        from shared.persistence import migrations  # loading it takes 0.3 s, which only this command needs

        migrations.main(gateway.database, folder_of(__file__))
        return
    if objections := settings.objections():
        sys.exit("\n".join(objections))
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(_run(gateway))


async def _run(gateway: Gateway) -> None:
    worker = Worker(gateway.service, gateway.settings, folder_of(__file__), needs_broker=False)
    await serve(gateway.app(worker.running(), worker.routes()), gateway.settings.host, gateway.settings.port)
