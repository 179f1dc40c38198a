"""Writes silence as AAC in a few milliseconds: one encoded frame of silence, repeated."""

import math
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet

from shared.contracts.media import FRAME_RATE
from shared.media.encoding_profile import AUDIO_CODEC, AUDIO_LAYOUT, AUDIO_RATE

SAMPLES = 1024
"""In a frame of AAC. The encoder needs one frame before the first sound."""


def write_silence(frames: int, target: Path) -> None:
    """Write the silence of a film of `frames` frames to `target`: AAC in MP4."""
    count = math.ceil(frames * AUDIO_RATE / FRAME_RATE / SAMPLES) + 1
    with av.open(str(target), "w", format="mp4") as file:
        stream = cast("AudioStream", file.add_stream(AUDIO_CODEC, rate=AUDIO_RATE, layout=AUDIO_LAYOUT))
        silence = _encoded_silence(stream)
        for number in range(count):
            packet = Packet(silence)
            packet.stream = stream
            packet.time_base = Fraction(1, AUDIO_RATE)
            packet.pts = packet.dts = (number - 1) * SAMPLES
            packet.duration = SAMPLES
            file.mux_one(packet)


def _encoded_silence(stream: AudioStream) -> bytes:
    """Return what the encoder of a stream makes of a frame of silence that follows another one."""
    encoded: list[bytes] = []
    while len(encoded) < 2:  # the first one also names the encoder
        frame = AudioFrame(format="fltp", layout=AUDIO_LAYOUT, samples=SAMPLES)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate = AUDIO_RATE
        encoded += [bytes(packet) for packet in stream.encode(frame)]
    return encoded[1]
