"""Luma's Dream Machine, through its SDK with retries turned off. Source: lumaai 1.21, Luma's openapi.yaml."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lumaai

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
    PictureOrder,
    ProviderSilent,
    Running,
    SubmissionDeferred,
    SubmissionRefused,
    Succeeded,
    Unknowable,
)
from scene_render.providers.callbacks import Callbacks
from scene_render.providers.provider_http import AnswerUnreadable
from shared.catalogue.models import ProviderModels
from shared.money.prices import FREE

PAGE = 100
MOST_PAGES = 20
LIST_SECONDS = 30.0
"""This long after the submission's time limit, an accepted task is certainly listed."""
CLOCK_TOLERANCE = timedelta(minutes=5)


class Luma(provider_http.ProviderAdapter):
    """The provider `luma`. The attempt's id is part of the callback URL, which Luma's list of tasks includes."""

    name = "luma"
    usual_seconds = 60.0
    check_seconds = 3.0
    attempt_seconds = 1200.0

    def __init__(
        self,
        url: str,
        key: str,
        models: ProviderModels | None,
        concurrency: int,
        submit_seconds: float,
        downloader: Downloader,
        callbacks: Callbacks,
        scale: float,
    ) -> None:
        super().__init__(models, concurrency, submit_seconds, downloader, provider_http.http_client())
        self.callbacks = callbacks
        self.list_seconds = LIST_SECONDS * scale
        self.client = lumaai.AsyncLumaAI(
            auth_token=key, base_url=url, max_retries=0, timeout=submit_seconds, http_client=self._http
        )

    @property
    def can_reconcile(self) -> bool:
        """See `Provider.can_reconcile`."""
        return True

    async def submit(self, attempt_id: str, order: Order) -> str:
        """See `Provider.submit`."""
        callback_url = self.callbacks.address(self.name, attempt_id)
        try:
            body = await self._request(order) | {"callback_url": callback_url}
        except ProviderSilent as error:
            raise SubmissionDeferred("outage", "luma does not answer.", detail=str(error)) from error
        images, videos = self.client.generations.image, self.client.generations
        create: Any = images.create if isinstance(order, PictureOrder) else videos.create
        try:
            answer = await create(**body)
        except lumaai.APIStatusError as error:
            said = provider_http.sentence(error.body)
            raise provider_http.refused(self.name, error.status_code, said, error.response.headers) or error from error
        except lumaai.APIConnectionError as error:
            raise provider_http.not_taken(self.name, error.__cause__) or error from error
        task_id = getattr(answer, "id", None)
        if not isinstance(task_id, str) or not task_id:
            raise AnswerUnreadable(self.name, answer)
        return task_id

    async def find(self, attempt_id: str, age: float) -> Found | Absent | NotYet | Unknowable:
        """Search the list of tasks for the marker. Its absence only counts if the list shows other markers."""
        # By path: host and secret of the callbacks may have changed since.
        ours = f"/callbacks/{self.name}/"
        since = datetime.now(UTC) - timedelta(seconds=age) - CLOCK_TOLERANCE
        shows_markers = complete = False
        for page in range(MOST_PAGES):
            tasks = await self._listed(page * PAGE)
            for task in tasks:
                marker = str((task.get("request") or {}).get("callback_url") or "")
                if f"{ours}{attempt_id}/" in marker:
                    return Found(str(task["id"]))
                shows_markers = shows_markers or ours in marker
            complete = len(tasks) < PAGE or _created(tasks[-1]) < since
            if complete:
                break
        if age < self.submit_seconds + self.list_seconds:
            return NotYet(self.list_seconds / 4, self.submit_seconds + self.list_seconds)
        return Absent() if shows_markers and complete else Unknowable()

    async def check(self, task_id: str) -> Running | Succeeded | Failed | Lost:
        """See `Provider.check`."""
        task = await self._task(task_id)
        if task is None:
            return Lost()
        return status_of(task)

    async def fetch(self, task_id: str, target: Path) -> None:
        """See `Provider.fetch`."""

        async def fresh_link() -> str:
            assets = (await self._task(task_id) or {}).get("assets") or {}
            if not (link := assets.get("video") or assets.get("image")):
                raise ClipUnusable("Luma has no result of this task.")
            return str(link)

        await self.downloader.fetch(fresh_link, target)

    async def cancel(self, task_id: str) -> Ended | None:
        """Delete the task unless it has ended: that would delete its clip. Luma does not report the cost."""
        if not isinstance(await self.check(task_id), Running):
            return None
        try:
            await self.client.generations.delete(task_id)
        except lumaai.APIError as error:
            if provider_http.refuses(error):
                return None
            raise provider_http.silent(self.name, error) from error
        return Ended(cost=None)

    async def cancel_if_free(self, _task_id: str) -> Ended | None:
        """Return None: Luma does not document a refund for deleted tasks."""
        return None

    def task_of_callback(self, body: Mapping[str, Any]) -> str | None:
        """Return the id of the task, which a callback contains completely."""
        task_id = body.get("id")
        return task_id if isinstance(task_id, str) else None

    async def _request(self, order: Order) -> dict[str, Any]:
        """Return the request for an order. Raises `SubmissionRefused` if Luma cannot render it."""
        order_fields.endpoint_of(order)
        model = order_fields.model_of(order)
        body: dict[str, Any] = {"model": model.name, "aspect_ratio": order_fields.ratio_of(order)}
        if isinstance(order, PictureOrder):
            body |= {"prompt": prompt_builder.picture_prompt(order, lambda _: ""), "format": "jpg"}
            links = [await self._link(reference.picture) for reference in order.references]
            if len(links) == 1 and order.references[0].member.kind == "character":
                body["character_ref"] = {"identity0": {"images": links}}
            elif links:
                body["image_ref"] = [{"url": link} for link in links]
            return body
        body |= {"prompt": prompt_builder.clip_prompt(order), "duration": order_fields.length_of(order)}
        body["resolution"] = model.resolution
        if concept := prompt_builder.LUMA_CONCEPTS.get(order.request.scene.camera_angle):
            body["concepts"] = [{"key": concept}]
        if order.first_frame is not None:
            body["keyframes"] = {"frame0": await self._keyframe(order.first_frame)}
        return body

    async def _keyframe(self, picture: Picture) -> dict[str, str]:
        """Return the first frame of a clip: the last one of Luma's own clip, or a picture."""
        task = await self._task(picture.task_id) if picture.task_id is not None else None
        if task is not None and ((task.get("assets") or {}).get("video") or task.get("generation_type") == "video"):
            return {"type": "generation", "id": str(picture.task_id)}
        return {"type": "image", "url": await self._link(picture)}

    async def _link(self, picture: Picture) -> str:
        """Return a public link to a picture: Luma's own, which it makes anew, or ours."""
        task = await self._task(picture.task_id) if picture.task_id is not None else None
        link = ((task or {}).get("assets") or {}).get("image") or picture.link
        if link is None:
            reason = "Luma downloads pictures from a public HTTPS URL, and the storage has none."
            raise SubmissionRefused("invalid_request", reason, asked=False)
        return str(link)

    async def _task(self, task_id: str) -> dict[str, Any] | None:
        try:
            answer = await self.client.generations.with_raw_response.get(task_id, timeout=provider_http.CHECK_SECONDS)
            task = answer.http_response.json()
        except lumaai.NotFoundError:
            return None
        except (lumaai.APIError, ValueError) as error:
            raise provider_http.silent(self.name, error) from error
        if not isinstance(task, dict) or "state" not in task:
            raise ProviderSilent(f"Luma answered without a task: {str(task)[:100]}")
        return task

    async def _listed(self, offset: int) -> list[dict[str, Any]]:
        try:
            listed = self.client.generations.with_raw_response.list
            answer = await listed(limit=PAGE, offset=offset, timeout=provider_http.CHECK_SECONDS)
            tasks = answer.http_response.json()["generations"]
        except (lumaai.APIError, ValueError, KeyError, TypeError) as error:
            raise provider_http.silent(self.name, error) from error
        return [task for task in tasks if isinstance(task, dict)]


def status_of(task: Mapping[str, Any]) -> Running | Succeeded | Failed:
    """Return the state of a task; unknown states count as running."""
    match task["state"]:
        case "completed":
            return Succeeded(cost=None)
        case "failed":
            return _failure(str(task.get("failure_reason") or ""))
        case "queued":
            return Running(queued=True)
        case _:
            return Running()


def _failure(said: str) -> Failed:
    """Return what a `failure_reason` means. Luma refunds failed tasks."""
    lower = said.lower()
    if any(word in lower for word in provider_http.MODERATION):
        return Failed("moderation", f"Luma's moderation rejected it: {said}", FREE, again=False)
    if "read user input frames" in lower:
        return Failed("invalid_request", "Luma could not read the first frame or a reference.", FREE, again=False)
    return Failed("job_failed", f"Luma failed: {said or 'no reason given'}", FREE, again=True)


def _created(task: Mapping[str, Any]) -> datetime:
    try:
        created = datetime.fromisoformat(str(task.get("created_at")))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
    return created if created.tzinfo else created.replace(tzinfo=UTC)
