"""The pictures of a finished film are shown with it, and end with it."""

from typing import Any
from uuid import UUID

import httpx

from gateway.videos.projection import VideoProjection, apply
from gateway.videos.status import VideoStatus
from shared.contracts.events import VideoExpired, VideoPreviewed
from shared.contracts.media import MediaReference, ScrubSheet, preview_key


def previewed(video_id: str) -> VideoPreviewed:
    def media(name: str, kind: str) -> MediaReference:
        return MediaReference(key=preview_key(video_id, name), content_type=kind, size=1, sha256="0" * 64)

    return VideoPreviewed(
        video_id=UUID(video_id),
        contact_sheet=media("contact-sheet.jpg", "image/jpeg"),
        animation=media("animation.webp", "image/webp"),
        scrub_sheet=media("scrub-sheet.jpg", "image/jpeg"),
        scrub_layout=ScrubSheet(columns=10, count=15, width=160, height=90, seconds=2),
    )


async def test_a_film_shows_its_pictures_once_they_are_there(api: httpx.AsyncClient, filmed: Any, happen: Any) -> None:
    video = await filmed()
    assert (video["previewUrl"], video["contactSheetUrl"], video["scrubbingUrl"]) == (None, None, None)
    assert (await api.get(f"{video['links']['self']}/preview")).status_code == 404
    await happen(previewed(video["videoId"]))
    after = (await api.get(video["links"]["self"])).json()
    assert (after["status"], after["lastSeq"]) == ("completed", video["lastSeq"]), "watchers have left"
    for name, part in (("previewUrl", "animation.webp"), ("contactSheetUrl", "contact-sheet.jpg")):
        answer = await api.get(after[name].removeprefix("http://localhost:8000"))
        assert answer.status_code == 307
        assert part in answer.headers["location"]


async def test_a_player_gets_cues_for_the_whole_film(api: httpx.AsyncClient, filmed: Any, happen: Any) -> None:
    video = await filmed()
    await happen(previewed(video["videoId"]))
    answer = await api.get(f"{video['links']['self']}/storyboard.vtt")
    assert answer.headers["content-type"].startswith("text/vtt")
    cues = answer.text.strip().split("\n\n")
    assert cues[0] == "WEBVTT"
    assert len(cues) == 16
    times, link = cues[12].split("\n")
    assert times == "00:00:22.000 --> 00:00:24.000"
    assert "scrub-sheet.jpg" in link
    assert link.endswith("#xywh=160,90,160,90")
    assert cues[15].startswith("00:00:28.000 --> 00:00:30.000")


def test_pictures_end_with_the_film() -> None:
    event = previewed(str(UUID(int=7)))
    film = VideoProjection(scene_count=1, status=VideoStatus.COMPLETED)
    shown = apply(film, event)
    assert shown.previews == event
    expired = apply(shown, VideoExpired(video_id=event.video_id))
    assert expired.previews is None
    assert apply(expired, event) == expired
