"""Why a request about a video is refused."""

from uuid import UUID

from gateway.http.errors import ApiError


class VideoNotFound(ApiError):
    """No video has this id. The id may be any text that a caller took for one."""

    http_status, problem_type, title = 404, "video-not-found", "Video not found"

    def __init__(self, video_id: UUID | str) -> None:
        super().__init__(f"There is no video {video_id}.")
        self.video_id = video_id


class VideoAlreadyEnded(ApiError):
    """The video has ended, so it cannot be cancelled."""

    http_status, problem_type, title = 409, "video-already-ended", "Video already ended"

    def __init__(self, video_id: UUID, status: str) -> None:
        super().__init__(f"Video {video_id} has already ended: it is {status}.")
        self.video_id = video_id
        self.status = status


class VideoNotEnded(ApiError):
    """The video is still being made, so it cannot be deleted."""

    http_status, problem_type, title = 409, "video-not-ended", "Video not ended"

    def __init__(self, video_id: UUID, status: str) -> None:
        super().__init__(f"Video {video_id} is {status}; cancel it first.")
        self.video_id = video_id
        self.status = status


class SceneNotFound(ApiError):
    """The video has no scene with this number."""

    http_status, problem_type, title = 404, "scene-not-found", "Scene not found"

    def __init__(self, video_id: UUID, scene_number: int) -> None:
        super().__init__(f"Video {video_id} has no scene {scene_number}.")
        self.video_id = video_id
        self.scene_number = scene_number


class StreamNotStarted(ApiError):
    """Nothing of the film can be played yet."""

    http_status, problem_type, title = 404, "stream-not-started", "Stream not started"

    def __init__(self, video_id: UUID) -> None:
        super().__init__(
            f"Nothing of the film of video {video_id} can be played yet: its stream begins with its first scene."
        )
        self.video_id = video_id
