"""The WebVTT file by which players show pictures while a film is scrubbed. Rules, without any I/O."""

from shared.contracts.media import ScrubSheet

CONTENT_TYPE = "text/vtt"


def scrubbing_vtt(layout: ScrubSheet, link: str, duration: float) -> str:
    """Return a cue for each picture of a sheet at `link`. `duration` is that of the film, in seconds."""
    cues = ["WEBVTT"]
    for number in range(layout.count):
        begin, end = number * layout.seconds, min((number + 1) * layout.seconds, duration)
        x, y = number % layout.columns * layout.width, number // layout.columns * layout.height
        area = f"{x},{y},{layout.width},{layout.height}"
        cues.append(f"{_time(begin)} --> {_time(end)}\n{link}#xywh={area}")
    return "\n\n".join(cues) + "\n"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"00:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"
