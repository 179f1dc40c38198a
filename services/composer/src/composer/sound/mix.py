"""Mixes the sound of a film, evens its loudness, and encodes it; apart from the picture."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import ffmpeg as graph

from composer.sound.loudness import HIGHEST_PEAK_DB, TARGET_LUFS, Correction, Loudness, correction
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
ENCODER_EXCESS_DB = 3.0
"""By how much AAC may exceed a peak. If it might exceed the highest one, the result is measured."""
MOST_ENCODINGS = 4
"""Each one limits the peaks by as much more as the one before exceeded the highest."""


async def mix_sound(
    tracks: Sequence[tuple[Track, Path]], frames: int, target: Path, ffmpeg: Ffmpeg, *, evened: bool = True
) -> None:
    """Write the sound of a film of `frames` frames to `target`: AAC in MP4.

    Each track comes with an MP4 file that has a sound. `evened`: bring the mix to the loudness of other films; one
    of lowered tracks only, as much below it.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg cannot read or write a sound.
    """
    heard = [(track, path) for track, path in tracks if _span(track, frames)]
    if not heard:
        await asyncio.to_thread(write_silence, frames, target)
        return
    limit = LIMIT_SECONDS + LIMIT_SECONDS_PER_SECOND * frames / FRAME_RATE
    mixed = target.with_suffix(".wav")
    mix = _mix(heard, frames)
    if not evened:
        await ffmpeg.run(_arguments(graph.output(mix, str(target), **FILM_AUDIO, **CONTAINER)), time_limit=limit)
        return
    measured = await _measure(mix, mixed, {"acodec": "pcm_f32le", "f": "wav"}, ffmpeg, limit)
    # If all of it is lowered, it stays so: there is room for a voice.
    lowered = min(max(track.gain_db for track, _ in heard), 0.0)
    change = correction(measured, TARGET_LUFS + lowered)
    highest = HIGHEST_PEAK_DB
    for _ in range(MOST_ENCODINGS):
        source = _corrected(graph.input(str(mixed), f="wav").audio, change, highest)
        await ffmpeg.run(_arguments(graph.output(source, str(target), **FILM_AUDIO, **CONTAINER)), time_limit=limit)
        if measured.peak + change.gain_db < HIGHEST_PEAK_DB - ENCODER_EXCESS_DB:
            return
        written = graph.input(str(target), f="mov").audio
        encoded = await _measure(written, target.with_suffix(".null"), {"f": "null"}, ffmpeg, limit)
        excess = encoded.peak - HIGHEST_PEAK_DB
        if excess <= 0:
            return
        change, highest = replace(change, is_limited=True), highest - excess


async def _measure(sound: Any, target: Path, form: Mapping[str, object], ffmpeg: Ffmpeg, limit: float) -> Loudness:  # noqa: ANN401 - as above
    """Write a sound to `target`, and return its loudness."""
    report = target.with_suffix(".loudness")
    # `ebur128` does not change what it measures; it writes its measurements as metadata.
    sound = sound.filter("ebur128", peak="true", metadata=1, framelog="quiet")
    sound = sound.filter("ametadata", "print", file=str(report))
    await ffmpeg.run(_arguments(graph.output(sound, str(target), **form)), time_limit=limit)
    return _loudness(await asyncio.to_thread(report.read_text))


def _span(track: Track, frames: int) -> range:
    """Return the frames of a track that are in the film."""
    return range(max(0, -track.begin), min(track.frames, frames - track.begin))


def _mix(tracks: Sequence[tuple[Track, Path]], frames: int) -> Any:  # noqa: ANN401 - ffmpeg-python has no types
    """Mix the tracks of a kind first, so that one kind can duck another."""
    buses = [
        (kind, ducked_by, _sum([_placed(number, track, path, frames) for number, (track, path) in bus]))
        for (kind, ducked_by), bus in groupby(sorted(enumerate(tracks), key=_bus_of), _bus_of)
    ]
    # Output 0 of a split is heard; each other one only ducks the bus of its number.
    splits = [bus.filter_multi_output("asplit") if _ducks(kind, tracks) else [bus] for kind, _, bus in buses]
    mixed = [outputs[0] for outputs in splits]
    length = _seconds(frames)
    for number, (_, ducked_by, _) in enumerate(buses, 1):
        speaking = [outputs[number] for outputs, (kind, _, _) in zip(splits, buses, strict=True) if kind in ducked_by]
        if speaking:
            # It ends with the shorter of its inputs.
            key = _sum(speaking).filter("apad", whole_dur=length)
            mixed[number - 1] = graph.filter([mixed[number - 1], key], "sidechaincompress", **DUCKING)
    return _sum(mixed).filter("apad", whole_dur=length).filter("atrim", end=length)


def _bus_of(numbered: tuple[int, tuple[Track, Path]]) -> tuple[TrackKind, tuple[TrackKind, ...]]:
    _, (track, _) = numbered
    return track.kind, track.ducked_by


def _ducks(kind: TrackKind, tracks: Sequence[tuple[Track, Path]]) -> bool:
    return any(kind in track.ducked_by for track, _ in tracks)


def _placed(number: int, track: Track, path: Path, frames: int) -> Any:  # noqa: ANN401 - as above
    """Return the sound of a track, at its place and exactly as long as it is to be heard."""
    # ffmpeg-python merges equal inputs; the size of the queue makes them different.
    sound = graph.input(str(path), f="mov", thread_queue_size=8 + number)["a:0"]
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


def _corrected(sound: Any, change: Correction, highest: float) -> Any:  # noqa: ANN401 - as above
    if change.gain_db:
        sound = sound.filter("volume", f"{change.gain_db:.2f}dB")
    if not change.is_limited:
        return sound
    # Without `latency` the sound plays late.
    limiter = {"limit": f"{highest:.2f}dB", "level": 0, "attack": 5, "release": 50, "latency": 1}
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
