"""The camera: where it looks at each moment of a clip, as an ffmpeg filter that is exact to parts of a pixel."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Move:
    """A camera move over a whole clip, from and to.

    `zoom` is how much closer than the whole picture it is; `across` and `down` are shares of the picture's width and
    height from its middle; `roll` is in degrees.
    """

    zoom: tuple[float, float]
    across: tuple[float, float] = (0.0, 0.0)
    down: tuple[float, float] = (0.0, 0.0)
    roll: tuple[float, float] = (0.0, 0.0)


def corners(move: Move, frames: int) -> dict[str, str]:
    """The corners of what the camera sees, as ffmpeg's `perspective` filter takes them. `on` is its frame number."""
    zoom, roll = _eased(move.zoom, frames), f"({_eased(move.roll, frames)})*PI/180"
    x = f"W*(0.5+{_eased(move.across, frames)})"
    y = f"H*(0.5+{_eased(move.down, frames)})"
    places = {}
    for number, (right, low) in enumerate(((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5))):
        places[f"x{number}"] = f"{x}+({right}*W*cos({roll})-({low})*H*sin({roll}))/({zoom})"
        places[f"y{number}"] = f"{y}+({right}*W*sin({roll})+({low})*H*cos({roll}))/({zoom})"
    return places


def _eased(span: tuple[float, float], frames: int) -> str:
    """From one value to another over the clip, a little slower at both ends."""
    begin, end = span
    share = f"(on/{frames}-0.08*sin(2*PI*on/{frames}))"
    return f"({begin:.5f}+({end - begin:.5f})*{share})"
