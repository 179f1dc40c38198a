"""Reads the structure of an H.264 stream in an MP4 file, without decoding it: its parameter sets and its cut points."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import av
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.video.stream import VideoStream

from shared.contracts.media import CutPoints
from shared.media.probe import MediaDamaged

IDR, SPS, PPS = 5, 7, 8
"""NAL unit types of ITU-T H.264, table 7-1."""
PICTURE_TYPES = frozenset({1, IDR, 6, 9, 12})
"""Slices, SEI, delimiters and filler: what may stand in a packet beside repeated parameter sets."""
HIGH = 100
"""The number of the profile High."""
LARGEST_NUMBER = 31
"""Of an SPS; ITU-T H.264, 7.4.2.1.1."""
LENGTH_BYTES = 4
"""Bytes of the length before each NAL unit."""


class NotCopyable(Exception):
    """The picture of a clip cannot be copied into a film. The message says why."""


@dataclass(frozen=True)
class ParameterSets:
    """The one SPS and the one PPS of a stream, which have the same number; see ISO/IEC 14496-15, 5.3.3."""

    sequence: bytes
    picture: bytes

    @classmethod
    def read(cls, record: bytes | None) -> Self:
        """Read an AVC decoder configuration record.

        Raises:
            NotCopyable: it is missing, or has not exactly one SPS and one PPS of the same number.
        """
        if not record or record[0] != 1 or len(record) < 8:
            raise NotCopyable("its parameter sets are not in its header")
        if record[4] & 0b11 != LENGTH_BYTES - 1:
            raise NotCopyable(f"its NAL units do not have lengths of {LENGTH_BYTES} bytes")
        sequences, rest = _units(record[5] & 0b11111, record[6:])
        pictures, _ = _units(rest[0] if rest else 0, rest[1:])
        if (len(sequences), len(pictures)) != (1, 1):
            raise NotCopyable("it has more than one SPS or PPS")
        if len(sequences[0]) <= LENGTH_BYTES or len(pictures[0]) <= 1:
            raise NotCopyable("its parameter sets are incomplete")
        sets = cls(sequences[0], pictures[0])
        if sets.number != _number(sets.picture[1:]):
            raise NotCopyable("its SPS and PPS have different numbers")
        if not 0 <= sets.number <= LARGEST_NUMBER:
            raise NotCopyable("its parameter sets have no valid number")
        return sets

    @property
    def number(self) -> int:
        """Return the number that refers to the SPS in the stream."""
        return _number(self.sequence[4:])

    @property
    def digest(self) -> str:
        """Return a hash of both, in hex."""
        return hashlib.sha256(len(self.sequence).to_bytes(2) + self.sequence + self.picture).hexdigest()


def parameter_sets(stream: VideoStream) -> ParameterSets:
    """Return the parameter sets of a stream.

    Raises:
        NotCopyable: it has none, or not exactly one SPS and one PPS of the same number.
    """
    # PyAV has no context for a codec that it does not know.
    context: CodecContext | None = stream.codec_context
    return ParameterSets.read(context.extradata if context else None)


def configuration_record(sets: Sequence[ParameterSets]) -> bytes:
    """Return an AVC decoder configuration record for a stream that uses all these sets, of different numbers.

    Profile and level are those of the most demanding sets.
    """
    profile, constraints = max(one.sequence[1:3] for one in sets)
    level = max(one.sequence[3] for one in sets)
    record = bytes([1, profile, constraints, level, 0xFC | (LENGTH_BYTES - 1), 0xE0 | len(sets)])
    record += b"".join(len(one.sequence).to_bytes(2) + one.sequence for one in sets)
    record += bytes([len(sets)]) + b"".join(len(one.picture).to_bytes(2) + one.picture for one in sets)
    # The extension for High: 4:2:0, 8 bits, no further sets.
    return record + (bytes([0xFD, 0xF8, 0xF8, 0]) if profile == HIGH else b"")


def cut_points(path: Path) -> CutPoints:
    """Return where a clip that matches the encoding profile can be cut.

    Raises:
        NotCopyable: its picture cannot be copied into a film.
        MediaDamaged: its packets are damaged.
    """
    try:
        with av.open(str(path), format="mov", options={"protocol_whitelist": "file"}) as media:
            stream = media.streams.video[0]
            sets = parameter_sets(stream)
            kinds, times = [], []
            for packet in media.demux(stream):
                if packet.pts is not None:
                    kinds.append(_kinds(bytes(packet), sets))
                    times.append(packet.pts)
    except FFmpegError as error:
        raise MediaDamaged("it is incomplete or damaged", str(error)) from error
    if not kinds or IDR not in kinds[0]:
        raise NotCopyable("it does not start with an IDR picture")
    shown = {time: number for number, time in enumerate(sorted(times))}
    if len(shown) < len(times):
        raise NotCopyable("two of its frames are shown at the same time")
    order = [shown[time] for time in times]
    return CutPoints(
        parameter_set_id=sets.number,
        parameter_sets=sets.digest,
        idr_frames=tuple(order[n] for n, kind in enumerate(kinds) if IDR in kind),
        clean_ends=tuple(_clean_ends(order)),
    )


def _clean_ends(order: Sequence[int]) -> Iterator[int]:
    """Yield each k for which the first k packets are exactly the first k frames."""
    highest = -1
    for count, frame in enumerate(order, 1):
        highest = max(highest, frame)
        if highest + 1 == count:
            yield count


def _kinds(packet: bytes, sets: ParameterSets) -> set[int]:
    """Return the types of the NAL units in a packet.

    Raises:
        NotCopyable: a unit changes the parameter sets, or has an unexpected type.
        MediaDamaged: the units do not fill the packet exactly.
    """
    kinds = set()
    position = 0
    while position < len(packet):
        begin = position + LENGTH_BYTES
        position = begin + int.from_bytes(packet[position:begin])
        if begin >= len(packet) or position > len(packet) or position == begin:
            raise MediaDamaged("it is incomplete or damaged", "the NAL units do not fill the packet")
        kind = packet[begin] & 0b11111
        if kind in (SPS, PPS):
            if packet[begin:position] not in (sets.sequence, sets.picture):
                raise NotCopyable("its parameter sets change")
        elif kind not in PICTURE_TYPES:
            raise NotCopyable(f"it has NAL units of type {kind}")
        kinds.add(kind)
    return kinds


def _units(count: int, content: bytes) -> tuple[list[bytes], bytes]:
    """Return `count` units, each after its length in two bytes, and the rest."""
    units = []
    for _ in range(count):
        end = 2 + int.from_bytes(content[:2])
        units.append(content[2:end])
        content = content[end:]
    return units, content


def _number(bits: bytes) -> int:
    """Return the Exp-Golomb code at the beginning (ITU-T H.264, 9.1)."""
    text = "".join(f"{byte:08b}" for byte in bits[:8])
    zeros = text.find("1")
    return int(text[zeros : 2 * zeros + 1], 2) - 1 if zeros >= 0 else -1
