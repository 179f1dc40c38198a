"""Camera moves with subpixel accuracy, as expressions for an ffmpeg filter."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Move:
    """A camera move over a whole clip, as start and end values.

    `zoom`: magnification; `across`, `down`: shares of the picture's width and height from its centre; `roll`: degrees.
    """

    zoom: tuple[float, float]
    across: tuple[float, float] = (0.0, 0.0)
    down: tuple[float, float] = (0.0, 0.0)
    roll: tuple[float, float] = (0.0, 0.0)


def corners(move: Move, frames: int) -> dict[str, str]:
    """Return the visible corners for ffmpeg's `perspective` filter. In the expressions `on` is the frame number."""
    zoom, roll = _eased(move.zoom, frames), f"({_eased(move.roll, frames)})*PI/180"
    x = f"W*(0.5+{_eased(move.across, frames)})"
    y = f"H*(0.5+{_eased(move.down, frames)})"
    options = {}
    for number, (right, low) in enumerate(((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5))):
        options[f"x{number}"] = f"{x}+({right}*W*cos({roll})-({low})*H*sin({roll}))/({zoom})"
        options[f"y{number}"] = f"{y}+({right}*W*sin({roll})+({low})*H*cos({roll}))/({zoom})"
    return options


def _eased(span: tuple[float, float], frames: int) -> str:
    """Return an expression from one value to another over the clip, slower at both ends."""
    begin, end = span
    share = f"(on/{frames}-0.08*sin(2*PI*on/{frames}))"
    return f"({begin:.5f}+({end - begin:.5f})*{share})"
