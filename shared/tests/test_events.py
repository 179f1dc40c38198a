"""The contracts: other teams depend on every name and limit in them."""

import json
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import ValidationError

from shared.contracts.events import EVENTS, Event, StoryboardCreated, VideoRequested
from shared.contracts.story import Scene, VideoStory

PINNED = Path(__file__).parent / "event_schemas.json"
VIDEO = UUID("2f1c9b9e-8f57-4a3f-9f9d-0d2b1b7f0b11")


def test_every_schema_is_the_pinned_one(request: pytest.FixtureRequest) -> None:
    """A change of a schema affects every other team. To accept it, run `make schemas`."""
    schemas = {kind.name: kind.model_json_schema(by_alias=True) for kind in EVENTS}
    if request.config.getoption("--accept-schemas"):
        PINNED.write_text(json.dumps(schemas, indent=1, sort_keys=True) + "\n")
    assert schemas == json.loads(PINNED.read_text())


def test_a_request_needs_only_an_id_and_a_prompt() -> None:
    event = VideoRequested.model_validate_json(json.dumps({"videoId": str(VIDEO), "prompt": "  a fox  "}))
    assert (event.prompt, event.scene_count, event.duration, event.aspect_ratio) == ("a fox", 3, 30, "16:9")
    assert (event.niche, event.owner, event.post_id, event.priority) == ("general", "anonymous", None, "interactive")


def test_names_on_the_wire_are_camel_case() -> None:
    wire = json.loads(VideoRequested(video_id=VIDEO, prompt="a fox").model_dump_json())
    assert {"videoId", "sceneCount", "aspectRatio", "postId", "version"} <= set(wire)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", "   "),
        ("prompt", "x" * 4001),
        ("sceneCount", 0),
        ("sceneCount", 6),
        ("duration", 14),
        ("duration", 61),
        ("aspectRatio", "4:3"),
        ("videoId", "not-a-uuid"),
        ("version", 2),
        ("niche", "n" * 101),
    ],
)
def test_a_request_out_of_bounds_is_refused_by_its_field(field: str, value: object) -> None:
    wire = {"videoId": str(VIDEO), "prompt": "a fox", field: value}
    with pytest.raises(ValidationError) as refused:
        VideoRequested.model_validate_json(json.dumps(wire))
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


def test_unknown_fields_are_ignored_so_that_versions_can_be_mixed() -> None:
    wire = {"videoId": str(VIDEO), "prompt": "a fox", "invented": {"later": True}}
    assert VideoRequested.model_validate_json(json.dumps(wire)).prompt == "a fox"


def test_scene_and_story_have_the_shapes_of_the_existing_application() -> None:
    assert set(Scene.model_json_schema()["properties"]) == {
        "sceneNumber", "description", "cameraAngle", "duration", "action", "transition",
    }  # fmt: skip
    assert set(VideoStory.model_json_schema()["properties"]) == {
        "title", "niche", "overallPrompt", "totalDuration", "scenes",
    }  # fmt: skip
    angles = Scene.model_json_schema()["properties"]["cameraAngle"]["enum"]
    assert angles == ["wide", "medium", "close-up", "overhead", "pov"]
    assert Scene.model_json_schema()["properties"]["transition"]["enum"] == ["cut", "fade", "dissolve", "wipe"]


def test_events_are_frozen_and_survive_the_wire() -> None:
    scene = Scene(scene_number=1, description="d", camera_angle="wide", duration=7.5, action="a", transition="cut")
    event = StoryboardCreated(
        video_id=VIDEO,
        title="t",
        niche="n",
        overall_prompt="p",
        total_duration=7.5,
        scenes=(scene,),
        story_script="s",
        aspect_ratio="1:1",
    )
    assert StoryboardCreated.model_validate_json(event.model_dump_json()) == event
    with pytest.raises(ValidationError):
        event.title = "another"  # type: ignore[misc]


def test_event_names_are_unique() -> None:
    names = [kind.name for kind in EVENTS]
    assert len(names) == len(set(names))
    assert all(issubclass(kind, Event) for kind in EVENTS)


def test_a_change_of_a_contract_is_noticed() -> None:
    pinned = json.loads(PINNED.read_text())
    assert set(pinned) == {kind.name for kind in EVENTS}
    assert pinned["video.requested"]["required"] == ["videoId", "prompt"]
