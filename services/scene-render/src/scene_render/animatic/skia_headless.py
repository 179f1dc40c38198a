"""Imports Skia where OpenGL is not installed, as on servers and in slim containers.

Skia's Linux wheel links to libGL and libEGL, which only drawing on a graphics card needs; we draw on the CPU. The
dynamic linker accepts an already loaded library of the same name, so an empty one with the symbols that Skia names is
created in memory and loaded first. The symbols are never called.
"""

import contextlib
import ctypes
import importlib.util
import os
import platform
import re
import struct
import sys
from pathlib import Path

LIBRARIES = ("libGL.so.1", "libEGL.so.1")
SYMBOL = re.compile(rb"\0((?:gl|glX|egl)[A-Z]\w+)(?=\0)")
MACHINES = {"x86_64": 62, "aarch64": 183}
"""The processors with Linux wheels of Skia, and their numbers in an ELF header."""

HEADER = 64
SEGMENT = 56
SYMBOL_SIZE = 24
PAGE = 0x10000
"""Pages are this large at most."""
LOADED, DYNAMIC, READABLE, WRITABLE = 1, 2, 4, 2
SONAME, HASH, STRINGS, SYMBOLS, STRINGS_SIZE, SYMBOL_ENTRY = 14, 4, 5, 6, 10, 11
GLOBAL_FUNCTION = 0x12
ABSOLUTE = 0xFFF1


def _stand_in_for_opengl() -> None:
    spec = importlib.util.find_spec("skia")
    if sys.platform != "linux" or platform.machine() not in MACHINES or spec is None or spec.origin is None:
        return
    symbols = sorted(set(SYMBOL.findall(Path(spec.origin).read_bytes())))
    with contextlib.ExitStack() as files:
        for name in LIBRARIES:
            file = files.enter_context(open(os.memfd_create(name), "wb", buffering=0))  # noqa: PTH123 - no path
            file.write(_empty_library(name.encode(), symbols, MACHINES[platform.machine()]))
            # Keep all open until the last one is loaded: the linker identifies a file by its number.
            ctypes.CDLL(f"/proc/self/fd/{file.fileno()}")


def _empty_library(name: bytes, symbols: list[bytes], machine: int) -> bytes:
    """Return a shared 64-bit little-endian ELF library with all symbols at address zero."""
    strings, places = b"\0", {}
    for text in (name, *symbols):
        places[text] = len(strings)
        strings += text + b"\0"
    count = len(symbols) + 1
    # A hash table with one bucket that chains all symbols.
    table = struct.pack(f"<3I{count}I", 1, count, 1, 0, *range(2, count), 0)
    table += bytes(-len(table) % 8)
    entries = bytes(SYMBOL_SIZE) + b"".join(
        struct.pack("<IBBHQQ", places[symbol], GLOBAL_FUNCTION, 0, ABSOLUTE, 0, 0) for symbol in symbols
    )
    dynamic_at = HEADER + 2 * SEGMENT
    dynamic_size = 7 * 16
    table_at = dynamic_at + dynamic_size
    entries_at = table_at + len(table)
    strings_at = entries_at + len(entries)
    dynamic = struct.pack(
        "<14Q",
        *(SONAME, places[name], HASH, table_at, STRINGS, strings_at, SYMBOLS, entries_at),
        *(STRINGS_SIZE, len(strings), SYMBOL_ENTRY, SYMBOL_SIZE, 0, 0),
    )
    size = strings_at + len(strings)
    header = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, HEADER, 0, 0, HEADER, SEGMENT, 2, 0, 0, 0)
    loaded = struct.pack("<IIQQQQQQ", LOADED, READABLE | WRITABLE, 0, 0, 0, size, size, PAGE)
    found = struct.pack("<IIQQQQQQ", DYNAMIC, READABLE, *[dynamic_at] * 3, *[dynamic_size] * 2, 8)
    return header + loaded + found + dynamic + table + entries + strings


_stand_in_for_opengl()
import skia  # noqa: E402 - needs the libraries above

__all__ = ["skia"]
