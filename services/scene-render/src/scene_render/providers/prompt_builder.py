"""Builds the prompts of clips and pictures, as the providers' own guides advise.

The camera comes first, then the subject, then what happens. Prompts say what is to be seen, never what is not: models
draw what is named. What must not be seen goes into `NEGATIVE_PROMPT`, for models that take one.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from scene_render.providers.base import PictureOrder, Reference, Shot
from scene_render.providers.order_fields import makes_sound, model_of
from shared.contracts.events import SceneRequested
from shared.contracts.story import CameraAngle, CastKind, CastMember

PHRASES: Mapping[CameraAngle, str] = {
    "wide": "Wide establishing shot, full environment visible.",
    "medium": "Medium shot, subject from the waist up.",
    "close-up": "Close-up shot, subject fills the frame, shallow depth of field.",
    "overhead": "Overhead top-down shot looking straight down.",
    "pov": "First-person point-of-view shot.",
}
LUMA_CONCEPTS: Mapping[CameraAngle, str] = {"medium": "eye_level", "overhead": "overhead", "pov": "pov"}
"""Only concepts that name a framing, not camera moves such as `push_in`."""
NEGATIVE_PROMPT = "blurry, distorted, deformed hands, text, captions, subtitles, watermark, logo"
SOUND = "Sound: the natural ambience of the scene."
"""Asks for no music: the film has its own."""
PORTRAITS: Mapping[CastKind, tuple[str, str]] = {
    "character": (
        "Full shot at eye level, the whole figure from head to feet.",
        "Standing upright, facing the camera, alone in front of a plain light grey background, soft even light.",
    ),
    "place": (
        "Wide establishing shot, full environment visible.",
        "Deserted and quiet, soft even light.",
    ),
    "prop": (
        "Close-up shot at eye level, the whole object visible.",
        "Alone in front of a plain light grey background, soft even light.",
    ),
}
"""What a reference picture begins and ends with."""
OTHER_PLACE = re.compile(r"\bPlace: [^.]*\.\s*")
"""The part of a style that would draw the story's place behind a reference picture."""
SHOWN_AS: Mapping[CastKind, str] = {"character": "character", "place": "place", "prop": "object"}


def clip_prompt(shot: Shot) -> str:
    """Return the prompt of a clip.

    A first frame already shows what everybody looks like: with it, only the camera and the action are described.
    """
    looks = "" if shot.first_frame is not None else _looks(shot.request.cast)
    sound = SOUND if makes_sound(shot) else ""
    return _prompt(_of_scene(shot.request), _joined(looks, sound), model_of(shot).longest_prompt)


def picture_prompt(order: PictureOrder, tag_of: Callable[[Reference], str]) -> str:
    """Return the prompt of a picture.

    `tag_of`: how a prompt refers to a reference picture, which is named instead of describing a look. Empty: this
    provider has no words for it.
    """
    if isinstance(order.subject, CastMember):
        begin, end = PORTRAITS[order.subject.kind]
        style = OTHER_PLACE.sub("", order.style)
        what = _joined(begin, _sentence(order.subject.look or order.subject.name), end, _sentence(style))
        return _prompt(what, "", order.model.longest_prompt)
    shown = [(reference.member, tag_of(reference)) for reference in order.references]
    tags = _joined(*(f"{member.name} is {tag}." for member, tag in shown if tag))
    names = {member.name for member, _ in shown}
    looks = _looks(member for member in order.subject.cast if member.name not in names)
    return _prompt(_of_scene(order.subject, tags), looks, order.model.longest_prompt)


def numbered(number: int, reference: Reference) -> str:
    """Return the words for the picture with this number, from 1, in the order."""
    return f"the {SHOWN_AS[reference.member.kind]} in image {number}"


def _of_scene(request: SceneRequested, subjects: str = "") -> str:
    return _joined(PHRASES[request.scene.camera_angle], subjects, request.shot_prompt)


def _looks(cast: Iterable[CastMember]) -> str:
    return _joined(*(_sentence(f"{member.name}: {member.look}") for member in cast if member.look))


def _prompt(main: str, rest: str, longest: int) -> str:
    """Join both parts, cut between words to at most `longest` UTF-16 code units.

    The main part gets at least half of them.
    """
    whole = _joined(_sentence(main) if rest else main, rest)
    if _units(whole) <= longest:
        return whole
    rest = _cut(rest, max(longest // 2, longest - _units(main) - 1))
    return _joined(_cut(main, longest - _units(rest) - 1 if rest else longest), rest)


def _cut(text: str, longest: int) -> str:
    if _units(text) <= longest:
        return text
    start = text.encode("utf-16-le")[: 2 * longest].decode("utf-16-le", "ignore")
    return start.rpartition(" ")[0] or start


def _joined(*parts: str) -> str:
    return " ".join(part.strip() for part in parts if part.strip())


def _sentence(text: str) -> str:
    stripped = text.strip()
    return stripped if not stripped or stripped[-1] in ".!?…。！？" else f"{stripped}."


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
