"""Whatever happens to clips, ffmpeg or the disk: a video is made or fails with a reason, and nothing is left over."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from composer.internal_messages import FilmMessage
from composer.workflow.composition import work_folder
from shared.contracts.events import SceneRendered, StoryboardCreated, VideoComposed, VideoFailed
from shared.contracts.media import LONGEST_FREEZE_FRAMES
from shared.contracts.messages import Message
from shared.media.ffmpeg import Ffmpeg
from shared.messaging.message_processor import RETRY_DELAYS_SECONDS, DeadLettered, Handled, Outcome, Retry
from shared_testing.servers import published

pytestmark = pytest.mark.slow

Storyboard = Callable[..., StoryboardCreated]
ATTEMPTS = 3
ALL_ATTEMPTS = len(RETRY_DELAYS_SECONDS) + 1
MACHINE = "the composer lacked memory or space, or its encoder was killed"


async def deliver(composer: Any, *events: Message) -> tuple[list[Outcome], list[Message]]:
    """Handle these messages and those that follow, each until it is handled or given up.

    Return the outcomes that are not `Handled`, and what others are told.
    """
    outcomes: list[Outcome] = []
    emitted: list[Message] = []
    pending = list(events)
    while pending:
        message = pending.pop(0)
        if message not in events and not isinstance(message, FilmMessage):
            emitted.append(message)
            continue
        outcome: Outcome = Retry(0, 1, "")
        while isinstance(outcome, Retry):
            outcome = await composer.deliver(message, attempt=outcome.attempt)
            if outcome != Handled():
                outcomes.append(outcome)
        pending += await published(composer.service.database)
    return outcomes, [one for one in emitted if isinstance(one, VideoComposed | VideoFailed)]


def assert_nothing_is_left(composer: Any) -> None:
    assert [path for path in (composer.folder / "work").rglob("*") if path.is_file() or path.is_symlink()] == []
    children = [pid for child in Path("/proc/self/task").glob("*/children") for pid in child.read_text().split()]
    assert [pid for pid in children if b"ffmpeg" in Path(f"/proc/{pid}/cmdline").read_bytes()] == []


def assert_failed(composer: Any, emitted: Sequence[Message], reason: str) -> None:
    failed = emitted[0]
    assert isinstance(failed, VideoFailed)
    assert reason in failed.reason
    assert str(composer.folder) not in failed.reason
    assert not [one for one in emitted if isinstance(one, VideoComposed)]
    assert "film.mp4" not in composer.objects()
    assert_nothing_is_left(composer)


def holed(content: bytes) -> bytes:
    middle = (content.find(b"mdat") + len(content)) // 2
    return content[:middle] + bytes(min(400, len(content) - middle)) + content[middle + 400 :]


def corrupted(content: bytes) -> bytes:
    begin = content.find(b"mdat") + 60
    garbage = bytes(n * 131 % 256 for n in range(len(content) - begin))
    return content[:begin] + garbage


PAGE = b"<!doctype html><title>502 Bad Gateway</title><p>Try again later."
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:1/secret\n#EXT-X-ENDLIST\n"
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "page": lambda _: PAGE,
    "playlist": lambda _: PLAYLIST,
    "empty": lambda _: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "truncated by a little": lambda content: content[:-100],
    "hole": holed,
    "corrupted": corrupted,
}
OTHERS = {
    "sound only": ["-f", "lavfi", "-i", "sine=300:d=1", "-c:a", "aac"],
    "absurdly large": [
        "-f",
        "lavfi",
        "-i",
        "color=s=4096x4096:r=24:d=1",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
    ],
}


async def with_content(composer: Any, event: SceneRendered, path: Path, *, copyable: bool) -> SceneRendered:
    """The event, as if scene-render had accepted this file."""
    media = await composer.storage.put(event.clip.media.key, path, "video/mp4")
    points = event.clip.cut_points if copyable else None
    return event.model_copy(update={"clip": event.clip.model_copy(update={"media": media, "cut_points": points})})


@pytest.mark.parametrize("copyable", [True, False], ids=["copied", "encoded"])
@pytest.mark.parametrize("damage", [*DAMAGES, *OTHERS])
async def test_a_clip_that_was_accepted_by_mistake_fails_the_video(
    composer: Any, storyboard: Storyboard, tmp_path: Path, damage: str, copyable: bool
) -> None:
    object.__setattr__(composer.service.deps.composition, "verify", "full")
    event, path = await composer.rendered(1), tmp_path / "wrong.mp4"
    if damage in DAMAGES:
        path.write_bytes(DAMAGES[damage]((composer.drawn / "1-24.mp4").read_bytes()))
    else:
        await Ffmpeg().run([*OTHERS[damage], "-y", str(path)], time_limit=60)
    outcomes, emitted = await deliver(
        composer, storyboard(1), await with_content(composer, event, path, copyable=copyable)
    )
    assert_failed(composer, emitted, "The film could not be joined")
    assert not any(isinstance(one, Retry) and one.attempt > ATTEMPTS for one in outcomes)


@pytest.mark.parametrize("damage", [holed, corrupted], ids=["hole", "corrupted"])
async def test_a_clip_that_changes_in_the_storage_is_noticed_even_where_it_is_copied(
    composer: Any, storyboard: Storyboard, damage: Callable[[bytes], bytes]
) -> None:
    event = await composer.rendered(1)
    path = composer.folder / "media" / event.clip.media.key
    path.write_bytes(damage(path.read_bytes()))
    _, emitted = await deliver(composer, storyboard(1), event)
    assert_failed(composer, emitted, "a stored clip or part is damaged")


@pytest.mark.parametrize("missing", [LONGEST_FREEZE_FRAMES, LONGEST_FREEZE_FRAMES + 1])
async def test_a_clip_may_be_short_by_so_many_frames_and_no_more(
    composer: Any, storyboard: Storyboard, missing: int
) -> None:
    board = storyboard(1)
    scene = board.scenes[0].model_copy(update={"duration": 2.0})
    _, emitted = await deliver(
        composer, board.model_copy(update={"scenes": (scene,)}), await composer.rendered(1, frames=48 - missing)
    )
    if missing > LONGEST_FREEZE_FRAMES:
        assert_failed(composer, emitted, "48 are needed")
    else:
        [composed] = emitted
        assert composed.duration == 2
        assert_nothing_is_left(composer)


@pytest.fixture
def window(composer: Any, storyboard: Storyboard) -> Callable[[], Any]:
    """The events of a film of two clips with a transition, which is encoded."""

    async def events() -> list[Message]:
        board = storyboard(2)
        scenes = (board.scenes[0].model_copy(update={"transition": "dissolve"}), board.scenes[1])
        clips = [await composer.rendered(1, frames=36), await composer.rendered(2)]
        return [board.model_copy(update={"scenes": scenes}), *clips]

    return events


def use(composer: Any, script: str) -> None:
    """Run this script instead of ffmpeg when a transition is encoded; `$real` is ffmpeg."""
    ffmpeg = composer.service.deps.composition.renderer.ffmpeg
    fake = composer.folder / "ffmpeg"
    other = 'case "$*" in *xfade*|*libx264*) ;; *) exec "$real" "$@";; esac'
    fake.write_text(f"#!/bin/sh\nreal='{ffmpeg.binary}'; once='{composer.folder}/once'\n{other}\n{script}\n")
    fake.chmod(0o755)
    ffmpeg.binary = str(fake)


ONCE = '[ -e "$once" ] && exec "$real" "$@"; touch "$once"; '


@pytest.mark.parametrize("fault", ["kill -KILL $$", "kill -SEGV $$", "exit 228", "exit 1"])
async def test_ffmpeg_that_fails_once_is_tried_again_and_the_rest_is_still_copied(
    composer: Any, window: Any, fault: str
) -> None:
    use(composer, ONCE + fault)
    outcomes, [composed] = await deliver(composer, *await window())
    assert [type(one) for one in outcomes] == [Retry]
    assert composed.encoded_frames < 24
    assert (await composer.film()).copies
    assert_nothing_is_left(composer)


@pytest.mark.parametrize("fault", ["kill -KILL $$", "kill -SEGV $$", "exit 228"])
async def test_a_fault_of_the_machine_is_tried_as_often_as_an_outage_may_take(
    composer: Any, window: Any, fault: str
) -> None:
    use(composer, fault)
    outcomes, emitted = await deliver(composer, *await window())
    assert [type(one) for one in outcomes] == [Retry] * (ALL_ATTEMPTS - 1) + [DeadLettered]
    assert (await composer.film()).copies
    assert_failed(composer, emitted, MACHINE)


async def test_ffmpeg_that_hangs_is_killed_with_its_children(
    composer: Any, window: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(composer, f"echo $$ >> {composer.folder}/pids; sleep 600 & echo $! >> {composer.folder}/pids; wait")
    monkeypatch.setattr("composer.film.encode.LIMIT_SECONDS", 0.5)
    monkeypatch.setattr("composer.film.encode.LIMIT_SECONDS_PER_SECOND", 0.0)
    outcomes, emitted = await deliver(composer, *await window())
    assert [type(one) for one in outcomes] == [Retry, Retry, DeadLettered]
    assert_failed(composer, emitted, "ffmpeg was killed after")
    pids = (composer.folder / "pids").read_text().split()
    assert not [pid for pid in pids if is_running(pid)]


async def test_a_transition_with_a_frame_too_few_is_not_used(composer: Any, window: Any) -> None:
    shorter = 'for one; do shift; [ "$last" = -frames:v ] && one=$((one - 1)); last=$one; set -- "$@" "$one"; done'
    use(composer, f'{shorter}; exec "$real" "$@"')
    _, emitted = await deliver(composer, *await window())
    assert_failed(composer, emitted, "The film could not be joined")


@pytest.mark.parametrize("name", ["part.mp4", "film.mp4"])
async def test_a_full_disk_is_waited_for(
    composer: Any, window: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    full = [ATTEMPTS + 1]

    def nearly_full(parent: Path | None, step: str) -> Any:
        return FullFolder(parent, step, name, full)

    monkeypatch.setattr("composer.workflow.composition.work_folder", nearly_full)
    outcomes, [composed] = await deliver(composer, *await window())
    assert [type(one) for one in outcomes] == [Retry] * (ATTEMPTS + 1)
    assert isinstance(composed, VideoComposed)
    assert composed.encoded_frames < 24
    assert_nothing_is_left(composer)


class FullFolder:
    """A work folder in which a file has no space the first times."""

    def __init__(self, parent: Path | None, step: str, name: str, times: list[int]) -> None:
        self.folder = work_folder(parent, step)
        self.step, self.name, self.times = step, name, times

    def __enter__(self) -> Path:
        folder = self.folder.__enter__()
        if self.times[0] and self.name.startswith(self.step):
            (folder / self.name).symlink_to("/dev/full")
        return folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.times[0] -= error is not None
        self.folder.__exit__(kind, error, trace)


def is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
    except (ProcessLookupError, FileNotFoundError):
        return False
