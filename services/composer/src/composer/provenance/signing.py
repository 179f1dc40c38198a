"""Signs films with C2PA, and reads their signatures, without any network."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import c2pa

from composer.provenance.credentials import Credentials
from composer.provenance.manifest import SCENES_LABEL

FILM_FORMAT = "video/mp4"
UNTRUSTED = "signingCredential.untrusted"
"""The only status of a film whose signature holds but whose signer is unknown."""


class FilmNotSigned(Exception):
    """A film could not be signed."""


@dataclass(frozen=True)
class Provenance:
    """What a film says about its origin.

    `faults`: why the signature does not hold, in the terms of C2PA; empty if it holds.
    """

    signer: str
    is_trusted: bool
    title: str
    source_type: str
    scenes: tuple[Mapping[str, Any], ...]
    faults: tuple[str, ...]


def sign(film: Path, target: Path, manifest: Mapping[str, Any], credentials: Credentials) -> None:
    """Write a copy of a film that carries a signed manifest.

    Raises:
        FilmNotSigned: the film, the key or the certificates cannot be used.
    """
    info = c2pa.C2paSignerInfo(
        c2pa.C2paSigningAlg.ES256, credentials.certificates.encode(), credentials.key.encode(), None
    )
    try:
        with c2pa.Builder(json.dumps(manifest)) as builder, c2pa.Signer.from_info(info) as signer:
            builder.sign_file(film, target, signer)
    except c2pa.C2paError as error:
        raise FilmNotSigned(str(error)) from error


def read(film: Path, authority: Path | None = None) -> Provenance | None:
    """Read and verify what a film says about its origin; None if it says nothing.

    `authority`: a PEM file with the certificates of an authority to trust.

    Raises:
        c2pa.C2paError: it is no film.
    """
    settings: dict[str, Any] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    if authority:
        settings["trust"] = {"user_anchors": authority.read_text()}
    reader = c2pa.Reader.try_create(str(film), context=c2pa.Context(c2pa.Settings.from_dict(settings)))
    if reader is None:
        return None
    with reader:
        found = json.loads(reader.json())
    active = found["manifests"][found["active_manifest"]]
    assertions = {one["label"]: one["data"] for one in active["assertions"]}
    statuses = [one["code"] for one in found.get("validation_status", [])]
    actions: list[dict[str, Any]] = next(
        (data["actions"] for label, data in assertions.items() if label.startswith("c2pa.actions")), []
    )
    return Provenance(
        signer=active.get("signature_info", {}).get("issuer", "unknown"),
        is_trusted=UNTRUSTED not in statuses,
        title=active.get("title", ""),
        source_type=next((one["digitalSourceType"] for one in actions if "digitalSourceType" in one), ""),
        scenes=tuple(assertions.get(SCENES_LABEL, {}).get("scenes", [])),
        faults=tuple(code for code in statuses if code != UNTRUSTED),
    )
