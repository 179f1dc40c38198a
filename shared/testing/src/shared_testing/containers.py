"""Servers in containers, if no other server is available."""

import contextlib
import shutil
import subprocess
from typing import Any

from shared_testing.broker import ServerMissing


def _docker_answers() -> bool:
    docker = shutil.which("docker")
    return (
        docker is not None
        and subprocess.call(  # noqa: S603
            [docker, "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20
        )
        == 0
    )


def start_container(kind: str, stack: contextlib.ExitStack) -> Any:  # noqa: ANN401 - testcontainers has no types
    """Start a container with `rabbitmq` or `mysql`.

    Raises:
        ServerMissing: there is no Docker.
    """
    if not _docker_answers():
        raise ServerMissing("no URL in the environment, nothing on the default port, and Docker does not answer")
    if kind == "rabbitmq":
        from testcontainers.community.rabbitmq import RabbitMqContainer

        return stack.enter_context(RabbitMqContainer("rabbitmq:4-management"))
    from testcontainers.community.mysql import MySqlContainer

    return stack.enter_context(MySqlContainer("mariadb:11", dialect="pymysql", root_password="root"))  # noqa: S106
