"""What Runway takes: the orders of each model."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from simulator.pictures import data_of

AUTO_SECONDS, LONGEST_AUTO_SECONDS = 8, 12
"""How long a clip of the length `auto` becomes, and what is reserved for it."""
LARGEST_DATA_URI = 5 * 2**20


def _at_most(longest: int) -> AfterValidator:
    def check(text: str) -> str:
        if not 1 <= len(text.encode("utf-16-le")) // 2 <= longest:
            raise ValueError(f"String must contain between 1 and {longest} UTF-16 code units")
        return text

    return AfterValidator(check)


def _image(uri: str) -> str:
    if uri.startswith("data:image/"):
        head = uri.partition(",")[0]
        if len(uri) > LARGEST_DATA_URI:
            raise ValueError("Data URI is too large.")
        if not head.endswith(";base64") or "gif" in head or data_of(uri) is None:
            raise ValueError("Invalid data URI.")
        return uri
    if uri.startswith("runway://"):
        return uri
    if urlsplit(uri).scheme != "https":
        raise ValueError("Only HTTPS URLs are allowed.")
    return uri


Prompt = Annotated[str, _at_most(1000)]
SeedancePrompt = Annotated[str, _at_most(3500)]
GrokPrompt = Annotated[str, Field(min_length=1)]
Image = Annotated[str, AfterValidator(_image)]
Seed = Annotated[int, Field(ge=0, le=4_294_967_295)]
Seconds = Annotated[int, Field(ge=2, le=10)]
SeedanceSeconds = Annotated[int, Field(ge=4, le=LONGEST_AUTO_SECONDS)] | Literal["auto"]
FrameRatio = Literal["1280:720", "720:1280", "1104:832", "960:960", "832:1104", "1584:672"]
SeedanceRatio = Literal[
    "992:432", "864:496", "752:560", "640:640", "560:752", "496:864", "1470:630", "1280:720", "1112:834", "960:960",
    "834:1112", "720:1280",
]  # fmt: skip
GrokRatio = Literal[
    "848:480", "480:848", "480:480", "640:480", "480:640", "720:480", "480:720", "1280:720", "720:1280", "720:720",
    "960:720", "720:960", "1088:720", "720:1088", "1904:1072", "1072:1904", "1424:1424", "1648:1232", "1232:1648",
    "1744:1152", "1152:1744",
]  # fmt: skip
PictureRatio = Literal[
    "1024:1024", "1080:1080", "1168:880", "1360:768", "1440:1080", "1080:1440", "1808:768", "1920:1080", "1080:1920",
    "2112:912", "1280:720", "720:1280", "720:720", "960:720", "720:960", "1680:720",
]  # fmt: skip


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Moderation(_Strict):
    publicFigureThreshold: Literal["auto", "low"]  # noqa: N815 - the name on the wire


class _Position(_Strict):
    uri: Image
    position: Literal["first"]


class _Reference(_Strict):
    uri: Image
    tag: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{2,15}$")] | None = None


FirstFrame = Image | Annotated[list[_Position], Field(min_length=1, max_length=1)]


class Gen45Text(_Strict):
    """`POST /v1/text_to_video` of gen4.5."""

    model: Literal["gen4.5"]
    promptText: Prompt  # noqa: N815 - the name on the wire
    ratio: Literal["1280:720", "720:1280"]
    duration: Seconds
    seed: Seed | None = None
    contentModeration: _Moderation | None = None  # noqa: N815 - the name on the wire


class GrokText(_Strict):
    """`POST /v1/text_to_video` of grok_imagine_1_5_lite."""

    model: Literal["grok_imagine_1_5_lite"]
    promptText: GrokPrompt  # noqa: N815 - the name on the wire
    ratio: GrokRatio = "1280:720"
    duration: Annotated[int, Field(ge=1, le=15)] = 5


class SeedanceText(_Strict):
    """`POST /v1/text_to_video` of seedance2_mini, without its references."""

    model: Literal["seedance2_mini"]
    promptText: SeedancePrompt  # noqa: N815 - the name on the wire
    ratio: SeedanceRatio = "1280:720"
    duration: SeedanceSeconds = 5
    audio: bool = True
    seed: Seed | None = None


class Gen45Image(_Strict):
    """`POST /v1/image_to_video` of gen4.5."""

    model: Literal["gen4.5"]
    promptText: Prompt  # noqa: N815 - the name on the wire
    promptImage: FirstFrame  # noqa: N815 - as above
    ratio: FrameRatio
    duration: Seconds
    seed: Seed | None = None
    contentModeration: _Moderation | None = None  # noqa: N815 - as above


class Gen4Turbo(_Strict):
    """`POST /v1/image_to_video` of gen4_turbo, which renders nothing from text alone."""

    model: Literal["gen4_turbo"]
    promptText: Prompt | None = None  # noqa: N815 - the name on the wire
    promptImage: FirstFrame  # noqa: N815 - as above
    ratio: FrameRatio
    duration: Seconds = 10
    seed: Seed | None = None
    contentModeration: _Moderation | None = None  # noqa: N815 - as above


class GrokImage(_Strict):
    """`POST /v1/image_to_video` of grok_imagine_1_5_lite: the clip follows the picture."""

    model: Literal["grok_imagine_1_5_lite"]
    promptText: GrokPrompt | None = None  # noqa: N815 - the name on the wire
    promptImage: FirstFrame  # noqa: N815 - as above
    ratio: Literal["auto_480p", "auto_720p", "auto_1080p"] = "auto_720p"
    duration: Annotated[int, Field(ge=1, le=15)] = 5


class SeedanceImage(_Strict):
    """`POST /v1/image_to_video` of seedance2_mini."""

    model: Literal["seedance2_mini"]
    promptText: SeedancePrompt | None = None  # noqa: N815 - the name on the wire
    promptImage: FirstFrame  # noqa: N815 - as above
    ratio: SeedanceRatio = "1280:720"
    duration: SeedanceSeconds = 5
    audio: bool = True
    seed: Seed | None = None


class Gen4Image(_Strict):
    """`POST /v1/text_to_image` of gen4_image."""

    model: Literal["gen4_image"]
    promptText: Prompt  # noqa: N815 - the name on the wire
    ratio: PictureRatio
    referenceImages: Annotated[list[_Reference], Field(max_length=3)] = []  # noqa: N815 - as above
    seed: Seed | None = None
    contentModeration: _Moderation | None = None  # noqa: N815 - as above


class Gen4ImageTurbo(_Strict):
    """`POST /v1/text_to_image` of gen4_image_turbo, which needs references."""

    model: Literal["gen4_image_turbo"]
    promptText: Prompt  # noqa: N815 - the name on the wire
    ratio: PictureRatio
    referenceImages: Annotated[list[_Reference], Field(min_length=1, max_length=3)]  # noqa: N815 - as above
    seed: Seed | None = None
    contentModeration: _Moderation | None = None  # noqa: N815 - as above


TextToVideo = Gen45Text | GrokText | SeedanceText
ImageToVideo = Gen45Image | Gen4Turbo | GrokImage | SeedanceImage
TextToImage = Gen4Image | Gen4ImageTurbo
Order = TextToVideo | ImageToVideo | TextToImage
FORMS: dict[str, TypeAdapter[Order]] = {
    "text_to_video": TypeAdapter(Annotated[TextToVideo, Field(discriminator="model")]),
    "image_to_video": TypeAdapter(Annotated[ImageToVideo, Field(discriminator="model")]),
    "text_to_image": TypeAdapter(Annotated[TextToImage, Field(discriminator="model")]),
}
