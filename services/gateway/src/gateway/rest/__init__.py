"""The REST API: one module a subject, and what they all take and show."""
