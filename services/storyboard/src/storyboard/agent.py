"""A writer that asks a language model.

The turns are taken here and not by an agent loop of a library's: each answer is kept before anything follows from it,
so that a request that comes again goes on where it was, and pays for nothing twice.
"""

import structlog

from shared.contracts.events import StoryRequested
from shared.contracts.story_rules import SceneSeconds
from shared.messaging.errors import StepFailed
from storyboard.answers import Answer, Answers
from storyboard.completion import Ending
from storyboard.draft import Draft
from storyboard.drafts import read_draft
from storyboard.endpoint import Endpoint, Form, FormRejected, LanguageModelAway, LanguageModelUnusable, Message
from storyboard.instructions import INSTRUCTIONS, correction, wish
from storyboard.linter import leaks, lint
from storyboard.rules import StoryboardInvalid, check_wish
from storyboard.shots import bible_text, cut_shots
from storyboard.text import cut, flat
from storyboard.writer import Written, storyboard_of

log = structlog.get_logger()

TURNS = 3
LONGEST_QUOTE = 200
FAULT_OF: dict[Ending, str] = {
    "length": "the answer was cut off at the token limit",
    "content_filter": "the endpoint's content filter stopped the answer",
    "reasoning": "the answer stands in the reasoning field alone",
    "empty": "the answer was empty",
}


class LanguageModelRefused(StepFailed):
    """The language model, or who guards it, will not write this story."""

    def __init__(self, words: str) -> None:
        said = cut(flat(words), LONGEST_QUOTE)
        super().__init__("storyboard", f"The language model will not write this story{f': {said}' if said else '.'}")


class NoStoryFound(StepFailed):
    """What the language model wrote could not be filmed, however often it was told why."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__(
            "storyboard",
            f"The language model wrote no story that can be filmed, in {TURNS} tries: {'; '.join(faults)}.",
        )
        self.faults = faults


class LanguageModelWriter:
    """Writes with a language model; what it gets wrong goes back to it, with the reason."""

    def __init__(self, endpoint: Endpoint, answers: Answers, seconds: SceneSeconds) -> None:
        self.endpoint = endpoint
        self.answers = answers
        self.seconds = seconds

    async def write(self, request: StoryRequested) -> Written:
        """See `Writer.write`.

        Raises:
            LanguageModelAway: asking later may help.
            NoMoneyToAsk: the budgets do not allow it.
        """
        check_wish(request, self.seconds)
        talk: list[Message] = [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": wish(request, self.seconds)},
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
                    # It may not know the form: some endpoints pass over what they do not know.
                    forms.pop(0)
            else:
                if is_new:
                    self.endpoint.remember(forms[0])
                return written
        raise NoStoryFound(faults)

    async def _paid(self, request: StoryRequested, turn: int, talk: list[Message], forms: list[Form]) -> Answer:
        """An answer for which the money was reserved before, and booked after."""
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
        """Ask in the first form that is taken; those that are not are dropped."""
        while True:
            try:
                return await self.endpoint.ask(talk, forms[0])
            except FormRejected as rejected:
                if len(forms) == 1:
                    raise LanguageModelUnusable(str(rejected)) from rejected
                log.info("llm.form_rejected", form=forms.pop(0), reason=str(rejected))

    def _written(self, answer: Answer, draft: Draft | None, request: StoryRequested) -> Written:
        if leaks(draft.everything() if draft else answer.text, INSTRUCTIONS):
            raise StoryboardInvalid(["the answer is about the rules and not about the film"])
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
        style, was_shortened = bible_text(draft.style)
        repairs += ["the style bible was shortened"] if was_shortened else []
        shots, shortened = cut_shots([scene.shot for scene in draft.scenes], style)
        return Written(storyboard_of(story, shots, style), (*repairs, *shortened))


def _fault_of_words(text: str) -> str:
    """What is wrong with an answer that holds no storyboard: a guardrail's sentence is worth reading."""
    if "{" in text:
        return "the answer is no storyboard in JSON"
    return f"the answer is words and no storyboard: «{cut(flat(text), LONGEST_QUOTE)}»"
