"""Every event has somebody who hears it, and every handler says in one sentence what it does. Needs no server."""

import inspect

import pytest

import composer.handlers
import gateway.handlers
import scene_render.handlers
import storyboard.handlers
from embedded.asyncapi import HEARD_BY
from shared.contracts.events import EVENTS

STORIES = [module.handlers.story for module in (storyboard, scene_render, composer, gateway)]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_every_event_is_consumed_by_the_services_that_its_contract_names(event) -> None:
    assert event.consumers
    assert set(event.consumers) == {service for service, names in HEARD_BY.items() if event.name in names}


def test_the_gateway_hears_whatever_changes_what_people_see() -> None:
    unheard = {event.name for event in EVENTS} - HEARD_BY["gateway"]
    assert unheard == {"scene.requested", "charge.reviewed", "video.deleted", "video.expired"}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.service)
def test_every_handler_says_what_happened_and_what_we_do_about_it(story) -> None:
    for subscription in story.subscriptions:
        said = inspect.getdoc(subscription.handler)
        assert said, f"{subscription.handler.__name__} has no docstring"
        assert said.splitlines()[0].endswith(".")
