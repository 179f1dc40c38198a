"""Runway, through its SDK with retries turned off. Source: runwayml 5.24 and docs.dev.runwayml.com."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import runwayml

from scene_render.clips.download import Downloader
from scene_render.providers import order_fields, prompt_builder, provider_http
from scene_render.providers.base import (
    Absent,
    ClipUnusable,
    Ended,
    Failed,
    Found,
    Lost,
    NotYet,
    Order,
    Picture,
    ProviderSilent,
    Reference,
    Running,
    Shot,
    SubmissionRefused,
    Succeeded,
    Unknowable,
)
from scene_render.providers.provider_http import AnswerUnreadable
from shared.catalogue.models import ProviderModels

LARGEST_DATA_URI = 5 * 2**20
OVERLOADED = frozenset({502, 503})
"""Runway documents these as load shedding: nothing was accepted."""
SHORTEST_TAG, LONGEST_TAG = 3, 16


class Runway(provider_http.ProviderAdapter):
    """The provider `runway`."""

    name = "runway"
    usual_seconds = 70.0
    check_seconds = 5.0
    attempt_seconds = 1200.0

    def __init__(
        self,
        url: str,
        key: str,
        models: ProviderModels | None,
        concurrency: int,
        submit_seconds: float,
        downloader: Downloader,
    ) -> None:
        super().__init__(models, concurrency, submit_seconds, downloader, provider_http.http_client())
        self.client = runwayml.AsyncRunwayML(
            api_key=key, base_url=url, max_retries=0, timeout=submit_seconds, http_client=self._http
        )

    @property
    def can_reconcile(self) -> bool:
        """See `Provider.can_reconcile`."""
        return False

    async def submit(self, attempt_id: str, order: Order) -> str:
        """See `Provider.submit`. Runway tasks cannot be marked with the attempt's id."""
        endpoint, body = request_of(order, attempt_id)
        create: Any
        match endpoint:
            case "text_to_video":
                create = self.client.text_to_video.create
            case "image_to_video":
                create = self.client.image_to_video.create
            case "text_to_image":
                create = self.client.text_to_image.create
            case _:
                raise SubmissionRefused("invalid_request", f"Runway has no endpoint {endpoint}.", asked=False)
        try:
            answer = await create(**body)
        except runwayml.APIStatusError as error:
            said = provider_http.sentence(error.body)
            outcome = provider_http.refused(
                self.name, error.status_code, said, error.response.headers, overloaded=OVERLOADED
            )
            raise outcome or error from error
        except runwayml.APIConnectionError as error:
            raise provider_http.not_taken(self.name, error.__cause__) or error from error
        try:
            return str(UUID(answer.id))
        except (AttributeError, ValueError, TypeError) as error:
            raise AnswerUnreadable(self.name, answer) from error

    async def find(self, _attempt_id: str, _age: float) -> Found | Absent | NotYet | Unknowable:
        """Runway lists no tasks."""
        return Unknowable()

    async def check(self, task_id: str) -> Running | Succeeded | Failed | Lost:
        """See `Provider.check`."""
        task = await self._task(task_id)
        if task is None:
            return Lost()
        return status_of(task)

    async def fetch(self, task_id: str, target: Path) -> None:
        """See `Provider.fetch`. Each read of the task makes a new link."""

        async def fresh_link() -> str:
            task = await self._task(task_id)
            outputs = (task or {}).get("output") or []
            if not outputs:
                raise ClipUnusable("Runway has no result of this task.")
            return str(outputs[0])

        await self.downloader.fetch(fresh_link, target)

    async def cancel(self, task_id: str) -> Ended | None:
        """Delete the task. Runway does not report the cost, and refunds nothing once work has started."""
        waiting = isinstance(status := await self.check(task_id), Running) and status.queued
        if not isinstance(status, Running):
            return None
        try:
            await self.client.tasks.delete(task_id)
        except runwayml.APIError as error:
            if provider_http.refuses(error):
                return None
            raise provider_http.silent(self.name, error) from error
        return Ended(cost=Decimal(0) if waiting else None)

    async def cancel_if_free(self, task_id: str) -> Ended | None:
        """Delete the task if work has not started."""
        try:
            status = await self.check(task_id)
            return await self.cancel(task_id) if isinstance(status, Running) and status.queued else None
        except ProviderSilent:
            return None

    async def _task(self, task_id: str) -> dict[str, Any] | None:
        """Return the raw JSON of a task: the SDK's classes drop unknown fields."""
        try:
            answer = await self.client.tasks.with_raw_response.retrieve(task_id, timeout=provider_http.CHECK_SECONDS)
            task = answer.http_response.json()
        except runwayml.NotFoundError:
            return None
        except (runwayml.APIError, ValueError) as error:
            raise provider_http.silent(self.name, error) from error
        if not isinstance(task, dict) or not isinstance(task.get("status"), str):
            raise ProviderSilent(f"Runway answered without a task: {str(task)[:100]}")
        return task


def request_of(order: Order, attempt_id: str) -> tuple[str, dict[str, Any]]:
    """Return the endpoint and the request for an order. Raises `SubmissionRefused` if Runway cannot render it."""
    model = order_fields.model_of(order)
    body: dict[str, Any] = {"model": model.name}
    if (ratio := order_fields.ratio_of(order)) is not None:
        body["ratio"] = ratio
    if isinstance(order, Shot):
        body |= {"prompt_text": prompt_builder.clip_prompt(order), "duration": order_fields.length_of(order)}
        if order.first_frame is not None:
            body["prompt_image"] = _uri(order.first_frame, "The first frame")
        if sound := order_fields.sound_of(order):
            body["extra_body"] = sound
    else:
        tags = dict(zip(order.references, tags_of(order.references), strict=True))
        body["prompt_text"] = prompt_builder.picture_prompt(order, lambda reference: f"@{tags[reference]}")
        if tags:
            body["reference_images"] = [
                {"uri": _uri(reference.picture, "A reference picture"), "tag": tag} for reference, tag in tags.items()
            ]
    return order_fields.endpoint_of(order), body | order_fields.seed_of(order, attempt_id)


def tags_of(references: Sequence[Reference]) -> tuple[str, ...]:
    """Return a tag for each reference, made of its name: 3 to 16 letters, digits and `_`, all different."""
    tags: list[str] = []
    for number, reference in enumerate(references, start=1):
        plain = unicodedata.normalize("NFKD", reference.member.name).encode("ascii", "ignore").decode()
        tag = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")[:LONGEST_TAG].rstrip("_")
        if len(tag) < SHORTEST_TAG or not tag[0].isalpha():
            tag = f"cast_{tag}".rstrip("_")[:LONGEST_TAG]
        if tag.lower() in (other.lower() for other in tags):
            tag = f"{tag[: LONGEST_TAG - 2]}_{number}"
        tags.append(tag)
    return tuple(tags)


def _uri(picture: Picture, what: str) -> str:
    uri = order_fields.data_uri(picture)
    if len(uri) > LARGEST_DATA_URI:
        raise SubmissionRefused("invalid_request", f"{what} is too large for Runway (5 MB).", asked=False)
    return uri


def status_of(task: Mapping[str, Any]) -> Running | Succeeded | Failed:
    """Return the state of a task; unknown states count as running."""
    match task["status"]:
        case "SUCCEEDED":
            return Succeeded(cost=_cost(task))
        case "FAILED":
            return _failure(str(task.get("failureCode") or ""), str(task.get("failure") or ""), _cost(task))
        case "CANCELLED":
            return Failed("cancelled", "The task was cancelled at Runway.", _cost(task), again=True)
        case "RUNNING":
            progress = task.get("progress")
            return Running(percent=100 * progress if isinstance(progress, int | float) else None)
        case "PENDING" | "THROTTLED":
            return Running(queued=True)
        case _:
            return Running()


def _failure(code: str, said: str, cost: Decimal | None) -> Failed:
    """Return what a `failureCode` means, by its prefix: the third part is not meant to be shown."""
    if code.startswith(("SAFETY.", "INPUT_PREPROCESSING.SAFETY")):
        where = "the result" if code.startswith("SAFETY.OUTPUT") else "the prompt"
        return Failed("moderation", f"Runway's moderation rejected {where}.", cost, again=False)
    if code.startswith("ASSET.INVALID"):
        return Failed(
            "invalid_request",
            "Runway could not use a picture of the order, such as the first frame.",
            cost,
            again=False,
        )
    if code.startswith("INTERNAL.BAD_OUTPUT"):
        return Failed("bad_output", "Runway rejected its own result.", cost, again=True)
    if code.startswith("THIRD_PARTY"):
        return Failed("transient", "A partner of Runway was not available.", cost, again=True)
    return Failed("transient", f"Runway failed: {said or 'no reason given'}", cost, again=True)


def _cost(task: Mapping[str, Any]) -> Decimal | None:
    """Return the reported cost in USD: a credit is a cent."""
    credits_taken = (task.get("cost") or {}).get("credits")
    return Decimal(str(credits_taken)) / 100 if isinstance(credits_taken, int | float) else None
