"""What the gateway says no to, in one table for all its faces: REST shows it as a problem, tRPC by a code."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.access.keys import KeyNotFound
from gateway.access.service import NoKeysHere, NotAllowed, NotSignedIn
from gateway.billing.service import ChargeNotFound, ChargeNotUnknown
from gateway.http.hosts import HostNotAllowed
from gateway.http.idempotency import KeyInvalid, KeyReused, StillRunning
from gateway.http.rate_limit import TooManyCalls
from gateway.http.request_limits import BodyTooDeep, BodyTooLarge, BodyTooLong, TookTooLong
from gateway.storyboards.reviews import NoStoryboardYet, NotAwaitingReview, StoryboardFaulty
from gateway.storyboards.service import StoryboardNotFound, StoryboardNotWritten
from gateway.upstream.errors import ApplicationAway, ApplicationSilent
from gateway.videos.expiry import FilmExpired
from gateway.videos.ratings import NothingToRate
from gateway.videos.service import VideoAlreadyEnded, VideoNotEnded, VideoNotFound
from gateway.webhooks.service import DeliveryNotFound, EndpointDisabled, EndpointNotFound, TooManyEndpoints
from gateway.webhooks.webhook_sender import AddressRefused
from shared.messaging.errors import RequestConflicts
from shared.money.budget import BudgetExceeded
from shared.persistence.database import is_outage
from shared.storage.errors import LinkInvalid, ObjectMissing

RETRY_AFTER_SECONDS = "2"
MOST_FAULTS = 50
LONGEST_NAME = 100
"""Of a field; a request may name its fields as it likes."""
BESIDE_STORYBOARD = ("sceneCount", "duration")


@dataclass(frozen=True)
class Fault:
    """What is wrong with one field of a request. `place` begins with the part of the request: body, query, path."""

    place: tuple[str, ...]
    code: str
    text: str


@dataclass(frozen=True)
class Refusal:
    """A no: the HTTP status of it, its kind for programs, and its title and detail for people.

    `faults` names the fields that are wrong, `more` the facts, `headers` what goes with the answer.
    """

    status: int
    kind: str
    title: str
    detail: str | None = None
    faults: tuple[Fault, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def refusal(error: Exception) -> Refusal | None:
    """What an error of ours means to a caller; None: it is none of ours, and its text is for nobody's eyes."""
    if is_outage(error):
        detail = "The database does not answer. Nothing was accepted; try again."
        return Refusal(*UNAVAILABLE, detail, headers={"Retry-After": RETRY_AFTER_SECONDS})
    explain = next((REFUSALS[kind] for kind in type(error).__mro__ if kind in REFUSALS), None)
    return explain(error) if explain is not None else None


KINDS: dict[str, tuple[int, str]] = {}
"""Every kind of refusal there is, with its status and title: they are listed for people at `/problems`."""


def kind_of(status: int, kind: str, title: str) -> tuple[int, str, str]:
    """The beginning of a `Refusal`, listed among the kinds."""
    KINDS[kind] = (status, title)
    return status, kind, title


def _plain(status: int, kind: str, title: str, detail: str | None = None) -> Callable[[Any], Refusal]:
    kind_of(status, kind, title)
    return lambda error: Refusal(status, kind, title, detail or str(error))


UNAVAILABLE = kind_of(503, "unavailable", "Unavailable")
INVALID = kind_of(422, "invalid-request", "Invalid request")
OVER_BUDGET = kind_of(402, "budget-exceeded", "Budget exceeded")
NOT_WRITTEN = kind_of(502, "storyboard-not-written", "No storyboard")
NOT_SIGNED_IN = kind_of(401, "not-signed-in", "Not signed in")
TOO_MANY_CALLS = kind_of(429, "too-many-calls", "Too many calls")
TOOK_TOO_LONG = kind_of(503, "took-too-long", "Took too long")


def _not_signed_in(error: NotSignedIn) -> Refusal:
    challenge = 'Bearer realm="multishot"' + (', error="invalid_token"' if error.named else "")
    return Refusal(*NOT_SIGNED_IN, str(error), headers={"WWW-Authenticate": challenge})


def _too_many_calls(error: TooManyCalls) -> Refusal:
    return Refusal(*TOO_MANY_CALLS, str(error), headers={"Retry-After": str(math.ceil(error.seconds))})


def _took_too_long(error: TookTooLong) -> Refusal:
    return Refusal(*TOOK_TOO_LONG, str(error), headers={"Retry-After": RETRY_AFTER_SECONDS})


def _storyboard_faulty(error: StoryboardFaulty) -> Refusal:
    faults = []
    for fault in error.faults:
        # A place in the story is one in the storyboard; a field beside it has but its own name.
        place = tuple(map(str, fault.place))
        path = place if place[0] in BESIDE_STORYBOARD else ("storyboard", *place)
        faults.append(Fault(("body", *path), "storyboard", fault.text))
    return invalid(tuple(faults), str(error))


def _storyboard_not_written(error: StoryboardNotWritten) -> Refusal:
    status = 422 if error.kind == "storyboard" else 502
    return Refusal(status, *NOT_WRITTEN[1:], str(error), more={"kind": error.kind})


def _budget_exceeded(error: BudgetExceeded) -> Refusal:
    figures = {"budget": error.budget.name, "estimateUsd": error.wanted, "usedUsd": error.used}
    figures["capUsd"] = error.budget.cap
    return Refusal(*OVER_BUDGET, f"{error} Nothing was accepted.", more=figures)


def _address_refused(error: AddressRefused) -> Refusal:
    return invalid((Fault(("body", "url"), "address", error.reason),), error.reason)


def invalid(faults: tuple[Fault, ...], why: str = "") -> Refusal:
    """Refuse a request whose fields are wrong, naming the first `MOST_FAULTS` of them."""
    told = tuple(
        replace(fault, place=tuple(part[:LONGEST_NAME] for part in fault.place)) for fault in faults[:MOST_FAULTS]
    )
    names = ", ".join(".".join(fault.place[1:]) or fault.place[0] for fault in told)
    more = f" and {len(faults) - len(told)} more" if len(faults) > len(told) else ""
    return Refusal(*INVALID, f"Not valid: {names}{more}. {why}".rstrip(), told)


REFUSALS: dict[type[Exception], Callable[[Any], Refusal]] = {
    NotSignedIn: _not_signed_in,
    NotAllowed: _plain(403, "not-allowed", "Not allowed"),
    NoKeysHere: _plain(409, "no-keys-here", "No keys here"),
    KeyNotFound: _plain(404, "key-not-found", "Key not found"),
    TooManyCalls: _too_many_calls,
    HostNotAllowed: _plain(421, "host-not-allowed", "Host not allowed"),
    BodyTooLarge: _plain(413, "too-large", "Too large"),
    BodyTooDeep: _plain(400, "too-deep", "Too deep"),
    BodyTooLong: _plain(400, "too-long", "Too many values"),
    TookTooLong: _took_too_long,
    ApplicationAway: _plain(502, "application-away", "The application does not answer"),
    ApplicationSilent: _plain(504, "application-silent", "The application is silent"),
    VideoNotFound: _plain(404, "video-not-found", "Video not found"),
    VideoAlreadyEnded: _plain(409, "video-already-ended", "Video already ended"),
    VideoNotEnded: _plain(409, "video-not-ended", "Video not ended"),
    FilmExpired: _plain(410, "film-expired", "Film expired"),
    NothingToRate: _plain(409, "nothing-to-rate", "Nothing to rate"),
    KeyInvalid: _plain(400, "idempotency-key-invalid", "Idempotency key invalid"),
    KeyReused: _plain(422, "idempotency-key-reused", "Idempotency key reused"),
    StillRunning: _plain(409, "still-running", "Still running"),
    ObjectMissing: _plain(404, "media-not-found", "Not there", "There is no such media."),
    LinkInvalid: _plain(403, "link-invalid", "Link invalid", "Ask for a new link."),
    BudgetExceeded: _budget_exceeded,
    ChargeNotFound: _plain(404, "charge-not-found", "Charge not found"),
    ChargeNotUnknown: _plain(409, "nothing-to-settle", "Nothing to settle"),
    RequestConflicts: _plain(409, "id-already-used", "Id already used"),
    StoryboardFaulty: _storyboard_faulty,
    StoryboardNotWritten: _storyboard_not_written,
    StoryboardNotFound: _plain(404, "storyboard-not-found", "Storyboard not found"),
    NoStoryboardYet: _plain(409, "no-storyboard-yet", "No storyboard yet"),
    NotAwaitingReview: _plain(409, "not-awaiting-review", "Not awaiting review"),
    AddressRefused: _address_refused,
    EndpointNotFound: _plain(404, "webhook-endpoint-not-found", "Webhook endpoint not found"),
    EndpointDisabled: _plain(409, "webhook-endpoint-disabled", "Webhook endpoint disabled"),
    TooManyEndpoints: _plain(409, "too-many-webhook-endpoints", "Too many webhook endpoints"),
    DeliveryNotFound: _plain(404, "delivery-not-found", "Delivery not found"),
}
