"""Verifies what a film says about its origin, offline: python -m composer.provenance.verify FILM."""

import argparse
import sys
from pathlib import Path

import c2pa

from composer.provenance.signing import Provenance, read


def main() -> int:
    """Print who signed a film and what it says. The exit code is 0 only if its signature holds."""
    parser = argparse.ArgumentParser(prog="verify", description="Verify the signed origin of a film, offline.")
    parser.add_argument("film", type=Path)
    parser.add_argument("--authority", type=Path, help="a PEM file with certificates of authorities to trust")
    options = parser.parse_args()
    for path in (options.film, options.authority):
        if path is not None and not path.is_file():
            _complain(f"There is no file {path}.")
            return 2
    if options.authority and "BEGIN CERTIFICATE" not in options.authority.read_text(errors="replace"):
        _complain(f"{options.authority.name} holds no certificate in PEM.")
        return 2
    try:
        found = read(options.film, options.authority)
    except (c2pa.C2paError, ValueError):
        _complain(f"{options.film.name} is not a film that can be verified.")
        return 2
    if found is None:
        _complain(f"{options.film.name} carries no signature: its origin is unknown.")
        return 1
    if found.faults:
        _complain(f"The signature does not hold: {', '.join(found.faults)}.")
        _complain(f"{options.film.name} was changed after it was signed, or is damaged.")
        return 1
    for line in _lines(found):
        # A film of somebody else could hold control characters of terminals.
        sys.stdout.write("".join(character for character in line if character.isprintable()) + "\n")
    return 0


def _complain(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def _lines(found: Provenance) -> list[str]:
    trust = "a trusted authority certifies it" if found.is_trusted else "no trusted authority certifies it"
    scenes = [
        f"  scene {one.get('sceneNumber')}: {one.get('provider')}" + (f", model {model}" if model else "")
        for one in found.scenes
        for model in (one.get("model"),)
    ]
    return [
        "The signature holds: the film is as it was signed.",
        f"Signed by: {found.signer} ({trust})",
        f"Title: {found.title}",
        f"Source type: {found.source_type.rsplit('/', 1)[-1]}",
        *scenes,
    ]


if __name__ == "__main__":
    sys.exit(main())
