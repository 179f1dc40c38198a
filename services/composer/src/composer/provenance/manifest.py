"""What a film says about its origin, as a C2PA manifest. Rules without I/O.

The EU AI Act (article 50, paragraph 2) requires a machine-readable mark on generated films. The manifest names models
and providers, and has hashes of the prompts instead of their texts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.contracts.events import StoryboardCreated
from shared.contracts.provenance import prompt_hashes, source_type

CLAIM_GENERATOR = {"name": "Multishot", "version": "0.1.0"}
SCENES_LABEL = "com.autocontent.multishot.scenes"


@dataclass(frozen=True)
class Origin:
    """Who rendered the clip of a scene."""

    provider: str
    model: str | None


def manifest(storyboard: StoryboardCreated, origins: Mapping[int, Origin]) -> dict[str, Any]:
    """Return the manifest definition of a film, from its storyboard and the origin of each scene's clip."""
    kind = source_type(origin.provider for origin in origins.values())
    created = {"action": "c2pa.created", "digitalSourceType": kind}
    return {
        "claim_generator_info": [CLAIM_GENERATOR],
        "title": storyboard.title,
        "format": "video/mp4",
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {
                "label": SCENES_LABEL,
                "data": {"seconds": storyboard.total_duration, "scenes": _scenes(storyboard, origins)},
            },
        ],
    }


def _scenes(storyboard: StoryboardCreated, origins: Mapping[int, Origin]) -> list[dict[str, Any]]:
    return [
        {
            "sceneNumber": scene.scene_number,
            "provider": origins[scene.scene_number].provider,
            "model": origins[scene.scene_number].model,
            "promptSha256": digest,
        }
        for scene, digest in zip(storyboard.scenes, prompt_hashes(storyboard), strict=False)
    ]
