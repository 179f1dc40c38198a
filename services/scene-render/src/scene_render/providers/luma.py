"""Luma's Dream Machine, through its SDK with retries turned off. Source: lumaai 1.21, Luma's openapi.yaml."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import lumaai

from scene_render.clips.download import Downloader
from scene_render.providers import prompt_builder, provider_http
from scene_render.providers.base import (
    Absent,
    ClipUnusable,
    Ended,
    Failed,
    Found,
    Lost,
    NotYet,
    ProviderSilent,
    Running,
    Shot,
    SubmissionRefused,
    Succeeded,
    Unknowable,
)
from scene_render.providers.callbacks import Callbacks
from scene_render.providers.provider_http import AnswerUnreadable
from shared.money.prices import FREE, Tariff

LONGEST_PROMPT = 5000
PAGE = 100
MOST_PAGES = 20
LIST_SECONDS = 30.0
"""This long after the submission's time limit, an accepted task is certainly listed."""
CLOCK_TOLERANCE = timedelta(minutes=5)


class Luma:
    """The provider `luma`. The attempt's id is part of the callback URL, which Luma's list of tasks includes."""

    name = "luma"
    usual_seconds = 60.0
    check_seconds = 3.0
    attempt_seconds = 1200.0

    def __init__(
        self,
        url: str,
        key: str,
        model: str,
        resolution: str,
        tariff: Tariff,
        concurrency: int,
        submit_seconds: float,
        downloader: Downloader,
        callbacks: Callbacks,
        scale: float,
    ) -> None:
        self.model = model
        self.resolution = resolution
        self.tariff: Tariff | None = tariff
        self.concurrency = concurrency
        self.submit_seconds = submit_seconds
        self.downloader = downloader
        self.callbacks = callbacks
        self.list_seconds = LIST_SECONDS * scale
        self._http = provider_http.http_client()
        self.client = lumaai.AsyncLumaAI(
            auth_token=key, base_url=url, max_retries=0, timeout=submit_seconds, http_client=self._http
        )

    async def __aenter__(self) -> Self:
        """Return itself; the first call connects."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._http.aclose()

    @property
    def can_reconcile(self) -> bool:
        """See `Provider.can_reconcile`."""
        return True

    async def submit(self, attempt_id: str, shot: Shot) -> str:
        """See `Provider.submit`."""
        order = order_of(shot, self.model, self.resolution, self.callbacks.address(self.name, attempt_id))
        try:
            answer = await self.client.generations.create(**order)
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
            link = ((await self._task(task_id) or {}).get("assets") or {}).get("video")
            if not link:
                raise ClipUnusable("Luma has no clip of this task.")
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


def order_of(shot: Shot, model: str, resolution: str, callback_url: str) -> dict[str, Any]:
    """Return the request for a shot. Raises `SubmissionRefused` if Luma cannot render it."""
    request = shot.request
    order: dict[str, Any] = {
        "model": model,
        "prompt": prompt_builder.prompt(request, LONGEST_PROMPT),
        "aspect_ratio": request.aspect_ratio,
        "duration": f"{shot.seconds}s",
        "resolution": resolution,
        "callback_url": callback_url,
    }
    if concept := prompt_builder.LUMA_CONCEPTS.get(request.scene.camera_angle):
        order["concepts"] = [{"key": concept}]
    first = shot.first_frame
    if first is not None and first.task_id is not None:
        order["keyframes"] = {"frame0": {"type": "generation", "id": first.task_id}}
    elif first is not None and first.link is not None:
        order["keyframes"] = {"frame0": {"type": "image", "url": first.link}}
    elif first is not None:
        reason = "Luma downloads the first frame from a public HTTPS URL, and the storage has none."
        raise SubmissionRefused("invalid_request", reason, asked=False)
    return order


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
        return Failed("invalid_request", "Luma could not read the first frame.", FREE, again=False)
    return Failed("job_failed", f"Luma failed: {said or 'no reason given'}", FREE, again=True)


def _created(task: Mapping[str, Any]) -> datetime:
    try:
        created = datetime.fromisoformat(str(task.get("created_at")))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
    return created if created.tzinfo else created.replace(tzinfo=UTC)
