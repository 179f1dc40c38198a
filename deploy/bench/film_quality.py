"""How much a film differs from one without losses, frame by frame."""

import json
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import naive_graph
from film_cases import SIZE, Case

from shared.media.ffmpeg import Ffmpeg

Figures = dict[str, dict[str, float]]


def compare(make: Callable[[str, Path], Any], case: Case, clips: Path, folder: Path) -> dict[str, Figures]:
    """Return SSIM and, where the binary has it, VMAF of our film and of the naive one: mean and worst frame.

    `make` makes the film of a contender. The clips must be as our films use them: with holds, frames differ on purpose.
    """
    reference = folder / "reference.mp4"
    files = [naive_graph.ClipFile(path, 10_000, case.has_sound) for path in sorted(clips.glob("clip-*.mp4"))]
    lossless = naive_graph.film_arguments(case.slots, files, reference, SIZE, preset="ultrafast", crf=0)
    _ffmpeg(*["high444" if one == "high" else one for one in lossless])
    found = {}
    for name in ("ours", "naive"):
        film = folder / f"{name}.mp4"
        make(name, film)
        found[name] = {"SSIM": _ssim(film, reference, folder), **_vmaf(film, reference, folder)}
    return found


def report(found: dict[str, Figures]) -> None:
    """Print the figures, and whether the worst frame of ours is no worse than that of naive."""
    for metric in found["ours"]:
        for name, figures in found.items():
            print(f"  {metric} {name:6} mean {figures[metric]['mean']:.4f}, worst frame {figures[metric]['worst']:.4f}")
    ours, naive = (found[name]["SSIM"]["worst"] for name in ("ours", "naive"))
    print(f"  goal: worst frame's SSIM >= that of naive: {ours:.4f}{'' if ours >= naive else ', MISSED'}")


def _ssim(film: Path, reference: Path, folder: Path) -> dict[str, float]:
    log = folder / "ssim.log"
    _filter(film, reference, f"ssim=stats_file={log}")
    return _summary([float(line.split("All:")[1].split()[0]) for line in log.read_text().splitlines()])


def _vmaf(film: Path, reference: Path, folder: Path) -> Figures:
    filters = subprocess.run([Ffmpeg().binary, "-hide_banner", "-filters"], capture_output=True, text=True, check=True)
    if " libvmaf " not in filters.stdout:
        return {}
    log = folder / "vmaf.json"
    _filter(film, reference, f"libvmaf=log_fmt=json:n_threads=2:log_path={log}")
    return {"VMAF": _summary([one["metrics"]["vmaf"] for one in json.loads(log.read_text())["frames"]])}


def _filter(film: Path, reference: Path, graph: str) -> None:
    # The clips of a film may differ in their colour tags; the graph must not start anew there.
    inputs = ["-reinit_filter", "0", "-i", str(film), "-i", str(reference)]
    _ffmpeg(*inputs, "-lavfi", f"[0:v:0][1:v:0]{graph}", "-f", "null", "-")


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([Ffmpeg().binary, "-v", "error", "-y", *arguments], check=True)


def _summary(values: list[float]) -> dict[str, float]:
    return {"mean": statistics.mean(values), "worst": min(values)}
