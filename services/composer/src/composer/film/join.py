"""Joins the segments of a film: writes their packets into one MP4 file, without decoding them."""

import contextlib
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

from shared.contracts.media import FRAME_RATE
from shared.media.encoding_profile import TRACK_TIMESCALE
from shared.media.ffmpeg import blames_machine
from shared.media.h264_stream import NotCopyable, ParameterSets, configuration_record, parameter_sets

TICKS = TRACK_TIMESCALE // FRAME_RATE
"""Of the film's time base in a frame."""


class JoinFailed(Exception):
    """The runs cannot be joined to one film."""


class RunWrong(JoinFailed):
    """A file does not have the frames that the plan copies from it."""


class ParameterSetsDiffer(JoinFailed):
    """Two runs use the same number for different parameter sets: they cannot be in one film."""

    def __init__(self, number: int) -> None:
        super().__init__(f"there are different parameter sets with the number {number}")
        self.number = number


@dataclass(frozen=True)
class Run:
    """The `frames` packets of a file from number `first` on, in decoding order; the first is an IDR picture."""

    path: Path
    first: int
    frames: int


@dataclass(frozen=True)
class Chapter:
    """A titled part of the film, from frame `begin` to frame `end`."""

    title: str
    begin: int
    end: int


@dataclass(frozen=True)
class Description:
    """What the container says about the film: `metadata` by ffmpeg's keys, and chapters."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    chapters: Sequence[Chapter] = ()


@dataclass(frozen=True)
class _Source:
    """A run in an open file: its parameter sets, and the place in display order of each of its packets."""

    run: Run
    media: InputContainer
    sets: ParameterSets
    places: Sequence[int]

    @property
    def delay(self) -> int:
        """Return by how many frames decoding has to be ahead."""
        return max(order - place for order, place in enumerate(self.places))


def join(runs: Sequence[Run], sound: Path | None, target: Path, description: Description | None = None) -> None:
    """Write the film `target`: the packets of `runs` one after the other, and those of `sound`, with the index first.

    Frame n is shown at exactly n/`FRAME_RATE` seconds.

    Raises:
        RunWrong: a file does not have the packets of its run.
        ParameterSetsDiffer: the runs cannot be in one film.
        JoinFailed: a file is not as it was when its clip arrived.
        OSError, MemoryError: the machine is at fault.
    """
    try:
        _join(runs, sound, target, description)
    except NotCopyable as error:
        raise JoinFailed(f"a clip cannot be copied: {error}") from error
    except FFmpegError as error:
        if blames_machine(error):
            raise
        raise JoinFailed(f"a clip or a part is damaged: {error.strerror}") from error


def _join(runs: Sequence[Run], sound: Path | None, target: Path, description: Description | None) -> None:
    options = {"movflags": "+faststart", "video_track_timescale": str(TRACK_TIMESCALE)}
    with contextlib.ExitStack() as files:
        sources = [_source(run, files.enter_context(_open(run.path))) for run in runs]
        film = files.enter_context(av.open(str(target), "w", format="mp4", options=options))
        picture: Stream = film.add_stream_from_template(sources[0].media.streams.video[0])
        picture.codec_context.extradata = configuration_record(_common_sets(sources))
        picture.time_base = Fraction(1, TRACK_TIMESCALE)
        tracks = [_picture_packets(sources, picture)]
        if sound is not None:
            heard = files.enter_context(_open(sound))
            if not heard.streams.audio:
                raise JoinFailed("the sound is missing")
            tracks.append(_sound_packets(heard, film.add_stream_from_template(heard.streams.audio[0])))
        if description:
            film.metadata.update(description.metadata)
            film.set_chapters([_chapter(number, one) for number, one in enumerate(description.chapters)])
        for packet in heapq.merge(*tracks, key=_decoding_time):
            film.mux_one(packet)


def _source(run: Run, media: InputContainer) -> _Source:
    if not media.streams.video:
        raise RunWrong(f"{run.path.name} has no picture")
    sets = parameter_sets(media.streams.video[0])
    times = [packet.pts for packet in _packets(media, run) if packet.pts is not None]
    if len(times) != run.frames:
        raise RunWrong(f"a file has {len(times)} packets from {run.first} on instead of {run.frames}")
    places = {time: place for place, time in enumerate(sorted(times))}
    media.seek(0)
    return _Source(run, media, sets, [places[time] for time in times])


def _packets(media: InputContainer, run: Run) -> "Iterator[Packet[Any]]":
    packets = (packet for packet in media.demux(media.streams.video[0]) if packet.pts is not None)
    return islice(packets, run.first, run.first + run.frames)


def _common_sets(sources: Sequence[_Source]) -> Sequence[ParameterSets]:
    common: dict[int, ParameterSets] = {}
    for one in sources:
        if common.setdefault(one.sets.number, one.sets) != one.sets:
            raise ParameterSetsDiffer(one.sets.number)
    return list(common.values())


def _picture_packets(sources: Sequence[_Source], stream: Stream) -> "Iterator[Packet[Any]]":
    """Yield the packets of all runs with their times in the film."""
    delay = max(one.delay for one in sources)
    begin = 0
    for one in sources:
        for order, (packet, place) in enumerate(zip(_packets(one.media, one.run), one.places, strict=True)):
            packet.time_base = Fraction(1, TRACK_TIMESCALE)
            packet.dts, packet.pts = (begin + order - delay) * TICKS, (begin + place) * TICKS
            packet.duration = TICKS
            packet.stream = stream
            yield packet
        begin += one.run.frames


def _sound_packets(media: InputContainer, stream: AudioStream) -> "Iterator[Packet[Any]]":
    for packet in media.demux(media.streams.audio[0]):
        if packet.dts is not None:
            packet.stream = stream
            yield packet


def _decoding_time(packet: "Packet[Any]") -> float:
    return (packet.dts or 0) * packet.time_base.numerator / packet.time_base.denominator


def _chapter(number: int, chapter: Chapter) -> Any:  # noqa: ANN401 - PyAV's type exists for type checkers only
    return {
        "id": number,
        "start": chapter.begin,
        "end": chapter.end,
        "time_base": Fraction(1, FRAME_RATE),
        "metadata": {"title": chapter.title},
    }


def _open(path: Path) -> InputContainer:
    return av.open(str(path), format="mov", options={"protocol_whitelist": "file"})
