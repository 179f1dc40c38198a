"""The sound of a film is heard where its clips are, at the loudness of other films."""

from pathlib import Path

import av
import numpy as np
import pytest

from composer.sound.loudness import Loudness, correction
from composer.sound.mix import mix_sound
from composer.sound.tracks import Track
from shared.media.ffmpeg import Ffmpeg

pytestmark = pytest.mark.slow

RATE = 48_000
FRAME = RATE // 24


async def sound(folder: Path, source: str, seconds: float, *form: str) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.m4a"
    arguments = ["-f", "lavfi", "-i", f"{source}:d={seconds}", *form, "-c:a", "aac", "-b:a", "192k", str(path)]
    await Ffmpeg().run(arguments, time_limit=60)
    return path


def samples(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
        return heard[0]


async def loudness(path: Path) -> tuple[float, float]:
    """The integrated loudness and the true peak."""
    report = path.with_suffix(".txt")
    measure = f"ebur128=peak=true:metadata=1,ametadata=print:file={report}"
    await Ffmpeg().run(["-f", "mov", "-i", str(path), "-af", measure, "-f", "null", "-"], time_limit=60)
    values = dict(line.split("=") for line in report.read_text().splitlines() if line.startswith("lavfi.r128"))
    peak = max(float(value) for name, value in values.items() if "true_peaks_ch" in name)
    return float(values["lavfi.r128.I"]), 20 * np.log10(peak)


def strength(heard: np.ndarray, frequency: float) -> float:
    """How much of a tone is in a piece of sound, as its amplitude."""
    wave = np.exp(-2j * np.pi * frequency * np.arange(len(heard)) / RATE)
    return float(2 * abs((heard * wave).mean()))


async def test_each_track_is_heard_at_its_place_and_nothing_elsewhere(tmp_path: Path) -> None:
    late = await sound(tmp_path, "sine=440:r=48000", 1)
    await mix_sound([(Track(begin=24, frames=24), late)], 72, tmp_path / "mix.m4a", Ffmpeg(), evened=False)
    heard = samples(tmp_path / "mix.m4a")
    assert np.abs(heard[: RATE - 1200]).max() < 0.005
    assert np.abs(heard[RATE + 1200 : 2 * RATE - 1200]).max() > 0.05
    assert np.abs(heard[2 * RATE + 1200 :]).max() < 0.005


@pytest.mark.parametrize("form", [(), ("-ar", "44100", "-ac", "1")], ids=["48-stereo", "44-mono"])
async def test_a_beep_is_heard_to_the_millisecond(tmp_path: Path, form: tuple[str, ...]) -> None:
    source = "aevalsrc=if(gte(t\\,1)\\,0.5*sin(2*PI*1000*t)\\,0):s=48000"
    beep = await sound(tmp_path, source, 2, *form)
    await mix_sound([(Track(begin=12, frames=48), beep)], 60, tmp_path / "mix.m4a", Ffmpeg(), evened=False)
    first = int(np.argmax(np.abs(samples(tmp_path / "mix.m4a")) > 0.2))
    assert abs(first - 1.5 * RATE) < RATE / 500


async def test_overlapping_tracks_cross_fade(tmp_path: Path) -> None:
    before, after = await sound(tmp_path, "sine=400:r=48000", 2), await sound(tmp_path, "sine=900:r=48000", 2)
    tracks = [(Track(begin=0, frames=48, fade_out=24), before), (Track(begin=24, frames=48, fade_in=24), after)]
    await mix_sound(tracks, 72, tmp_path / "mix.m4a", Ffmpeg(), evened=False)
    heard = samples(tmp_path / "mix.m4a")
    full = strength(heard[: RATE // 2], 400)
    early, late = heard[int(1.2 * RATE) : int(1.3 * RATE)], heard[int(1.7 * RATE) : int(1.8 * RATE)]
    assert strength(early, 400) == pytest.approx(0.75 * full, rel=0.1)
    assert strength(early, 900) == pytest.approx(0.25 * full, rel=0.1)
    assert strength(late, 400) == pytest.approx(0.25 * full, rel=0.1)


async def test_a_track_that_begins_before_the_film_is_heard_from_its_middle(tmp_path: Path) -> None:
    source = "aevalsrc=if(gte(t\\,1)\\,0.5*sin(2*PI*1000*t)\\,0):s=48000"
    beep = await sound(tmp_path, source, 2)
    await mix_sound([(Track(begin=-12, frames=48), beep)], 24, tmp_path / "mix.m4a", Ffmpeg(), evened=False)
    assert abs(int(np.argmax(np.abs(samples(tmp_path / "mix.m4a")) > 0.2)) - RATE / 2) < RATE / 500


@pytest.mark.parametrize("frames", [24, 361, 719])
@pytest.mark.parametrize("silent", [True, False], ids=["silent", "heard"])
async def test_the_sound_ends_with_the_film(tmp_path: Path, frames: int, silent: bool) -> None:
    short = [(Track(begin=0, frames=24), await sound(tmp_path, "sine=400:r=48000", 0.5))]
    await mix_sound([] if silent else short, frames, tmp_path / "mix.m4a", Ffmpeg())
    with av.open(str(tmp_path / "mix.m4a")) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.pts is not None]
        decoded = sum(frame.samples for frame in av.open(str(tmp_path / "mix.m4a")).decode(audio=0))
    assert packets[0].pts <= 0
    assert 0 <= packets[-1].pts + packets[-1].duration - frames * FRAME < 1024
    assert abs(decoded - frames * FRAME) <= 2048


async def test_silence_is_silent(tmp_path: Path) -> None:
    await mix_sound([], 48, tmp_path / "mix.m4a", Ffmpeg())
    assert np.abs(samples(tmp_path / "mix.m4a")).max() == 0


@pytest.mark.parametrize("volume", [1, 3, 7])
async def test_quiet_and_loud_mixes_have_the_same_loudness(tmp_path: Path, volume: float) -> None:
    noise = await sound(tmp_path, f"anoisesrc=color=pink:seed=1:r=48000:amplitude={volume / 8}", 5)
    await mix_sound([(Track(begin=0, frames=120), noise)], 120, tmp_path / "mix.m4a", Ffmpeg())
    integrated, peak = await loudness(tmp_path / "mix.m4a")
    assert integrated == pytest.approx(-14, abs=0.7)
    assert peak <= -1


async def test_a_lowered_mix_stays_lower_and_gives_way_to_a_voice(tmp_path: Path) -> None:
    noise = await sound(tmp_path, "anoisesrc=color=pink:seed=1:r=48000:amplitude=0.4", 5)
    lowered = (Track(begin=0, frames=120, gain_db=-12), noise)
    await mix_sound([lowered], 120, tmp_path / "mix.m4a", Ffmpeg())
    assert (await loudness(tmp_path / "mix.m4a"))[0] == pytest.approx(-26, abs=0.7)
    voice = (Track(kind="narration", begin=0, frames=120), noise)
    await mix_sound([lowered, voice], 120, tmp_path / "mix.m4a", Ffmpeg())
    assert (await loudness(tmp_path / "mix.m4a"))[0] == pytest.approx(-14, abs=0.7)


async def test_peaks_stay_below_the_limit_and_a_whisper_is_not_made_loud(tmp_path: Path) -> None:
    clicks = await sound(tmp_path, "aevalsrc=0.9*exp(-400*mod(t\\,0.5))*sin(9000*t):s=48000", 5)
    await mix_sound([(Track(begin=0, frames=120), clicks)], 120, tmp_path / "mix.m4a", Ffmpeg())
    assert (await loudness(tmp_path / "mix.m4a"))[1] <= -1
    hiss = await sound(tmp_path, "anoisesrc=seed=1:r=48000:amplitude=0.0005", 5)
    before = (await loudness(hiss))[0]
    await mix_sound([(Track(begin=0, frames=120), hiss)], 120, tmp_path / "mix.m4a", Ffmpeg())
    assert (await loudness(tmp_path / "mix.m4a"))[0] == pytest.approx(before, abs=2)


async def test_music_is_quieter_while_somebody_speaks(tmp_path: Path) -> None:
    music, speech = await sound(tmp_path, "sine=900:r=48000", 6), await sound(tmp_path, "sine=300:r=48000", 2)
    tracks = [
        (Track(kind="music", begin=0, frames=144, gain_db=-6, ducked_by=("narration",)), music),
        (Track(kind="narration", begin=48, frames=48), speech),
    ]
    await mix_sound(tracks, 144, tmp_path / "mix.m4a", Ffmpeg(), evened=False)
    heard = samples(tmp_path / "mix.m4a")
    alone, under, after = (strength(heard[t * RATE : (t + 1) * RATE], 900) for t in (1, 3, 5))
    assert under < alone / 2
    assert after == pytest.approx(alone, rel=0.1)


async def test_two_ways_of_one_kind_duck_another(tmp_path: Path) -> None:
    music, speech = await sound(tmp_path, "sine=900:r=48000", 6), await sound(tmp_path, "sine=300:r=48000", 1)
    tracks = [
        (Track(kind="music", begin=0, frames=144, gain_db=-6, ducked_by=("narration",)), music),
        (Track(kind="narration", begin=24, frames=24), speech),
        (Track(kind="narration", begin=96, frames=24, ducked_by=("clip",)), speech),
    ]
    await mix_sound(tracks, 144, tmp_path / "mix.m4a", Ffmpeg(), evened=False)
    heard = samples(tmp_path / "mix.m4a")
    first, alone, second = (strength(heard[int((t + 0.3) * RATE) : int((t + 0.9) * RATE)], 900) for t in (1, 3, 4))
    assert max(first, second) < alone / 2


@pytest.mark.parametrize("loud", [False, True], ids=["gain", "limited"])
async def test_an_evened_mix_is_in_sync(tmp_path: Path, loud: bool) -> None:
    bursts = "0.02*sin(2*PI*300*t)" if loud else "0"
    source = f"aevalsrc=if(gte(t\\,2)*lt(t\\,2.05)\\,0.9*sin(2*PI*1000*t)\\,{bursts}):s=48000"
    beep = await sound(tmp_path, source, 4)
    before = int(np.argmax(np.abs(samples(beep)) > 0.3 * np.abs(samples(beep)).max()))
    await mix_sound([(Track(begin=0, frames=96), beep)], 96, tmp_path / "mix.m4a", Ffmpeg())
    heard = np.abs(samples(tmp_path / "mix.m4a"))
    assert abs(int(np.argmax(heard > 0.3 * heard.max())) - before) < RATE / 1000


async def test_noise_bursts_stay_below_the_highest_peak(tmp_path: Path) -> None:
    bursts = await sound(tmp_path, "aevalsrc=(random(0)*2-1)*lt(mod(t\\,1)\\,0.2):s=48000", 6)
    await mix_sound([(Track(begin=0, frames=144), bursts)], 144, tmp_path / "mix.m4a", Ffmpeg())
    assert (await loudness(tmp_path / "mix.m4a"))[1] <= -1


@pytest.mark.parametrize(
    ("measured", "gain", "limited"),
    [
        (Loudness(-20, -10), 6, False),
        (Loudness(-20, -5), 6, True),
        (Loudness(-30, -5), 10, True),
        (Loudness(-45, -40), 20, False),
        (Loudness(-8, -0.5), -6, False),
        (Loudness(-70, -60), 0, False),
        (Loudness(float("-inf"), float("-inf")), 0, False),
    ],
)
def test_the_gain_is_bounded_by_peaks_and_noise(measured: Loudness, gain: float, limited: bool) -> None:
    change = correction(measured)
    assert (change.gain_db, change.is_limited) == (pytest.approx(gain), limited)
