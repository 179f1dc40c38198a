"""The messages that the services exchange. Read `events.py` first."""
