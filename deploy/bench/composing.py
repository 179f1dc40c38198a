"""How long joining a film takes, compared with one ffmpeg graph that encodes all of it, and with other ways.

Each contender runs in a process of its own, one after the other in every round, on the same clips. Only the ratios
within a round mean anything. What is measured: wall seconds and CPU seconds (with child processes) without the start of
Python, and the memory of the largest process.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import film_quality
from film_cases import CASES, MORE_CASES, Case, draw
from film_makers import CONTENDERS

from shared.contracts.media import FRAME_RATE


def run(contender: str, case: Case, clips: Path, keep: Path | None = None) -> dict[str, Any]:
    """Run a contender in a process of its own. `keep`: where its film is moved."""
    with tempfile.TemporaryDirectory() as name:
        command = [
            sys.executable,
            __file__,
            "--run",
            contender,
            "--only",
            case.name,
            "--clips",
            str(clips),
            "--in",
            name,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{contender} failed in {case.name}")
        figures: dict[str, Any] = json.loads(said.splitlines()[-1])
        if keep and "film" in figures:
            Path(figures["film"]).rename(keep)
        return figures | {"MiB": usage.ru_maxrss / 1024}


def _make(case: Case, clips: Path, contender: str, film: Path) -> None:
    run(contender, case, clips, film)


def table(case: Case, rounds: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return a row for each contender: medians, and ratios to naive of the same round as median and range."""
    rows = []
    for name in rounds[0]:
        row: dict[str, Any] = {"contender": name}
        for kind in ("wall", "cpu"):
            row[kind] = statistics.median(one[name][kind] for one in rounds)
            ratios = sorted(one[name][kind] / one["naive"][kind] for one in rounds)
            row[f"{kind} ratio"] = (statistics.median(ratios), ratios[0], ratios[-1])
        row["MiB"] = max(one[name]["MiB"] for one in rounds)
        rows.append(row)
    return rows


def report(case: Case, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows of a case."""
    print(f"\n{case.name}")
    for row in rows:
        ratios = "   ".join(
            "{} {:6.2f} s  {:.4f} ({:.4f}-{:.4f})".format(kind, row[kind], *row[f"{kind} ratio"])
            for kind in ("wall", "cpu")
        )
        print(f"  {row['contender']:8} {ratios}   {row['MiB']:4.0f} MiB")
    by_name = {row["contender"]: row for row in rows}
    for goal, most in (case.goals or {}).items():
        name, kind = goal.split()
        got = by_name[name][f"{kind} ratio"][0]
        print(f"  goal: {goal} <= {most}: {got:.4f}{'' if got <= most else ', MISSED'}")


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description="How long joining a film takes, compared with encoding all of it.")
    parser.add_argument("--all", action="store_true", help="all cases, and MoviePy and x264's preset medium in each")
    parser.add_argument("--only", help="the cases whose names contain this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quality", action="store_true", help="compare the pictures too (SSIM, VMAF)")
    parser.add_argument("--json", type=Path, default=Path(tempfile.gettempdir()) / "bench-composer.json")
    parser.add_argument("--run", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--clips", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        [case] = [one for one in (*CASES, *MORE_CASES) if one.name == options.only]
        clips = sorted(options.clips.glob("clip-*.mp4"))
        print(json.dumps(asyncio.run(CONTENDERS[options.run](case, clips, options.folder))))
        return
    known = (*CASES, *(MORE_CASES if options.all or options.only else ()))
    named = [one for one in known if one.name == options.only]
    cases = named or [one for one in known if (options.only or "") in one.name]
    saved = []
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            clips = Path(name)
            draw(case, clips)
            names = ["naive", "ours", "last", *(["middle"] if len(case.slots) > 2 else []), "remux"]
            rounds = [{name: run(name, case, clips) for name in names} for _ in range(options.rounds)]
            slow = ["medium", "moviepy"] if options.all or case is CASES[1] else []
            once = {name: run(name, case, clips) for name in slow}
            rows = table(case, rounds)
            for slow_one, figures in once.items():
                row: dict[str, Any] = {"contender": slow_one, **figures}
                for kind in ("wall", "cpu"):
                    row[f"{kind} ratio"] = (figures[kind] / rounds[-1]["naive"][kind],) * 3
                rows.append(row)
            report(case, rows)
            result: dict[str, Any] = {"case": case.name, "rows": rows, "rounds": rounds, "once": once}
            print(f"  encoded: {rounds[0]['ours']['encoded frames']} of {case.seconds * FRAME_RATE} frames; "
                  f"signing: {rounds[0]['ours']['sign wall']:.2f} s")  # fmt: skip
            if "moviepy" in once:
                print(f"  ours against MoviePy: {rows[1]['wall'] / once['moviepy']['wall']:.4f} wall")
            if options.quality and case.form == "ours":
                with tempfile.TemporaryDirectory() as folder:
                    make = partial(_make, case, clips)
                    result["quality"] = film_quality.compare(make, case, clips, Path(folder))
                film_quality.report(result["quality"])
            saved.append(result)
            options.json.write_text(json.dumps(saved, indent=1))
    print(f"\nWritten to {options.json}.")


if __name__ == "__main__":
    main()
