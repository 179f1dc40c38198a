"""The template writer: a story for every prompt, in its language, deterministic for each request."""

import itertools
from uuid import UUID

import pytest

from shared.contracts.events import VideoRequested
from shared.contracts.story import Scene, VideoStory
from shared.contracts.story_rules import SceneSeconds
from storyboard.draft import Draft
from storyboard.language import language_of
from storyboard.linter import lint
from storyboard.rules import StoryboardInvalid, check
from storyboard.template import LONGEST_ACTION, TemplateWriter, split_duration
from storyboard.text import cut
from storyboard.writer import Written

PROMPTS = {
    "en": [
        "coffee",
        "A lighthouse keeper befriends a storm",
        "A boy finds a robot in the river, repairs it in grandma's shed and shows it the stars",
        "How AI changes small farms",
        "The last train leaves. A girl runs after it. The conductor pulls the brake! They ride into the night.",
        'Say "hello" to {the} 100% \\ world; <b>now</b>',
        "word " * 780,
        "A fox\nand a hen\n\nmake a deal",
        "!!! ??? ...",
        "🎉🎉🎉",
    ],
    "id": [
        "kopi pagi",
        "Seorang nelayan tua menemukan botol berisi surat di pantai, lalu berlayar mencari pengirimnya",
        "Resep rendang nenek yang rahasia",
        "Petani muda di lereng gunung belajar membuat kopi terbaik di desanya",
        "Hujan turun. Anak itu berlari pulang. Ibunya menunggu di depan rumah. Mereka tertawa bersama.",
    ],
    "other": [
        "Un gato negro cruza la ciudad y encuentra a su dueña",
        "夜の東京を走る猫の物語。猫は魚屋を見つける。",
        "قطة سوداء تعبر المدينة في الليل",
        "Кот идёт домой через ночной город",
    ],
}
ALL = [(language, prompt) for language, prompts in PROMPTS.items() for prompt in prompts]
ENGLISH_ONLY = {"the", "and", "with", "from", "shot", "above"}


def request(prompt: str, scenes: int = 3, duration: int = 30, seed: int = 1, niche: str = "food") -> VideoRequested:
    return VideoRequested(video_id=UUID(int=seed), prompt=prompt, scene_count=scenes, duration=duration, niche=niche)


async def write(*args: object, **more: object) -> Written:
    return await TemplateWriter().write(request(*args, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(("language", "prompt"), ALL)
async def test_every_prompt_makes_a_story_that_keeps_the_rules(language: str, prompt: str) -> None:
    for scenes, duration in itertools.product(range(1, 6), (15, 16, 29, 30, 31, 47, 60)):
        asked = request(prompt, scenes, duration, seed=scenes * 100 + duration)
        board = await TemplateWriter().write(asked)
        story = VideoStory.model_validate(board.story.model_dump())
        assert lint(Draft.of(story), asked, SceneSeconds()) == (story, [])
        assert board.repairs == ()
        actions = [scene.action for scene in board.story.scenes]
        assert len(set(actions)) == len(actions), actions
        for text in (*actions, board.story.title, *(scene.description for scene in board.story.scenes)):
            assert text.strip()
            assert "  " not in text
            assert ".." not in text.replace("...", "")
            assert "\n" not in text
        assert all(len(action) <= LONGEST_ACTION + 1 for action in actions)
        assert len(board.shot_prompts) == scenes
        assert all(0 < len(shot) <= 900 for shot in board.shot_prompts)
        assert sum(scene.duration for scene in board.story.scenes) == duration


async def test_a_provider_of_short_clips_is_given_short_scenes() -> None:
    board = await TemplateWriter(SceneSeconds(2, 10)).write(request("a fox", scenes=3, duration=30))
    assert [(scene.duration, scene.transition) for scene in board.story.scenes] == [(10, "cut")] * 3


async def test_the_same_request_always_makes_the_same_story() -> None:
    assert await write("a fox") == await write("a fox")
    assert await write("a fox", seed=1) != await write("a fox", seed=2)


async def test_all_angles_and_all_transitions_are_used() -> None:
    boards = [await write("a fox", scenes=4, seed=seed) for seed in range(40)]
    scenes = [scene for board in boards for scene in board.story.scenes]
    assert {scene.camera_angle for scene in scenes} == {"wide", "medium", "close-up", "overhead", "pov"}
    assert {scene.transition for scene in scenes} == {"cut", "fade", "dissolve", "wipe"}


@pytest.mark.parametrize("prompt", PROMPTS["id"])
async def test_an_indonesian_prompt_makes_an_indonesian_story(prompt: str) -> None:
    board = await write(prompt, scenes=5, niche="travel")
    assert not ENGLISH_ONLY & set(board.story_script.lower().replace(",", " ").split())


@pytest.mark.parametrize(("language", "prompt"), ALL)
def test_the_language_is_recognised(language: str, prompt: str) -> None:
    assert language_of(prompt) == language


async def test_a_prompt_that_tells_a_sequence_is_followed() -> None:
    board = await write("A boy finds a robot in the river, repairs it in the shed and shows it the stars", scenes=3)
    assert [scene.action for scene in board.story.scenes] == [
        "A boy finds a robot in the river.",
        "Repairs it in the shed.",
        "Shows it the stars.",
    ]


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [("Buatkan video tentang kopi Gayo", "Kopi Gayo"), ("Please make a short film about the tide", "The tide")],
)
async def test_an_instruction_is_not_part_of_the_story(prompt: str, subject: str) -> None:
    board = await write(prompt)
    assert board.story.title == subject
    assert board.story.scenes[0].action.startswith(f"{subject}.")


async def test_another_first_angle_is_used_where_the_prompt_asks_for_it() -> None:
    for seed in range(20):
        board = await write("Start with a close-up of a fox", scenes=4, seed=seed)
        assert board.story.scenes[0].description.startswith("Close-up: ")
        assert board.repairs == ()


async def test_more_sentences_than_scenes_keep_the_first_and_the_last() -> None:
    board = await write("It begins. Then one. Then two. Then three. Then four. It ends.", scenes=2)
    assert [scene.action for scene in board.story.scenes] == ["It begins.", "It ends."]


@pytest.mark.parametrize("total", range(15, 61))
@pytest.mark.parametrize("weights", [(1,), (1, 1.1), (1, 1.2, 1.1), (1, 0.8, 1.2, 1.1), (1, 0.8, 1.2, 1, 1.1)])
def test_durations_sum_exactly_and_none_is_too_short(total: int, weights: tuple[float, ...]) -> None:
    parts = split_duration(total, weights)
    assert sum(parts) == total
    assert min(parts) >= 3


def scene(number: int, **changes: object) -> Scene:
    angles = ["wide", "medium", "close-up"]
    good = {
        "scene_number": number, "description": "d", "camera_angle": angles[number - 1], "duration": 10.0,
        "action": "a", "transition": "cut",
    }  # fmt: skip
    return Scene(**{**good, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"duration": 9.0}, "last 29 s together where the film lasts 30 s"),
        ({"scene_number": 2}, "not numbered"),
        ({"camera_angle": "medium"}, "twice in a row"),
        ({"transition": "fade"}, "ends in a fade"),
        ({"action": "  "}, "no action"),
    ],
)
def test_a_broken_rule_is_named(changes: dict[str, object], fault: str) -> None:
    scenes = (scene(1), scene(2), scene(3, **changes))
    story = VideoStory(title="t", niche="n", overall_prompt="p", total_duration=30, scenes=scenes)
    with pytest.raises(StoryboardInvalid, match=fault):
        check(story, request("a fox"), SceneSeconds())


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("საქართველო ყველაზე ლამაზია", "საქართველო ყველაზე ლამაზია"),
        ("𝓫𝓮𝓼𝓽 day", "𝓫𝓮𝓼𝓽 day"),
        ("ชาวประมงดึงอวน", "ชาวประมงดึงอวน"),
        ("می\u200cخواهد کتاب\u200cها را", "می\u200cخواهد کتاب\u200cها را"),
        ("👨\u200d👩\u200d👧 go home", "👨\u200d👩\u200d👧 go home"),
        ("ὀδυσσεύς goes home", "Ὀδυσσεύς goes home"),
        ("a fox", "A fox"),
    ],
)
async def test_a_title_keeps_the_letters_of_its_script(prompt: str, title: str) -> None:
    story = (await write(prompt)).story
    assert story.title == title
    assert title in story.scenes[0].action


@pytest.mark.parametrize("cluster", ["👨\u200d👩\u200d👧\u200d👦", "ស្ត្រី", "क्ष", "n\u0308"])
def test_a_cut_text_ends_with_a_whole_cluster(cluster: str) -> None:
    for longest in range(len(cluster) + 1, 60):
        text = cut(cluster * 40, longest)
        assert len(text) <= longest
        assert text == cluster * ((len(text) - 1) // len(cluster)) + "…"
