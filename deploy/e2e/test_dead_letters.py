"""A message that cannot be handled is dead-lettered with its reason; after the fault is fixed it can be redriven."""

import signal
import subprocess
import sys

import aio_pika
import pytest

from shared_testing.servers import eventually

pytestmark = pytest.mark.connected


async def test_a_film_that_could_not_be_composed_is_made_after_redriving(stack) -> None:
    composer = stack.of("composer")
    before = stack.queues()["composer.dead"]
    composer.signal(signal.SIGKILL)
    composer.environment["FFMPEG_BINARY"] = "/bin/false"
    composer.start()
    await composer.ready()

    video_id = stack.ask(sceneCount=2)["videoId"]
    video = await stack.ended(video_id)
    assert video["status"] == "failed"
    assert "ffmpeg" in video["errorMessage"]
    await eventually(lambda: stack.queues()["composer.dead"] > before)
    connection = await aio_pika.connect(stack.broker.url)
    async with connection:
        queue = await (await connection.channel()).get_queue("composer.dead")
        letter = await queue.get()
        assert letter.headers["x-kind"] == "composing"
        assert "ffmpeg" in letter.headers["x-reason"]
        assert letter.headers["x-queue"] == "composer.part.due"
        await letter.nack(requeue=True)

    composer.signal(signal.SIGKILL)
    del composer.environment["FFMPEG_BINARY"]
    composer.start()
    await composer.ready()
    redrive = subprocess.run(
        [sys.executable, "-m", "shared.messaging.redrive", "composer"],
        env=composer.environment | {"BROKER_URL": stack.broker.url_of("operator")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert redrive.stdout.startswith("Requeued ")
    assert f"of video {video_id} to composer.part.due; it failed: " in redrive.stdout

    await eventually(lambda: stack.look(video_id)["status"] == "completed", 60)
    video = stack.look(video_id)
    assert video["errorMessage"] is None
    stack.paid_once(video_id)
    await stack.is_quiet()
