"""The HLS playlist of a stream (RFC 8216): rules, without any I/O."""

import math
from collections.abc import Iterator, Mapping

from gateway.videos.stream_pieces import Stream
from shared.contracts.events import StreamExtended
from shared.contracts.media import FRAME_RATE

CONTENT_TYPE = "application/vnd.apple.mpegurl"


def playlist(stream: Stream, links: Mapping[str, str]) -> str:
    """Return the playlist of a stream; `links` has the link to each object, by its key.

    It begins at the first scene, also for those who join while it grows.
    """
    target = max((piece.longest_frames for piece in stream.pieces), default=FRAME_RATE)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{math.ceil(target / FRAME_RATE)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "#EXT-X-START:TIME-OFFSET=0,PRECISE=YES",
    ]
    for piece in stream.pieces:
        lines += _piece(piece, links)
    if stream.is_ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def _piece(piece: StreamExtended, links: Mapping[str, str]) -> Iterator[str]:
    # Each piece begins at time 0, and may have other parameter sets.
    if piece.piece_number > 1:
        yield "#EXT-X-DISCONTINUITY"
    yield f'#EXT-X-MAP:URI="{links[piece.init.key]}"'
    for segment in piece.segments:
        yield f"#EXTINF:{segment.frames / FRAME_RATE:.6f},"
        yield links[segment.media.key]
