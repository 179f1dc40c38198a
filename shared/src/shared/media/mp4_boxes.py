"""Reads facts from the boxes of an MP4 or QuickTime file that PyAV does not expose."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LARGEST_INDEX = 16 * 2**20
"""Bytes of `moov` that are read."""
COUNTS = re.compile(rb"(?:stsz.{4}(?!\0{4}).{4}|trun.{4})(?P<count>.{4})", re.DOTALL)
"""Samples of one size (`stsz`), and runs of samples in fragments (`trun`)."""
CLEAN_APERTURE, COMPRESSED_INDEX = b"clap", b"cmov"


def may_be_cropped(path: Path) -> bool:
    """Return whether a clean aperture may crop the picture.

    The name of its box is searched for anywhere in the index. A false match only costs a second check.
    """
    with path.open("rb") as file:
        for name, length in _boxes(file):
            if name == b"moov":
                index = file.read(min(length, LARGEST_INDEX))
                return length > LARGEST_INDEX or CLEAN_APERTURE in index or COMPRESSED_INDEX in index
    return False


def claimed_samples(path: Path) -> int:
    """Return how many samples the tables claim that need no bytes for each of them.

    A demuxer reserves memory for all of them when it opens the file. A false match only adds to the number.
    """
    claimed = 0
    with path.open("rb") as file:
        for name, length in _boxes(file):
            if name in (b"moov", b"moof"):
                index = file.read(min(length, LARGEST_INDEX))
                claimed += sum(int.from_bytes(match["count"]) for match in COUNTS.finditer(index))
    return claimed


def index_comes_first(path: Path) -> bool:
    """Return whether the index (`moov`) comes before the media, so that playing can start before all is loaded."""
    with path.open("rb") as file:
        return next((name == b"moov" for name, _ in _boxes(file) if name in (b"moov", b"mdat")), False)


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the name and the length of each top-level box, with the file positioned at its content."""
    end = file.seek(0, 2)
    begin = 0
    while begin + 8 <= end:
        file.seek(begin)
        length, name, header = int.from_bytes(file.read(4)), file.read(4), 8
        if length == 1:
            length, header = int.from_bytes(file.read(8)), 16
        if length == 0:
            length = end - begin
        if length < header:  # no box is shorter than its own header
            return
        yield name, length - header
        begin += length
