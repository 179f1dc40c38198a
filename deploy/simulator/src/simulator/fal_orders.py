"""What fal takes: the orders of each application, and their prices."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from simulator.ledger import Kind

PIKA_PRICES = {"720p": Decimal("0.20"), "1080p": Decimal("0.45")}
"""USD for 5 seconds."""
LTX_PRICES = {"1080p": Decimal("0.04"), "1440p": Decimal("0.08"), "2160p": Decimal("0.16")}
KLING_PRICES = {False: Decimal("0.112"), True: Decimal("0.168")}
"""Without and with sound."""
SEEDANCE_PRICES = {"480p": Decimal("0.07"), "720p": Decimal("0.155")}
MINIMAX_PRICES = {"480P": Decimal("0.05"), "768P": Decimal("0.06"), "2K": Decimal("0.13"), "4K": Decimal("0.16")}
SEEDREAM_PRICE = Decimal("0.03")
IMAGE_SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (720, 1280),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1280, 720),
}


def _image(url: str) -> str:
    if not url.startswith(("https://", "data:image/")):
        raise ValueError("Input should be a public URL or a data URI")
    return url


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


Picture = Annotated[str, AfterValidator(_image)]
Prompt = Annotated[str, Field(min_length=1, max_length=5000)]
KlingPrompt = Annotated[str, Field(min_length=1, max_length=2500)]
KlingSeconds = Literal["3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"]
SeedanceSeconds = Literal["auto", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"]
LtxSeconds = Literal[6, 8, 10, 12, 14, 16, 18, 20]


class PikaText(_Strict):
    """`fal-ai/pika/v2.2/text-to-video`. Callers send the duration as a number or as a string."""

    prompt: Prompt
    negative_prompt: str = "ugly, bad, terrible"
    aspect_ratio: Literal["16:9", "9:16", "1:1", "4:5", "5:4", "3:2", "2:3"] = "16:9"
    resolution: Literal["720p", "1080p"] = "720p"
    duration: Literal[5, 10, "5", "10"] = 5
    seed: int | None = None


class PikaImage(_Strict):
    """`fal-ai/pika/v2.2/image-to-video`. The shape follows the image."""

    prompt: Prompt
    image_url: Picture
    negative_prompt: str = ""
    resolution: Literal["720p", "1080p"] = "720p"
    duration: Literal[5, 10, "5", "10"] = 5
    seed: int | None = None


class LtxText(_Strict):
    """`fal-ai/ltx-2.3/text-to-video/fast`."""

    prompt: Prompt
    aspect_ratio: Literal["16:9", "9:16"] = "16:9"
    resolution: Literal["1080p", "1440p", "2160p"] = "1080p"
    duration: LtxSeconds = 6
    fps: Literal[24, 25, 48, 50] = 25
    generate_audio: bool = True


class LtxImage(LtxText):
    """`fal-ai/ltx-2.3/image-to-video/fast`."""

    image_url: Picture
    end_image_url: Picture | None = None
    aspect_ratio: Literal["auto", "16:9", "9:16"] = "auto"  # type: ignore[assignment]  # wider


class KlingText(_Strict):
    """`fal-ai/kling-video/v3/pro/text-to-video`."""

    prompt: KlingPrompt
    negative_prompt: str = "blur, distort, and low quality"
    aspect_ratio: Literal["16:9", "9:16", "1:1"] = "16:9"
    duration: KlingSeconds = "5"
    generate_audio: bool = True


class KlingImage(_Strict):
    """`fal-ai/kling-video/v3/pro/image-to-video`. The shape follows the image."""

    prompt: KlingPrompt
    start_image_url: Picture
    end_image_url: Picture | None = None
    negative_prompt: str = "blur, distort, and low quality"
    duration: KlingSeconds = "5"
    generate_audio: bool = True


class SeedanceText(_Strict):
    """`bytedance/seedance-2.0/mini/text-to-video`."""

    prompt: Prompt
    aspect_ratio: Literal["auto", "21:9", "16:9", "4:3", "1:1", "3:4", "9:16"] = "auto"
    resolution: Literal["480p", "720p"] = "720p"
    duration: SeedanceSeconds = "5"
    generate_audio: bool = True
    seed: int | None = None


class SeedanceImage(SeedanceText):
    """`bytedance/seedance-2.0/mini/image-to-video`."""

    image_url: Picture
    end_image_url: Picture | None = None


class MinimaxText(_Strict):
    """`minimax/h3/text-to-video`."""

    prompt: Prompt
    aspect_ratio: Literal["21:9", "16:9", "4:3", "1:1", "3:4", "9:16"] = "16:9"
    resolution: Literal["480P", "768P", "2K", "4K"] = "768P"
    duration: Annotated[int, Field(ge=5, le=15)] = 5


class MinimaxImage(_Strict):
    """`minimax/h3/image-to-video`. The shape follows the image."""

    prompt: Prompt
    image_url: Picture
    end_image_url: Picture | None = None
    resolution: Literal["480P", "768P", "2K", "4K"] = "768P"
    duration: Annotated[int, Field(ge=5, le=15)] = 5


class SeedreamText(_Strict):
    """`fal-ai/bytedance/seedream/v4/text-to-image`."""

    prompt: Prompt
    image_size: Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"] = (
        "square_hd"
    )
    num_images: Literal[1] = 1
    seed: int | None = None


class SeedreamEdit(SeedreamText):
    """`fal-ai/bytedance/seedream/v4/edit`."""

    image_urls: Annotated[list[Picture], Field(min_length=1, max_length=10)]


@dataclass(frozen=True)
class Application:
    """An application of fal: the form of its input, and the price of an order in USD per second, or of a picture."""

    form: type[_Strict]
    price: Callable[[Any], Decimal]
    kind: Kind = "clip"
    first_frame: str | None = None


APPLICATIONS: dict[str, Application] = {
    "fal-ai/pika/v2.2/text-to-video": Application(PikaText, lambda order: PIKA_PRICES[order.resolution] / 5),
    "fal-ai/pika/v2.2/image-to-video": Application(
        PikaImage, lambda order: PIKA_PRICES[order.resolution] / 5, first_frame="image_url"
    ),
    "fal-ai/ltx-2.3/text-to-video/fast": Application(LtxText, lambda order: LTX_PRICES[order.resolution]),
    "fal-ai/ltx-2.3/image-to-video/fast": Application(
        LtxImage, lambda order: LTX_PRICES[order.resolution], first_frame="image_url"
    ),
    "fal-ai/kling-video/v3/pro/text-to-video": Application(KlingText, lambda order: KLING_PRICES[order.generate_audio]),
    "fal-ai/kling-video/v3/pro/image-to-video": Application(
        KlingImage, lambda order: KLING_PRICES[order.generate_audio], first_frame="start_image_url"
    ),
    "bytedance/seedance-2.0/mini/text-to-video": Application(
        SeedanceText, lambda order: SEEDANCE_PRICES[order.resolution]
    ),
    "bytedance/seedance-2.0/mini/image-to-video": Application(
        SeedanceImage, lambda order: SEEDANCE_PRICES[order.resolution], first_frame="image_url"
    ),
    "minimax/h3/text-to-video": Application(MinimaxText, lambda order: MINIMAX_PRICES[order.resolution]),
    "minimax/h3/image-to-video": Application(
        MinimaxImage, lambda order: MINIMAX_PRICES[order.resolution], first_frame="image_url"
    ),
    "fal-ai/bytedance/seedream/v4/text-to-image": Application(SeedreamText, lambda _: SEEDREAM_PRICE, "picture"),
    "fal-ai/bytedance/seedream/v4/edit": Application(SeedreamEdit, lambda _: SEEDREAM_PRICE, "picture"),
}
"""By path."""
