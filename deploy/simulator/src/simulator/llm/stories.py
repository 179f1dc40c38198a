"""The stories of the simulated language model: one for every prompt, in English or Indonesian."""

import json
import re
from typing import Any

INDONESIAN = re.compile(
    r"\b(?:yang|dan|di|dari|dengan|untuk|sebuah|seorang|seekor|tentang|kopi|pagi|malam|nenek|kakek|anak|hujan|resep"
    r"|pasar|warung|desa|laut|kucing|petani|nelayan|ibu|ayah|buatkan)\b",
    re.IGNORECASE,
)
ANGLES = ("wide", "medium", "close-up", "overhead", "pov")
JOINS = ("dissolve", "cut", "fade", "wipe")
OVERLAP_SECONDS = 0.75
BEATS = {
    1: (0,),
    2: (0, 4),
    3: (0, 2, 4),
    4: (0, 1, 2, 4),
    5: (0, 1, 2, 3, 4),
}
NAMES = ("beginning", "middle", "turn", "middle", "end")
ACTIONS = {
    "en": (
        "Mara opens the door and carries a lantern out to the water.",
        "Mara kneels and wipes the dust from the old brass bell.",
        "The rope snaps and the lantern falls into the dark water.",
        "A boy in a red raincoat dives in and holds the lantern up.",
        "Mara and the boy ring the bell together while the sun rises.",
    ),
    "id": (
        "Mara membuka pintu dan membawa lentera ke tepi air.",
        "Mara berlutut dan mengusap debu dari lonceng kuningan tua itu.",
        "Tali itu putus dan lentera jatuh ke dalam air yang gelap.",
        "Seorang anak berjas hujan merah menyelam dan mengangkat lentera itu.",
        "Mara dan anak itu membunyikan lonceng bersama saat matahari terbit.",
    ),
}
SHOTS = (
    "Mara carries a lit lantern through a door towards still water.",
    "Mara kneels and wipes dust from an old brass bell.",
    "A rope snaps, a lantern falls into dark water and goes out.",
    "The boy rises from the water and holds the lantern high.",
    "Mara and the boy ring the bell, the sun rises behind them.",
)
STYLE = {
    "characters": [
        {"name": "Mara", "look": "woman of 60, grey braid, dark blue wool coat, brown boots"},
        {"name": "The boy", "look": "boy of 9, short black hair, red raincoat"},
    ],
    "place": "a small wooden harbour at a lake",
    "palette": "slate blue, amber, rust red",
    "lens": "35 mm, soft film grain",
    "light": "low sun through morning mist",
}


def request_of(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the request in the first user message: its JSON, else its text as the prompt."""
    text = next((message_text(message) for message in messages if message.get("role") == "user"), "")
    try:
        request = json.loads(text)
    except ValueError:
        request = None
    request = request if isinstance(request, dict) else {"prompt": text}
    return {"sceneCount": 3, "totalSeconds": 30, "prompt": ""} | request


def message_text(message: dict[str, Any]) -> str:
    """Return the text of a message, given as a string or as parts."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def good_story(request: dict[str, Any]) -> dict[str, Any]:
    """Return a valid storyboard for the request."""
    prompt, count, total = str(request["prompt"]), int(request["sceneCount"]), int(request["totalSeconds"])
    asked = request.get("language")
    language = "id" if asked == "Indonesian" or (not asked and INDONESIAN.search(prompt)) else "en"
    longest = (request.get("secondsPerScene") or {}).get("max", 60)
    ends = [total * 2 * (n + 1) // count / 2 for n in range(count)]
    durations = [end - start for start, end in zip([0.0, *ends], ends, strict=False)]
    joins = JOINS if max(durations) + OVERLAP_SECONDS <= longest else ("cut",) * count
    first = request.get("firstAngle") or "wide"
    angles = [first, *(angle for angle in ANGLES if angle != first)]
    subject = " ".join(prompt.split()[:6])[:50] or "Mara"
    about = {"en": f"The story of {subject}, at the lake.", "id": f"Cerita tentang {subject}, di tepi danau."}
    return {
        "refusal": "",
        "title": subject,
        "style": STYLE,
        "scenes": [
            {
                "beat": NAMES[beat],
                "description": about[language],
                "action": ACTIONS[language][beat],
                "shot": SHOTS[beat],
                "cameraAngle": angles[n],
                "duration": durations[n],
                "transition": "cut" if n == count - 1 else joins[n],
            }
            for n, beat in enumerate(BEATS[count])
        ],
    }
