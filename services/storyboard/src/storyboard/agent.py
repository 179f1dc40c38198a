"""The writer that uses a language model.

It has its own loop instead of a library's agent: each answer is saved before it is used, so that a redelivered request
continues where it was and no answer is paid for twice.
"""

import structlog

from shared.contracts.events import StoryRequested
from shared.contracts.story_rules import SceneSeconds
from shared.messaging.errors import StepFailed
from storyboard.answers import Answer, Answers
from storyboard.cast import cast_draft, references_of
from storyboard.completion import Ending
from storyboard.draft import Draft
from storyboard.drafts import read_draft
from storyboard.endpoint import Endpoint, Form, FormRejected, LanguageModelAway, LanguageModelUnusable, Message
from storyboard.instructions import INSTRUCTIONS, correction, request_message
from storyboard.linter import leaks, lint
from storyboard.rules import StoryboardInvalid, check_duration
from storyboard.shots import LONGEST_SHOT_PROMPT, fitted, style_text
from storyboard.text import cut, cut_units, flat
from storyboard.writer import Written, storyboard_of

log = structlog.get_logger()

TURNS = 3
LONGEST_QUOTE = 200
FAULT_OF: dict[Ending, str] = {
    "length": "the answer was cut off at the token limit",
    "content_filter": "the endpoint's content filter stopped the answer",
    "reasoning": "the answer is in the reasoning field only",
    "empty": "the answer was empty",
}


class LanguageModelRefused(StepFailed):
    """The language model, or its content filter, refused to write this story."""

    def __init__(self, words: str) -> None:
        said = cut(flat(words), LONGEST_QUOTE)
        super().__init__("storyboard", f"The language model refused to write this story{f': {said}' if said else '.'}")


class NoStoryFound(StepFailed):
    """All storyboards of the language model were invalid, despite corrections."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__(
            "storyboard",
            f"The language model wrote no valid storyboard in {TURNS} attempts: {'; '.join(faults)}.",
        )
        self.faults = faults


class LanguageModelWriter:
    """Writes with a language model, and sends invalid storyboards back to it with the reasons."""

    def __init__(self, endpoint: Endpoint, answers: Answers, seconds: SceneSeconds) -> None:
        self.endpoint = endpoint
        self.answers = answers
        self.seconds = seconds

    async def write(self, request: StoryRequested) -> Written:
        """See `Writer.write`.

        Raises:
            LanguageModelAway: a retry may succeed.
            NoMoneyToAsk: the budgets are exceeded.
        """
        check_duration(request, self.seconds)
        talk: list[Message] = [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": request_message(request, self.seconds)},
        ]
        forms = list(self.endpoint.forms)
        faults: tuple[str, ...] = ()
        for turn in range(TURNS):
            answer = await self.answers.get(request, turn)
            is_new = answer is None
            if answer is None:
                answer = await self._paid(request, turn, talk, forms)
            draft = read_draft(answer.text, cut=answer.ending in ("length", "content_filter"))
            try:
                written = self._written(answer, draft, request)
            except StoryboardInvalid as invalid:
                faults = invalid.faults
                log.info("llm.answer_invalid", turn=turn, faults=faults)
                if answer.ending == "content_filter":
                    if len(forms) == 1:
                        raise LanguageModelRefused(FAULT_OF[answer.ending]) from invalid
                else:
                    talk += [
                        {"role": "assistant", "content": answer.text or "…"},
                        {"role": "user", "content": correction(faults)},
                    ]
                if (draft is None or answer.ending != "stop") and len(forms) > 1:
                    # Some endpoints silently ignore a response format that they do not support.
                    forms.pop(0)
            else:
                if is_new:
                    self.endpoint.remember(forms[0])
                return written
        raise NoStoryFound(faults)

    async def _paid(self, request: StoryRequested, turn: int, talk: list[Message], forms: list[Form]) -> Answer:
        """Reserve the money, ask, and book the cost of the answer."""
        held = await self.answers.reserve(request, self.endpoint.expected_cost(talk))
        try:
            answer = await self._ask(talk, forms)
        except LanguageModelUnusable:
            await self.answers.release(held)
            raise
        except LanguageModelAway as away:
            if not away.may_have_cost:
                await self.answers.release(held)
            raise
        return await self.answers.keep(request, turn, answer, held)

    async def _ask(self, talk: list[Message], forms: list[Form]) -> Answer:
        """Ask with the first response format that the endpoint accepts; drop the others."""
        while True:
            try:
                return await self.endpoint.ask(talk, forms[0])
            except FormRejected as rejected:
                if len(forms) == 1:
                    raise LanguageModelUnusable(str(rejected)) from rejected
                log.info("llm.form_rejected", form=forms.pop(0), reason=str(rejected))

    def _written(self, answer: Answer, draft: Draft | None, request: StoryRequested) -> Written:
        if leaks(draft.everything() if draft else answer.text, INSTRUCTIONS):
            raise StoryboardInvalid(["the answer repeats its instructions"])
        if answer.refused:
            raise LanguageModelRefused(answer.text)
        if draft is None:
            raise StoryboardInvalid([FAULT_OF.get(answer.ending) or _fault_of_words(answer.text)])
        if draft.refusal and len(draft.scenes) != request.scene_count:
            raise LanguageModelRefused(draft.refusal)
        try:
            story, repairs = lint(draft, request, self.seconds, with_style=True)
        except StoryboardInvalid as invalid:
            raise StoryboardInvalid([*filter(None, [FAULT_OF.get(answer.ending)]), *invalid.faults]) from invalid
        style, was_shortened = style_text(draft.style)
        repairs += ["the style bible was shortened"] if was_shortened else []
        shots = [cut_units(scene.shot, LONGEST_SHOT_PROMPT) for scene in draft.scenes]
        storyboard, recast = cast_draft(storyboard_of(story, shots, style), draft, references_of(request))
        storyboard, shortened = fitted(storyboard)
        return Written(storyboard, (*repairs, *recast, *shortened))


def _fault_of_words(text: str) -> str:
    """Return the fault of an answer without a storyboard, quoting it: it may come from a content filter."""
    if "{" in text:
        return "the answer is not a storyboard in JSON"
    return f"the answer is text instead of a storyboard: «{cut(flat(text), LONGEST_QUOTE)}»"
