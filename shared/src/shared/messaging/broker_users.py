"""Writes RabbitMQ's users and queues as definitions: `python -m shared.messaging.broker_users PERMISSIONS DEFINITIONS`.

The permissions come from `deploy/rabbitmq/permissions.json`, the passwords from the environment, the queues from the
contracts. A service may declare only its own queues, so the broker loads those of all before the first event.
"""

import base64
import hashlib
import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from shared.contracts.events import EVENTS
from shared.messaging import topology
from shared.settings import BrokerPasswords, read


class Topics(TypedDict):
    """The routing keys that a user may publish, and bind queues to, on one topic exchange; regular expressions."""

    exchange: str
    write: str
    read: str


class User(TypedDict):
    """What a user may do with exchanges and queues; regular expressions. `tags` are RabbitMQ's own."""

    name: str
    tags: str
    configure: str
    write: str
    read: str
    topics: list[Topics]


def definitions(
    users: Sequence[User], passwords: Mapping[str, str], *, vhost: str = "/", prefix: str = ""
) -> dict[str, Any]:
    """Return RabbitMQ's definitions of a vhost and its users, whose names begin with `prefix`."""
    permissions, topic_permissions = [], []
    for user in users:
        of = {"user": prefix + user["name"], "vhost": vhost}
        permissions.append(of | {right: user[right] for right in ("configure", "write", "read")})
        topic_permissions += [of | dict(topics) for topics in user["topics"]]
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            {
                "name": prefix + user["name"],
                "password_hash": _hash(passwords[user["name"]]),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": user["tags"],
            }
            for user in users
        ],
        "permissions": permissions,
        "topic_permissions": topic_permissions,
    }


def _hash(password: str) -> str:
    """Hash a password as RabbitMQ keeps it: base64 of four bytes of salt and the SHA-256 of salt and password."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def main() -> None:
    """Run the command."""
    permissions, target = map(Path, sys.argv[1:])
    users: list[User] = json.loads(permissions.read_text())
    passwords = read(BrokerPasswords).by_user
    written = definitions(users, passwords) | topology.definitions(EVENTS, "/")
    target.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
