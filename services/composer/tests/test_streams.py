"""A film can be watched while it is made: the stream has its frames, piece by piece, and never holds it up."""

import math
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import av
import numpy as np
import pytest

from composer.film.plan import Rules
from composer.stream.pieces import PieceWrong
from composer.stream.plan import stream_parts
from shared.contracts.events import (
    SceneRendered,
    StoryboardCreated,
    StreamExtended,
    VideoCancelled,
    VideoComposed,
    VideoDeleted,
    VideoExpired,
    VideoFailed,
    VideoResumed,
)
from shared.contracts.media import FRAME_RATE, Clip, MediaReference
from shared.contracts.story import Scene
from shared.contracts.timeline import timeline
from shared.media.ffmpeg import Ffmpeg
from shared.media.h264_stream import cut_points
from shared.messaging.message_processor import DeadLettered, Handled
from shared_testing.servers import published

VIDEO = UUID(int=7)
VIDEO_FAILED = VideoFailed(video_id=VIDEO, stage="scene-render", kind="k", reason="r")
VIDEO_RESUMED = VideoResumed(video_id=VIDEO)
Storyboard = Callable[..., StoryboardCreated]
LEVEL_OF_TONE = 0.125 / 2
"""RMS of a channel; in a stream it is as loud as in its clip."""
LEVEL_OF_FILMS = 10 ** ((-14 + 0.69) / 20) / math.sqrt(2)
"""The same of a tone at -14 LUFS in two channels."""


def with_a_fade(board: StoryboardCreated) -> StoryboardCreated:
    first, *others = board.scenes
    return board.model_copy(update={"scenes": (first.model_copy(update={"transition": "fade"}), *others)})


async def make_pieces(composer: Any) -> list[StreamExtended]:
    """Make the pieces that are due."""
    for due in composer.pieces_due:
        assert await composer.deliver(due) == Handled()
    composer.pieces_due.clear()
    return await published(composer.service.database)


def streams(composer: Any) -> set[str]:
    """The names of the stored files of the stream."""
    return {path.name for path in (composer.folder / "media").rglob("stream/*")}


def pictures(media: Path | BytesIO) -> list[bytes]:
    source = media if isinstance(media, BytesIO) else str(media)
    with av.open(source, "r", format="mov") as container:
        return [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.pts is not None]


@pytest.mark.slow
async def test_the_stream_has_the_frames_of_the_film(composer: Any, storyboard: Storyboard) -> None:
    board = with_a_fade(storyboard(3))
    await composer.handle(board, await composer.rendered(1, frames=36))
    assert [due.part.number for due in composer.pieces_due] == [1]
    extended = await make_pieces(composer)
    await composer.handle(await composer.rendered(2))
    extended += await make_pieces(composer)
    assert [one.piece_number for one in extended] == [1, 2], "before the third clip is there"
    [_, composed] = await composer.handle(await composer.rendered(3))
    extended += await make_pieces(composer)

    assert [(one.piece_number, one.piece_count) for one in extended] == [(1, 3), (2, 3), (3, 3)]
    assert isinstance(composed, VideoComposed)
    streamed = []
    for one in extended:
        streamed += pictures(stream_file(composer, one))
        assert one.longest_frames >= max(segment.frames for segment in one.segments)
    assert streamed == pictures(composer.folder / "media" / composed.film.key)
    assert sum(segment.frames for one in extended for segment in one.segments) == len(streamed) == 72


async def with_a_tone(composer: Any, rendered: SceneRendered) -> SceneRendered:
    """Add a tone to a stored clip."""
    clip, path = rendered.clip, composer.folder / "tone.mp4"
    source = ["-f", "mov", "-i", str(composer.folder / "media" / clip.media.key)]
    sound = ["-f", "lavfi", "-i", "sine=f=440:r=48000", "-t", f"{clip.frames / FRAME_RATE}"]
    form = ["-c:v", "copy", "-c:a", "aac", "-ac", "2"]
    await Ffmpeg().run([*source, *sound, *form, "-y", str(path)], time_limit=60)
    media = await composer.storage.put(clip.media.key, path, "video/mp4")
    changed = clip.model_copy(update={"media": media, "has_audio": True, "cut_points": cut_points(path)})
    return rendered.model_copy(update={"clip": changed})


@pytest.mark.slow
async def test_the_sound_of_the_stream_has_no_gap(composer: Any, storyboard: Storyboard) -> None:
    clips = [await composer.rendered(number) for number in (1, 2, 3)]
    await composer.handle(storyboard(3), *[await with_a_tone(composer, one) for one in clips[:2]], clips[2])
    heard = [loudness(stream_file(composer, one)) for one in await make_pieces(composer)]
    # 10 ms each; a decoder needs one packet of 21 ms to begin with.
    assert [len(levels) for levels in heard] == pytest.approx([100, 100, 100], abs=3)
    for levels in heard[:2]:
        assert min(levels[3:99]) > 0.9 * levels[50]
    assert max(heard[2]) < 0.001, "its clip has no sound"


@pytest.mark.slow
@pytest.mark.parametrize(("clip_sound", "decibels"), [("keep", 0), ("lower", -12), ("drop", None)])
async def test_the_sound_of_clips_is_kept_lowered_or_dropped(
    composer: Any, storyboard: Storyboard, clip_sound: str, decibels: int | None
) -> None:
    clips = [await with_a_tone(composer, await composer.rendered(number)) for number in (1, 2)]
    emitted = await composer.handle(storyboard(clip_sound=clip_sound), *clips)
    composed = emitted[-1]
    assert isinstance(composed, VideoComposed)
    assert composed.encoded_frames == 0, "the picture is copied"
    film = BytesIO((composer.folder / "media" / composed.film.key).read_bytes())
    heard = [loudness(film), *(loudness(stream_file(composer, one)) for one in await make_pieces(composer))]
    assert len(heard) == 3
    for levels, full in zip(heard, (LEVEL_OF_FILMS, LEVEL_OF_TONE, LEVEL_OF_TONE), strict=True):
        if decibels is None:
            assert max(levels) == 0
        else:
            assert 20 * math.log10(levels[50] / full) == pytest.approx(decibels, abs=1)


def stream_file(composer: Any, extended: StreamExtended) -> BytesIO:
    """The file of a piece, as a player reads it."""
    stored = (extended.init, *(segment.media for segment in extended.segments))
    return BytesIO(b"".join((composer.folder / "media" / media.key).read_bytes() for media in stored))


def loudness(media: BytesIO) -> list[float]:
    """The RMS level of each 10 ms."""
    with av.open(media, "r", format="mov") as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    whole = samples[: len(samples) // 480 * 480].reshape(-1, 480)
    return [float(level) for level in np.sqrt((whole**2).mean(axis=1))]


@pytest.mark.slow
async def test_a_piece_that_cannot_be_made_does_not_fail_the_film(
    composer: Any, storyboard: Storyboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wrong(*_: Any) -> None:
        raise PieceWrong("sound", "there", "missing")

    monkeypatch.setattr("composer.workflow.streams.make_stream_piece", wrong)
    await composer.handle(storyboard(2), await composer.rendered(1))
    [due] = composer.pieces_due
    assert isinstance(await composer.deliver(due), DeadLettered)
    assert await published(composer.service.database) == []
    [_, composed] = await composer.handle(await composer.rendered(2))
    assert isinstance(composed, VideoComposed)


@pytest.mark.slow
async def test_pieces_are_ordered_again_when_a_video_is_resumed_unless_they_are_made(
    composer: Any, storyboard: Storyboard
) -> None:
    await composer.handle(storyboard(3), await composer.rendered(1))
    await make_pieces(composer)
    await composer.handle(await composer.rendered(2))
    composer.pieces_due.clear()
    await composer.handle(VIDEO_FAILED, VIDEO_RESUMED)
    assert [due.part.number for due in composer.pieces_due] == [2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "left"),
    [
        (VideoDeleted(video_id=VIDEO, by="person"), set()),
        (VideoExpired(video_id=VIDEO), set()),
        (VideoCancelled(video_id=VIDEO, by="person", reason="r"), {"1-init.mp4", "1-0.mp4"}),
    ],
    ids=["deleted", "expired", "cancelled"],
)
async def test_the_stream_is_removed_with_its_video_but_not_when_it_is_cancelled(
    composer: Any, storyboard: Storyboard, end: Any, left: set[str]
) -> None:
    scenes = 1 if isinstance(end, VideoExpired) else 2
    await composer.handle(storyboard(scenes), await composer.rendered(1))
    [due] = composer.pieces_due
    await make_pieces(composer)
    assert streams(composer) == {"1-init.mp4", "1-0.mp4"}
    await composer.handle(end)
    assert streams(composer) == left
    late = due.model_copy(update={"part": due.part.model_copy(update={"number": 2})})
    assert await composer.deliver(late) == Handled()
    assert streams(composer) == left


def test_the_sounds_of_a_piece_are_those_that_are_heard_in_it() -> None:
    scenes = [
        Scene(scene_number=n, description="d", camera_angle="wide", duration=2, action="a", transition=transition)
        for n, transition in ((1, "fade"), (2, "cut"), (3, "cut"))
    ]
    slots = timeline(scenes)
    clips = {slot.scene.scene_number: _clip(slot.scene.scene_number, slot.clip_frames) for slot in slots}
    assert list(stream_parts(slots, clips, {}, (1280, 720), Rules({}))) == [], "no part of it is made"
    pieces = list(stream_parts(slots, clips, _Everything(), (1280, 720), Rules({})))
    assert [(piece.number, piece.frames) for piece in pieces] == [(1, 48), (2, 48), (3, 48)]
    assert {piece.longest_frames for piece in pieces} == {72}
    heard = [[(one.media.key[-5], one.track.begin, one.track.frames) for one in piece.sounds] for piece in pieces]
    assert heard == [[("1", 0, 60)], [("1", -48, 60), ("2", 0, 48)], [("3", 0, 48)]]


class _Everything(dict[str, MediaReference]):
    """All parts are made."""

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002
        return MediaReference(key=f"videos/7/film-parts/{key}.mp4", content_type="video/mp4", size=1, sha256="0" * 64)


def _clip(number: int, frames: int) -> Clip:
    media = MediaReference(key=f"videos/7/scene-{number}.mp4", content_type="video/mp4", size=1, sha256="0" * 64)
    return Clip(media=media, width=1280, height=720, frames=frames, has_audio=True)
