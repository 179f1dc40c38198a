"""Unusual clips of providers, cameras and editors: each becomes a scene that looks as intended.

The clips show a master: patches of known colours, a square, and at 1.0 s a white bar with a beep.
"""

import asyncio
import base64
import itertools
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from composer.film.parts import encoded_part, sound_part
from composer.film.plan import Rules, ScenePlan, plan_film, plan_parts, plan_scene
from composer.film.verification import verify_film
from composer.workflow.rendering import Renderer
from scene_render.clips.acceptance import WantedClip, accept
from scene_render.clips.clip_ingest import clip_of
from scene_render.clips.conform import graph, matches_profile, upright
from scene_render.providers.base import ClipUnusable
from shared.contracts.events import SceneFailed, SceneRendered, SceneRequested
from shared.contracts.media import FRAME_RATE, Clip
from shared.contracts.story import Scene as StoryScene
from shared.contracts.timeline import timeline
from shared.media.ffmpeg import Ffmpeg
from shared.media.probe import Colour, probe
from shared.storage.base import Storage
from shared.storage.folder import FolderStorage
from shared.storage.work_folder import work_folder

pytestmark = pytest.mark.slow

SIZE = (1280, 720)
MOST_SCENES = 5
FRAMES = 3 * FRAME_RATE
SCENE_SECONDS = 2.25
WANTED = WantedClip(SIZE, FRAMES, FRAMES)
FLASH_SECONDS = 1.0
WITHIN = 1.01 / FRAME_RATE
"""A frame, and what floats lose."""
Scene = Callable[..., SceneRequested]
Colours = Mapping[tuple[int, int], tuple[int, int, int]]

RED, GREEN, BLUE, YELLOW = (200, 60, 60), (60, 200, 60), (60, 60, 200), (200, 200, 60)
WHITE, GREY = (255, 255, 255), (128, 128, 128)
UPRIGHT: Colours = {
    (200, 150): RED, (1080, 150): GREEN, (200, 570): BLUE, (1080, 570): YELLOW, (640, 360): WHITE, (640, 690): GREY,
}  # fmt: skip
UPSIDE_DOWN: Colours = {(SIZE[0] - x, SIZE[1] - y): colour for (x, y), colour in UPRIGHT.items() if y < 600}
MIRRORED: Colours = {(SIZE[0] - x, y): colour for (x, y), colour in UPRIGHT.items()}
TURNED: Colours = {(640, 360): WHITE, (1000, 360): GREY}
"""The middle of a picture that is rotated by 90°."""

MASTER = (
    "[0]format=gbrp,drawbox=0:0:400:300:0xC83C3C:fill,drawbox=880:0:400:300:0x3CC83C:fill,"
    "drawbox=0:420:400:300:0x3C3CC8:fill,drawbox=880:420:400:300:0xC8C83C:fill,"
    "drawbox=520:240:240:240:white:fill[b];[1]format=gbrp[m];"
    "[b][m]overlay=x='450+100*t':y=520:format=gbrp,"
    "drawbox=440:120:400:60:white:fill:enable='between(t,0.999,1.124)'[v];"
    "[2]volume=0:enable='not(between(t,1,1.125))',aformat=channel_layouts=stereo[a]"
)
X264 = "-c:v libx264 -preset veryfast -crf 12 -bf 2"
AAC = "-c:a aac -ar 48000 -ac 2"
BT709 = "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv"
AS_FILM = f"{X264} -vf scale=out_color_matrix=bt709:out_range=tv,format=yuv420p {BT709} {AAC}"
TO_HDR = "setparams=color_primaries=bt709:color_trc=bt709,zscale=p=2020:m=2020_ncl:r=limited:npl=203"
X265 = "-c:v libx265 -preset ultrafast -crf 14 -tag:v hvc1"
BT2020 = "-color_primaries bt2020 -colorspace bt2020nc -color_range tv"
X265_BT2020 = "log-level=error:colorprim=bt2020:colormatrix=bt2020nc:range=limited"


@dataclass(frozen=True)
class Odd:
    """An odd clip: how it is made, and what the film shows of it. `{M}` is the master, `{G}` a clip that fits."""

    made: str
    colours: Colours = field(default_factory=lambda: UPRIGHT)
    error: int = 4
    side: int = 240
    """Of the square, in pixels."""
    flash: tuple[int, int] = (640, 150)
    """Where the bar lights up."""
    delay: float = 0.0
    """How much later than the flash the beep is heard, in seconds."""
    aperture: tuple[int, int] | None = None
    """The clean aperture that it gets afterwards, in pixels."""


ODD: dict[str, Odd] = {
    "fits": Odd("-i {G} -c copy"),
    "untagged": Odd(
        f"-i {{M}} {X264} -vf scale=out_color_matrix=bt709,format=yuv420p,setparams=colorspace=unknown {AAC}"
    ),
    "chapters": Odd("-i {G} -i {C} -map_chapters 1 -map 0 -c copy"),
    "timecode track": Odd("-i {G} -timecode 01:00:00:00 -c copy"),
    "turned 90": Odd("-display_rotation 90 -i {G} -c copy", colours=TURNED, side=427, flash=(267, 360)),
    "turned 180": Odd("-display_rotation 180 -i {G} -c copy", colours=UPSIDE_DOWN, flash=(640, 570)),
    "turned 270": Odd("-display_rotation 270 -i {G} -c copy", colours=TURNED, side=427, flash=(1013, 360)),
    "turned 90 by its first frame": Odd(
        "-i {G} -c copy -bsf:v h264_metadata=display_orientation=insert:rotate=90",
        colours=TURNED,
        side=427,
        flash=(267, 360),
    ),
    "mirrored": Odd("-display_hflip -i {G} -c copy", colours=MIRRORED),
    "bt601": Odd(
        f"-i {{M}} -r 25 {X264} -vf scale=out_color_matrix=smpte170m:out_range=tv,format=yuv420p -colorspace smpte170m "
        f"-color_primaries smpte170m -color_trc smpte170m -color_range tv {AAC}"
    ),
    "full range": Odd(
        f"-i {{M}} -r 30 {X264} -vf scale=out_color_matrix=bt709:out_range=pc,format=yuvj420p -colorspace bt709 "
        f"-color_primaries bt709 -color_trc bt709 -color_range pc {AAC}"
    ),
    "bt601 in full range": Odd(
        f"-i {{M}} {X264} -vf scale=out_color_matrix=smpte170m:out_range=pc,format=yuvj420p -colorspace smpte170m "
        f"-color_primaries bt709 -color_range pc {AAC}"
    ),
    "rgb": Odd(f"-i {{M}} -c:v libx264rgb -preset veryfast -crf 12 {AAC}"),
    "pq": Odd(
        f"-i {{M}} -vf {TO_HDR}:t=smpte2084,format=yuv420p10le {X265} -x265-params {X265_BT2020}:transfer=smpte2084 "
        f"{BT2020} -color_trc smpte2084 {AAC}",
        error=12,
    ),
    "pq in 8 bit": Odd(
        f"-i {{M}} -vf {TO_HDR}:t=smpte2084,format=yuv420p {X264} {BT2020} -color_trc smpte2084 {AAC}", error=12
    ),
    "hlg": Odd(
        f"-i {{M}} -vf {TO_HDR}:t=arib-std-b67,format=yuv420p10le {X265} "
        f"-x265-params {X265_BT2020}:transfer=arib-std-b67 {BT2020} -color_trc arib-std-b67 {AAC}",
        error=12,
    ),
    "late picture": Odd(
        "-itsoffset 0.5 -i {G} -f lavfi -t 3.5 -i sine=1000:r=48000 -filter_complex "
        "[1:a]volume=0:enable='not(between(t,1.5,1.625))',aformat=channel_layouts=stereo[a] "
        f"-map 0:v -map [a] -c:v copy {AAC}"
    ),
    "late sound": Odd("-i {G} -itsoffset 0.25 -i {G} -map 0:v -map 1:a -c copy", delay=0.25),
    "anamorphic": Odd(
        f"-i {{M}} {X264} -vf scale=960:720:out_color_matrix=bt709:out_range=tv,format=yuv420p,setsar=4/3 {BT709} {AAC}"
    ),
    "anamorphic by its container": Odd(
        f"-i {{M}} {X264} -vf scale=1280:540:out_color_matrix=bt709:out_range=tv,format=yuv420p,pad=1280:720:0:90,"
        f"setsar=3/4 -bsf:v h264_metadata=sample_aspect_ratio=1/1 {BT709} {AAC}"
    ),
    "clean aperture": Odd(
        f"-i {{M}} {X264} -vf scale=960:540:out_color_matrix=bt709:out_range=tv,format=yuv420p,pad=1280:720:160:90 "
        f"{BT709} {AAC}",
        aperture=(960, 720),
    ),
    "dv": Odd(
        "-i {M} -vf scale=720:576:out_color_matrix=smpte170m:out_range=tv,format=yuv420p,setsar=64/45,fps=25 "
        "-c:v dvvideo -ar 48000 -ac 2 -f avi",
        error=8,
    ),
    "untagged in standard definition": Odd(
        f"-i {{M}} {X264} -vf scale=640:360:out_color_matrix=bt601,format=yuv420p,setparams=colorspace=unknown {AAC}"
    ),
    "1080i": Odd(
        "-i {M} -vf scale=1920:1080:out_color_matrix=bt709:out_range=tv,format=yuv420p,fps=48,"
        f"tinterlace=interleave_top,setfield=tff {X264} -flags +ilme+ildct {BT709} {AAC}"
    ),
    "cover picture": Odd("-i {cover} -i {G} -map 0 -map 1 -c copy -disposition:v:0 attached_pic"),
    "preview first": Odd(
        "-i {G} -map 0:v -map 0:v -map 0:a -c:v:0 mjpeg -filter:v:0 scale=160:90,fps=8 -c:v:1 copy -c:a copy"
    ),
    "larger picture that is not the default": Odd(
        "-i {G} -map 0 -map 0:v -c copy -c:v:1 libx264 -preset:v:1 ultrafast "
        "-filter:v:1 scale=1600:900,negate -disposition:v:0 default -disposition:v:1 0"
    ),
    "webm": Odd(
        "-i {M} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 8M "
        f"-vf scale=out_color_matrix=bt709:out_range=tv,format=yuv420p {BT709} -c:a libopus -f webm"
    ),
    "avi": Odd(f"-i {{M}} -c:v mpeg4 -q:v 2 -vf scale=out_color_matrix=bt709,format=yuv420p {BT709} -c:a mp3 -f avi"),
    "mpeg-ts": Odd("-i {G} -c copy -f mpegts"),
}
TYPES = ("Video/MP4", "application/mp4", "application/octet-stream", "text/plain", "")
"""What providers call their clips. Each clip is sent with one of them; the empty one means no type."""


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a clip by ffmpeg's arguments."""
    folder = tmp_path_factory.mktemp("odd")
    names = {"M": folder / "M.mkv", "G": folder / "G.mp4", "C": folder / "C.txt", "cover": folder / "cover.jpg"}
    names["C"].write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=One\n")

    def run(arguments: str, target: Path) -> Path:
        words = [word.format(**names) for word in arguments.split()]
        subprocess.run([Ffmpeg().binary, "-v", "error", "-nostdin", "-y", *words, str(target)], check=True)
        return target

    colours = [f"-f lavfi -i color=c={c}:r=24:d=3:s={s}" for c, s in (("0x808080", "1280x720"), ("0x202020", "60x40"))]
    sound = "-f lavfi -i sine=1000:r=48000:d=3"
    run(f"{' '.join(colours)} {sound} -filter_complex {MASTER} -map [v] -map [a] -c:v ffv1 -c:a pcm_s16le", names["M"])
    run(f"-i {{M}} {AS_FILM}", names["G"])
    run("-i {G} -frames:v 1 -c:v mjpeg", names["cover"])
    return lambda arguments, name: run(arguments, folder / f"{name.replace(' ', '-')}.mp4")


@pytest.fixture(scope="module")
def odd_clips(make: Callable[..., Path]) -> Mapping[str, Path]:
    clips = {name: make(odd.made, name) for name, odd in ODD.items()}
    for name, odd in ODD.items():
        if odd.aperture:
            with_clean_aperture(clips[name], odd.aperture)
    return clips


def with_clean_aperture(clip: Path, size: tuple[int, int]) -> None:
    """Give an H.264 clip a centred clean aperture. Its index is behind its media, so these stay in place."""
    data = bytearray(clip.read_bytes())
    place = data.rfind(b"avcC") - 4
    data[place:place] = struct.pack(">I4s8I", 40, b"clap", size[0], 1, size[1], 1, 0, 1, 0, 1)
    for box in (b"avc1", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        begin = data.rfind(box, 0, place) - 4
        struct.pack_into(">I", data, begin, struct.unpack_from(">I", data, begin)[0] + 40)
    clip.write_bytes(data)


async def test_each_clip_becomes_a_scene_that_looks_as_intended(
    sqlite_rig: Any, simulated: Any, scene: Scene, odd_clips: Mapping[str, Path], tmp_path: Path, subtests: Any
) -> None:
    types = itertools.cycle(TYPES)
    clips = []
    for number, name in enumerate(ODD, start=1):
        request = scene(video=number, clip_frames=FRAMES)
        clips.append(await collected(sqlite_rig, simulated, request, odd_clips[name], next(types)))
    assert len(await simulated.tasks()) == len(ODD), "each was paid once"
    pairs = list(zip(ODD.items(), clips, strict=True))
    for start in range(0, len(pairs), MOST_SCENES):
        part, folder = pairs[start : start + MOST_SCENES], tmp_path / f"film-{start}"
        folder.mkdir()
        film, plans = await composed([clip for _, clip in part], sqlite_rig.storage, folder)
        for ((name, odd), _), seen in zip(part, looked_at(film, plans), strict=True):
            with subtests.test(name):
                wrong = {place: got for place, got in seen.patches(odd.colours).items() if got > odd.error}
                assert wrong == {}
                assert seen.square() == pytest.approx((odd.side, odd.side), abs=2)
                assert seen.flash(odd.flash) == pytest.approx(FLASH_SECONDS, abs=WITHIN)
                assert seen.beep() == pytest.approx(seen.flash(odd.flash) + odd.delay, abs=WITHIN)


async def composed(clips: Sequence[Clip], storage: Storage, folder: Path) -> tuple[Path, Sequence[ScenePlan]]:
    """Join clips by dissolves as the composer does, and verify the film, which has all of its frames."""
    how: dict[str, Any] = {"description": "d", "camera_angle": "wide", "action": "a", "transition": "dissolve"}
    by_number = dict(enumerate(clips, start=1))
    slots = timeline([StoryScene(scene_number=number, duration=SCENE_SECONDS, **how) for number in by_number])
    sets: dict[int, str] = {}
    for clip in clips:
        assert clip.cut_points is not None
        sets.setdefault(clip.cut_points.parameter_set_id, clip.cut_points.parameter_sets)
    rules, renderer, encoded = Rules(sets), Renderer(storage, Ffmpeg()), {}
    for part in plan_parts(slots, by_number, rules):
        with work_folder(folder, "part") as place:
            path = await renderer.make(encoded_part(part, SIZE), place)
            encoded[part.key] = await storage.put(f"parts/{part.key}.mp4", path, "video/mp4")
    with work_folder(folder, "sound") as place:
        sound = (await renderer.make(sound_part(slots, by_number, rules), place)).replace(folder / "sound.m4a")
    film, segments = folder / "film.mp4", plan_film(slots, by_number, rules)
    await renderer.join(segments, encoded, sound, film)
    verify_film(film, segments, SIZE, "full")
    assert (await probe(film)).frames == round(len(clips) * SCENE_SECONDS * FRAME_RATE)
    return film, [plan_scene(slot, clip, rules) for slot, clip in zip(slots, clips, strict=True)]


async def test_frames_that_an_edit_list_hides_do_not_count(make: Callable[..., Path]) -> None:
    hidden = make(f"-ss 2 -i {make('-i {G} -g 72 -c:v libx264', 'one key frame')} -c copy", "hidden")
    facts = await probe(hidden)
    assert (facts.frames, facts.hidden) == (FRAME_RATE, 2 * FRAME_RATE)
    with pytest.raises(ClipUnusable, match="24 frames; 72 were asked for"):
        await accept(hidden, WANTED, Ffmpeg())
    accepted = await accept(hidden, WantedClip(SIZE, FRAME_RATE, FRAME_RATE), Ffmpeg())
    facts = accepted.facts
    assert (facts.frames, facts.hidden, matches_profile(facts, SIZE)) == (FRAME_RATE, 0, True)
    assert len(decoded(accepted.path)) == FRAME_RATE


async def test_a_clip_cut_out_of_an_open_group_of_pictures_begins_with_a_whole_picture(
    make: Callable[..., Path],
) -> None:
    whole = make(f"-i {{M}} -g 24 -sc_threshold 0 -x264-params open-gop=1 {AS_FILM}", "open")
    clip = make(f"-ss 1.02 -i {whole} -c copy -copyts", "cut")
    accepted = await accept(clip, WantedClip(SIZE, 48, 48), Ffmpeg())
    assert (accepted.facts.frames, accepted.facts.start) == (48, 0)
    assert matches_profile(accepted.facts, SIZE)
    assert np.abs(decoded(accepted.path)[0][150, 200] - RED).max() <= 4


async def test_picture_and_sound_stay_in_sync_when_both_are_converted(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    small = make("-t 0.5 -i {M} -vf scale=640:360,format=yuv420p -c:v libx264 -c:a aac -ac 1 -f mpegts", "small")
    large = make(f"-ss 0.5 -i {{M}} -output_ts_offset 0.5 {AS_FILM} -f mpegts", "large")
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    accepted = await accept(both, WANTED, Ffmpeg())
    storage = FolderStorage(tmp_path / "media")
    clip = clip_of(await storage.put("clip.mp4", accepted.path, "video/mp4"), accepted)
    [seen] = looked_at(*await composed([clip], storage, tmp_path))
    assert seen.flash((640, 150)) == pytest.approx(FLASH_SECONDS, abs=WITHIN)
    assert seen.beep() == pytest.approx(seen.flash((640, 150)), abs=WITHIN)


@pytest.mark.parametrize("mirrored", ["", "-display_hflip", "-display_vflip"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_picture_is_turned_as_ffmpeg_turns_it(make: Callable[..., Path], degrees: int, mirrored: str) -> None:
    clip = make(f"-display_rotation {degrees} {mirrored} -i {{G}} -frames:v 1 -an -c copy", "one frame")
    turned = graph(upright(asyncio.run(probe(clip)).turning)) or "null"
    theirs = make(f"-i {clip} -vf scale=iw/8:-1 -f rawvideo", "theirs")
    ours = make(f"-noautorotate -i {clip} -vf {turned},scale=iw/8:-1 -f rawvideo", "ours")
    assert ours.read_bytes() == theirs.read_bytes()


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format="rgb24", src_colorspace="ITU709").astype(float)
            for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize(
    "change",
    [
        {"container": "matroska"}, {"width": 1278}, {"sample_aspect": Fraction(4, 3)}, {"turning": (0, 1, -1, 0)},
        {"is_cropped": True},
        {"is_interlaced": True}, {"hidden": 1}, {"frame_rate": Fraction(24000, 1001)}, {"constant_rate": False},
        {"start": 0.5}, {"video_codec": "hevc"}, {"profile": "High 10"}, {"pixel_format": "yuv422p"}, {"others": 1},
        {"colour": Colour(6, 1, 1, full_range=False)}, {"colour": Colour(1, 9, 1, full_range=False)},
        {"colour": Colour(1, 1, 16, full_range=False)}, {"colour": Colour(1, 1, 18, full_range=False)},
        {"colour": Colour(1, 1, 1, full_range=True)}, {"colour": Colour(2, 5, 2, full_range=False)},
        {"audio_codec": "opus"}, {"audio_rate": 44_100}, {"audio_channels": 1}, {"audio_start": 0.5},
    ],
    ids=str,
)  # fmt: skip
async def test_a_clip_that_differs_in_anything_does_not_fit(
    odd_clips: Mapping[str, Path], change: dict[str, Any]
) -> None:
    facts = await probe(odd_clips["fits"])
    assert matches_profile(facts, SIZE)
    assert not matches_profile(replace(facts, **change), SIZE)


async def collected(rig: Any, simulated: Any, request: SceneRequested, clip: Path, content_type: str) -> Clip:
    """Have a simulated provider deliver this clip, and the service take it."""
    headers = {"content-type": content_type} if content_type else {}
    data = base64.b64encode(clip.read_bytes()).decode()
    await simulated.wrong("clip", status=200, headers=headers, data=data)
    provider = simulated.provider("luma")
    await rig.use(provider)
    await rig.deliver(request)
    async with provider:
        emitted = await rig.play(
            lambda emitted: any(isinstance(event, SceneRendered | SceneFailed) for event in emitted)
        )
    failures = [event.reason for event in emitted if isinstance(event, SceneFailed)]
    assert failures == [], clip.name
    [rendered] = [event for event in emitted if isinstance(event, SceneRendered)]
    return rendered.clip


@dataclass(frozen=True)
class Seen:
    """What the film shows and sounds like while one scene is alone on screen; times are those of its clip."""

    first: int
    picture: np.ndarray
    lights: Sequence[np.ndarray]
    sound: np.ndarray

    def patches(self, colours: Colours) -> dict[tuple[int, int], int]:
        """How far each patch is from its colour, of 255."""
        return {
            (x, y): round(float(np.abs(self.picture[y - 4 : y + 4, x - 4 : x + 4].mean(axis=(0, 1)) - colour).max()))
            for (x, y), colour in colours.items()
        }

    def square(self) -> tuple[int, int]:
        """How wide and high the white square in the middle is, in pixels."""
        white = self.picture.min(axis=2) > 220
        return int(white[SIZE[1] // 2].sum()), int(white[:, SIZE[0] // 2].sum())

    def flash(self, place: tuple[int, int]) -> float:
        """When the bar lights up, in seconds."""
        x, y = place
        return (self.first + next(n for n, light in enumerate(self.lights) if light[y // 8, x // 8] > 200)) / FRAME_RATE

    def beep(self) -> float:
        """When the beep begins, in seconds."""
        return self.first / FRAME_RATE + float(np.argmax(np.abs(self.sound) > 0.03)) / 48_000


def looked_at(film: Path, plans: Sequence[ScenePlan]) -> Sequence[Seen]:
    """Look at each scene between its transitions."""
    slots = [plan.slot for plan in plans]
    pictures: dict[int, np.ndarray] = {}
    lights: list[np.ndarray] = []
    places = {slot.start + 20 for slot in slots}
    with av.open(str(film)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            lights.append(frame.to_ndarray()[: SIZE[1] : 8, ::8])
            if number in places:
                pictures[number] = frame.to_ndarray(format="rgb24", src_colorspace="ITU709").astype(float)
        container.seek(0)
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)[0]
    seen = []
    for slot, plan in zip(slots, plans, strict=True):
        first, end = slot.start + 18, slot.start + slot.frames
        heard = sound[first * 48_000 // FRAME_RATE : end * 48_000 // FRAME_RATE]
        seen.append(Seen(18 - plan.held, pictures[slot.start + 20], lights[first:end], heard))
    return seen
