"""Faults that were ordered: which answer of which provider goes wrong, how, and how often."""

import random
from typing import Any, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from simulator.ledger import Provider

Operation = Literal["create", "get", "list", "cancel", "clip"]
ClipFault = Literal[
    "html", "garbage", "truncated", "playlist", "slow", "redirect", "huge", "black", "frozen", "short", "gone"
]


class Fault(BaseModel):
    """One thing that goes wrong.

    An answer: `status` with `headers` and `body` (JSON), `text` or `data`; `drop` closes the connection without one;
    `hang` waits so many seconds first. It takes the place of the good answer; with `done` the work is done before it,
    which on `create` makes a task that is charged and whose id nobody hears. A task: `outcome` with `code`, `reason`
    and `charged`. A clip: `clip`.
    """

    model_config = ConfigDict(extra="forbid")

    provider: Provider | None = None
    operation: Operation
    prompt: str = Field("", description="Only orders whose prompt holds this")
    times: int | None = Field(1, description="How often; null: until it is taken back")
    share: float = Field(1.0, ge=0, le=1, description="Of the requests it could hit, how many it hits")
    done: bool = False
    status: int | None = None
    headers: dict[str, str] = {}
    body: Any = None
    text: str | None = None
    data: Base64Bytes | None = Field(None, description="The bytes of a file that is answered instead")
    drop: bool = False
    hang: float = 0.0
    outcome: Literal["failed", "never", "throttled"] | None = None
    code: str = ""
    reason: str = "The simulated task failed."
    charged: bool = False
    seconds: float = Field(5.0, description="How long a throttled task is kept waiting")
    clip: ClipFault | None = None


class Faults:
    """The faults that wait for their request."""

    def __init__(self, seed: int = 0) -> None:
        self.ordered: list[Fault] = []
        self.random = random.Random(seed)  # noqa: S311 - a fault that can be repeated, not a secret

    def order(self, fault: Fault) -> None:
        """Have this go wrong from now on."""
        self.ordered.append(fault)

    def clear(self) -> None:
        """Have nothing go wrong any more."""
        self.ordered.clear()

    def take(self, provider: Provider, operation: Operation, prompt: str = "") -> Fault | None:
        """What goes wrong with this request, if anything does."""
        for fault in self.ordered:
            if fault.operation != operation or fault.provider not in (None, provider) or fault.prompt not in prompt:
                continue
            if self.random.random() >= fault.share:
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.ordered.remove(fault)
            return fault
        return None
