"""Every event is consumed by the services that its contract names. Needs no server."""

import pytest

from embedded.asyncapi import CONSUMED_BY
from shared.contracts.events import EVENTS


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_every_event_is_consumed_by_the_services_that_its_contract_names(event) -> None:
    assert event.consumers
    assert set(event.consumers) == {service for service, names in CONSUMED_BY.items() if event.name in names}


def test_the_gateway_hears_whatever_changes_what_people_see() -> None:
    unheard = {event.name for event in EVENTS} - CONSUMED_BY["gateway"]
    # What the gateway publishes itself, it has applied before.
    own = {"frame.rejected", "frames.approved", "charge.reviewed", "video.deleted", "video.expired"}
    assert unheard == {"scene.requested", "cast.requested", *own}
