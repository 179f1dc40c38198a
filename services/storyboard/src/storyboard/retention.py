"""The retention policies of the storyboard service."""

from shared.process.retention import Policy, Rows
from storyboard.models import DraftRow, LlmAnswerRow

DRAFT_DAYS = 30
ANSWER_DAYS = 30
"""Longer than any redelivery: until then no turn is paid twice."""

POLICIES = (
    Policy("drafts", DRAFT_DAYS, Rows(DraftRow.created_at)),
    Policy("model answers", ANSWER_DAYS, Rows(LlmAnswerRow.created_at, blank={LlmAnswerRow.answer: ""})),
)
