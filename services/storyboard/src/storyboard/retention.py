"""How long the storyboard service keeps what."""

from shared.process.retention import Policy, Rows
from storyboard.models import DraftRow, LlmAnswerRow

DRAFT_DAYS = 30
ANSWER_DAYS = 30
"""Longer than any message may come again: until then a model is not paid twice for one turn."""

POLICIES = (
    Policy("drafts", DRAFT_DAYS, Rows(DraftRow.created_at)),
    Policy("model answers", ANSWER_DAYS, Rows(LlmAnswerRow.created_at, blank={LlmAnswerRow.answer: ""})),
)
