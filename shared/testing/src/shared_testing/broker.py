"""Vhosts on a RabbitMQ, and a way to run `rabbitmqctl` on it."""

import base64
import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared.messaging.broker_users import User, definitions

PASSWORD = "secret"  # noqa: S105 - of users that exist for one test
"""Of each user that tests make."""
COOKIE = Path("/var/lib/rabbitmq/.erlang.cookie")


class ServerMissing(Exception):
    """A server that tests need is not available on this machine."""


def rabbitmqctl(arguments: list[str]) -> str:
    """Run `rabbitmqctl` on the broker of this machine."""
    command = [shutil.which("rabbitmqctl") or "/usr/sbin/rabbitmqctl", "-q", *arguments]
    return _output_of(command)


def local_control() -> Callable[[list[str]], str]:
    """Return what runs `rabbitmqctl` commands on the broker of this machine.

    `eval` goes by `erl_call` where that can be: `rabbitmqctl` starts an Erlang machine each time, which takes a second.
    """
    erl_call = shutil.which("erl_call")
    try:
        cookie = COOKIE.read_text().strip()
    except OSError:
        return rabbitmqctl
    if erl_call is None:
        return rabbitmqctl
    node = rabbitmqctl(["eval", "node()."]).strip().strip("'")

    def control(arguments: list[str]) -> str:
        if arguments[0] != "eval":
            return rabbitmqctl(arguments)
        try:
            answer = _output_of([erl_call, "-e", "-c", cookie, "-n", node], f"{arguments[1]}\n")
        except ServerMissing:
            # It sometimes cannot connect while other processes do.
            return rabbitmqctl(arguments)
        if not answer.startswith("{ok,"):
            raise ServerMissing(f"{arguments[1][:200]}: {answer}")
        return answer.removeprefix("{ok,").removesuffix("}").strip()

    return control


def _output_of(command: list[str], given: str | None = None) -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    if done.returncode:
        raise ServerMissing(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout


@dataclass
class BrokerCorner:
    """A vhost of this run's own. Remove it with whatever used it: each holds many files of the server's."""

    url: str
    vhost: str
    control: Callable[[list[str]], str]
    users: list[str] = field(default_factory=list)
    is_there: bool = True

    def add_users(self, users: Sequence[User]) -> None:
        """Make these users, with permissions in this vhost alone."""
        passwords = {user["name"]: PASSWORD for user in users}
        loaded = definitions(users, passwords, vhost=self.vhost, prefix=f"{self.vhost}-")
        self.load(loaded)
        self.users.extend(user["name"] for user in loaded["users"])

    def load(self, loaded: dict[str, Any]) -> None:
        """Have the broker load definitions."""
        encoded = base64.b64encode(json.dumps(loaded).encode()).decode()
        self.control(["eval", f'rabbit_definitions:import_raw(base64:decode("{encoded}")).'])

    def add(self, user: str) -> None:
        """Make it, with all permissions for this user."""
        self.control(["eval", f'rabbit_vhost:add(<<"{self.vhost}">>, <<"test">>).'])
        permissions = f'<<"{user}">>, <<"{self.vhost}">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>'
        self.control(["eval", f"rabbit_auth_backend_internal:set_permissions({permissions})."])

    def queues(self) -> dict[str, int]:
        """Return all queues, and how many messages are in each, ready or being handled."""
        return {name: int(facts["messages"]) for name, facts in self.facts("messages").items()}

    def facts(self, *names: str) -> dict[str, dict[str, str]]:
        """Return all queues, and what `rabbitmqctl list_queues` says of each by these names."""
        infos = f"I <- [rabbit_amqqueue:info(Q, [{', '.join(names)}])]"
        values = f"list_to_tuple([proplists:get_value(F, I, false) || F <- [{', '.join(names)}]])"
        queue = "binary_to_list(element(4, amqqueue:get_name(Q)))"
        queues = f'Q <- rabbit_amqqueue:list(<<"{self.vhost}">>)'
        listed = self.control(["eval", f"[{{{queue}, {values}}} || {queues}, {infos}]."])
        found = re.findall(r'"([^"]+)",\s*\{([^}]*)\}', listed)
        return {queue: dict(zip(names, re.findall(r"[^\s,]+", row), strict=True)) for queue, row in found}

    def url_of(self, user: str) -> str:
        """The URL by which a user that was added connects."""
        parts = urlsplit(self.url)
        address = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{self.vhost}-{user}:{PASSWORD}@{address}{parts.path}"

    def remove(self) -> None:
        """Remove it and its users, unless that was done."""
        if not self.is_there:
            return
        self.is_there = False
        names = ", ".join(f'<<"{name}">>' for name in self.users)
        delete_users = f'[rabbit_auth_backend_internal:delete_user(Name, <<"test">>) || Name <- [{names}]]'
        with contextlib.suppress(ServerMissing):
            self.control(["eval", f'rabbit_vhost:delete(<<"{self.vhost}">>, <<"test">>).'])
            if self.users:
                self.control(["eval", f"{delete_users}."])
