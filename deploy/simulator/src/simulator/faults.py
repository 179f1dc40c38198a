"""Injected faults: which answers of which provider fail, how, and how often."""

import random
from typing import Any, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from simulator.ledger import Kind, Provider

Operation = Literal["create", "get", "list", "cancel", "clip"]
ClipFault = Literal[
    "html", "garbage", "truncated", "playlist", "slow", "redirect", "huge", "black", "frozen", "short", "gone"
]


class Fault(BaseModel):
    """An injected fault.

    Of an answer: `status` with `headers` and `body` (JSON), `text` or `data`; `drop` closes the connection without an
    answer; `hang` waits this many seconds first. It replaces the good answer; with `done` the operation takes effect,
    so that a `create` makes a charged task with an id unknown to the caller. Of a task: `outcome` with `code`,
    `reason` and `charged`. Of a clip: `clip`.
    """

    model_config = ConfigDict(extra="forbid")

    provider: Provider | None = None
    operation: Operation
    prompt: str = Field("", description="Only tasks with this text in the prompt")
    kind: Kind | None = Field(None, description="Only `create` and `clip` of tasks that render clips, or pictures")
    times: int | None = Field(1, description="How often; null: until it is cleared")
    share: float = Field(1.0, ge=0, le=1, description="The share of matching requests that it affects")
    done: bool = False
    status: int | None = None
    headers: dict[str, str] = {}
    body: Any = None
    text: str | None = None
    data: Base64Bytes | None = Field(None, description="The bytes of a file to answer with")
    drop: bool = False
    hang: float = 0.0
    outcome: Literal["failed", "never", "throttled"] | None = None
    code: str = ""
    reason: str = "The simulated task failed."
    charged: bool = False
    seconds: float = Field(5.0, description="How long a throttled task waits")
    clip: ClipFault | None = None


class Faults:
    """The faults that are queued for requests."""

    def __init__(self, seed: int = 0) -> None:
        self.ordered: list[Fault] = []
        self.random = random.Random(seed)  # noqa: S311 - repeatable faults, no secret

    def order(self, fault: Fault) -> None:
        """Add a fault."""
        self.ordered.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        self.ordered.clear()

    def take(
        self, provider: Provider, operation: Operation, prompt: str = "", kind: Kind | None = None
    ) -> Fault | None:
        """Return and consume the fault of this request, if any."""
        for fault in self.ordered:
            if fault.operation != operation or fault.provider not in (None, provider) or fault.prompt not in prompt:
                continue
            if fault.kind not in (None, kind):
                continue
            if self.random.random() >= fault.share:
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.ordered.remove(fault)
            return fault
        return None
