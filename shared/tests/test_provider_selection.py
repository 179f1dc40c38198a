"""Which providers may render a scene."""

import pytest

from shared.contracts.provider_selection import first_provider, providers_for


@pytest.mark.parametrize(
    ("requested", "configured", "expected"),
    [
        ((), ("runway", "luma"), ("runway", "luma")),
        (("luma",), ("runway", "luma"), ("luma",)),
        (("luma", "other"), ("runway", "luma"), ("luma",)),
        (("pika",), ("runway", "luma"), ("runway", "luma")),
        (("animatic",), ("runway", "luma"), ("animatic",)),
        (("luma", "animatic"), ("runway",), ("animatic",)),
        ((), ("animatic",), ("animatic",)),
    ],
)
def test_available_requested_providers_come_first_and_the_free_one_is_always_available(
    requested: tuple[str, ...], configured: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert providers_for(requested, configured) == expected
    assert first_provider(requested, configured) == expected[0]
