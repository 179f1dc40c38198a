"""States of scenes and attempts change in one place each, by the defined transitions only."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import scene_render
from scene_render.models import Render
from scene_render.scenes.scene_state import SceneTransitionInvalid, SceneTransitions, planned
from shared.contracts.events import SceneRequested

SOURCE = Path(str(scene_render.__file__)).parent
OWNERS = {
    "scenes/scene_state.py",
    "attempts/attempt_state.py",
    "attempts/service.py:Attempt",  # where an attempt begins, at INTENT
    "attempts/billing.py",  # the state of a charge
    "providers/animatic.py",  # the state of a drawing
}


def writers(tree: ast.AST) -> Iterator[str]:
    """Where a `state` is assigned: as an attribute, by keyword (then, what is called), or in a dictionary."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="state", ctx=ast.Store()):
                yield ""
            case ast.Call(func=function, keywords=keywords) if _sets_state(function, keywords):
                yield function.id if isinstance(function, ast.Name) else ""
            case ast.Dict(keys=keys) if any(isinstance(key, ast.Constant) and key.value == "state" for key in keys):
                yield ""


def _sets_state(function: ast.expr, keywords: list[ast.keyword]) -> bool:
    logs = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "log"
    return not logs and any(one.arg == "state" for one in keywords)


def test_nothing_else_assigns_the_state_of_a_scene_or_an_attempt() -> None:
    found = set()
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        for called in writers(ast.parse(path.read_text())):
            found.add(name if name in OWNERS or not called else f"{name}:{called}")
    assert found == OWNERS


STATES = ("planned", "waiting", "running", "review", "rendered", "failed", "cancelled")
CHANGES: dict[str, tuple[Callable[[SceneTransitions], None], set[str]]] = {
    "running": (lambda scene: scene.start("clip"), {"waiting"}),
    "waiting": (lambda scene: scene.wait(), {"planned", "running", "review", "failed"}),
    "planned": (lambda scene: scene.plan(), {"waiting"}),
    "review": (lambda scene: scene.review(), {"waiting", "running"}),
    "rendered": (lambda scene: scene.finish({}), {"running"}),
    "failed": (lambda scene: scene.fail("k", "r"), {"planned", "waiting", "running", "review"}),
    "cancelled": (lambda scene: scene.cancel(), {"planned", "waiting", "running", "review", "failed"}),
}


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", CHANGES)
def test_a_scene_allows_only_the_defined_transitions(
    scene: Callable[..., SceneRequested], before: str, after: str
) -> None:
    render: Render = planned(scene(), cancelled=False)
    render.state, render.attempts = before, 0  # type: ignore[assignment]
    change, allowed = CHANGES[after]
    if before in allowed:
        change(SceneTransitions(render))
        assert render.state == after
    else:
        with pytest.raises(SceneTransitionInvalid):
            change(SceneTransitions(render))
        assert render.state == before
