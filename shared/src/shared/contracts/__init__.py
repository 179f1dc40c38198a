"""What the services say to each other. Read `events.py` first."""
