"""Mixes the sound of a film, evens its loudness, and encodes it; apart from the picture."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import ffmpeg as graph

from composer.sound.loudness import HIGHEST_PEAK_DB, Correction, Loudness, correction
from composer.sound.silence import write_silence
from composer.sound.tracks import Track, TrackKind
from shared.contracts.media import FRAME_RATE
from shared.media.encoding_profile import AUDIO_LAYOUT, AUDIO_RATE, CONTAINER, FILM_AUDIO
from shared.media.ffmpeg import Ffmpeg

LIMIT_SECONDS = 60.0
LIMIT_SECONDS_PER_SECOND = 5.0
"""Time limits for a slow, busy machine: a constant part, and one for each second of film."""
DUCKING: Mapping[str, object] = {"threshold": 0.02, "ratio": 8, "attack": 50, "release": 400}
"""Linear level and milliseconds: about 12 dB quieter under speech, back within half a second."""
LIMITED_RATE = 4 * AUDIO_RATE
"""Peaks between samples are visible at four times the rate (ITU-R BS.1770, annex 2)."""
ENCODER_MARGIN_DB = 0.5
"""By how much AAC may exceed a peak."""


async def mix_sound(
    tracks: Sequence[tuple[Track, Path]], frames: int, target: Path, ffmpeg: Ffmpeg, *, evened: bool = True
) -> None:
    """Write the sound of a film of `frames` frames to `target`: AAC in MP4.

    Each track comes with an MP4 file that has a sound. `evened`: bring the mix to the loudness of other films.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg cannot read or write a sound.
    """
    heard = [(track, path) for track, path in tracks if _span(track, frames)]
    if not heard:
        await asyncio.to_thread(write_silence, frames, target)
        return
    mixed, report = target.with_suffix(".wav"), target.with_suffix(".loudness")
    limit = LIMIT_SECONDS + LIMIT_SECONDS_PER_SECOND * frames / FRAME_RATE
    mix = _mix(heard, frames)
    if evened:
        # Beside the mix, which it does not change, `ebur128` writes its measurements as metadata.
        mix = mix.filter("ebur128", peak="true", metadata=1, framelog="quiet")
        mix = mix.filter("ametadata", "print", file=str(report))
    await ffmpeg.run(_arguments(graph.output(mix, str(mixed), acodec="pcm_f32le", f="wav")), time_limit=limit)
    source = graph.input(str(mixed), f="wav").audio
    if evened:
        source = _corrected(source, correction(_loudness(await asyncio.to_thread(report.read_text))))
    output = graph.output(source, str(target), **FILM_AUDIO, **CONTAINER)
    await ffmpeg.run(_arguments(output), time_limit=limit)
    mixed.unlink()


def _span(track: Track, frames: int) -> range:
    """Return the frames of a track that are in the film."""
    return range(max(0, -track.begin), min(track.frames, frames - track.begin))


def _mix(tracks: Sequence[tuple[Track, Path]], frames: int) -> Any:  # noqa: ANN401 - ffmpeg-python has no types
    """Mix the tracks of a kind first, so that one kind can duck another."""
    buses = [
        (kind, ducked_by, _sum([_placed(track, path, frames) for track, path in bus]))
        for (kind, ducked_by), bus in groupby(sorted(tracks, key=_bus_of), _bus_of)
    ]
    splits = {kind: bus.filter_multi_output("asplit") for kind, _, bus in buses if _ducks(kind, tracks)}
    mixed = [splits[kind][0] if kind in splits else bus for kind, _, bus in buses]
    length = _seconds(frames)
    for number, (_, ducked_by, _) in enumerate(buses):
        if speaking := [splits[kind][number + 1] for kind in ducked_by if kind in splits]:
            # It ends with the shorter of its inputs.
            key = _sum(speaking).filter("apad", whole_dur=length)
            mixed[number] = graph.filter([mixed[number], key], "sidechaincompress", **DUCKING)
    return _sum(mixed).filter("apad", whole_dur=length).filter("atrim", end=length)


def _bus_of(one: tuple[Track, Path]) -> tuple[TrackKind, tuple[TrackKind, ...]]:
    return one[0].kind, one[0].ducked_by


def _ducks(kind: TrackKind, tracks: Sequence[tuple[Track, Path]]) -> bool:
    return any(kind in track.ducked_by for track, _ in tracks)


def _placed(track: Track, path: Path, frames: int) -> Any:  # noqa: ANN401 - as above
    """Return the sound of a track, at its place and exactly as long as it is to be heard."""
    sound = graph.input(str(path), f="mov")["a:0"]
    sound = sound.filter("aresample", AUDIO_RATE, **{"async": 1, "first_pts": 0})
    sound = sound.filter("aformat", sample_fmts="fltp", channel_layouts=AUDIO_LAYOUT)
    length = _seconds(track.frames)
    sound = sound.filter("apad", whole_dur=length).filter("atrim", end=length)
    if track.fade_in:
        sound = sound.filter("afade", type="in", duration=_seconds(track.fade_in), curve="tri")
    if track.fade_out:
        start = _seconds(track.frames - track.fade_out)
        sound = sound.filter("afade", type="out", start_time=start, duration=_seconds(track.fade_out), curve="tri")
    span = _span(track, frames)
    sound = sound.filter("atrim", start=_seconds(span.start), end=_seconds(span.stop)).filter("asetpts", "N/SR/TB")
    if track.gain_db:
        sound = sound.filter("volume", f"{track.gain_db}dB")
    if track.begin > 0:
        sound = sound.filter("adelay", delays=f"{track.begin * AUDIO_RATE // FRAME_RATE}S", all=1)
    return sound


def _sum(sounds: Sequence[Any]) -> Any:  # noqa: ANN401 - as above
    if len(sounds) == 1:
        return sounds[0]
    return graph.filter(sounds, "amix", inputs=len(sounds), normalize=0, duration="longest")


def _corrected(sound: Any, change: Correction) -> Any:  # noqa: ANN401 - as above
    if not change.gain_db:
        return sound
    sound = sound.filter("volume", f"{change.gain_db:.2f}dB")
    if not change.is_limited:
        return sound
    highest = f"{HIGHEST_PEAK_DB - ENCODER_MARGIN_DB}dB"
    # Without `latency` the sound plays late.
    limiter = {"limit": highest, "level": 0, "attack": 5, "release": 50, "latency": 1}
    sound = sound.filter("aresample", LIMITED_RATE).filter("alimiter", **limiter)
    return sound.filter("aresample", AUDIO_RATE)


def _loudness(report: str) -> Loudness:
    """Read the last measurement of `ebur128`."""
    values = dict(line.split("=", 1) for line in report.splitlines() if line.startswith("lavfi.r128."))
    peaks = [float(value) for name, value in values.items() if name.startswith("lavfi.r128.true_peaks_ch")]
    highest = max(peaks, default=0.0)
    return Loudness(float(values["lavfi.r128.I"]), 20 * math.log10(highest) if highest else -math.inf)


def _arguments(output: Any) -> list[str]:  # noqa: ANN401 - as above
    return [str(one) for one in graph.compile(output.global_args("-xerror"), overwrite_output=True)[1:]]


def _seconds(frames: int) -> str:
    return f"{frames / FRAME_RATE:.6f}"
