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
TURN = 2
ACTIONS = {
    "en": (
        "{one} opens the door and carries a lantern out to the water.",
        "{one} kneels and wipes the dust from the old brass bell.",
        "The rope snaps and the lantern falls into the dark water.",
        "{other} dives in and holds the lantern up.",
        "{one} and {other} ring the bell together while the sun rises.",
    ),
    "id": (
        "{one} membuka pintu dan membawa lentera ke tepi air.",
        "{one} berlutut dan mengusap debu dari lonceng kuningan tua itu.",
        "Tali itu putus dan lentera jatuh ke dalam air yang gelap.",
        "{other} menyelam dan mengangkat lentera itu dari dalam air.",
        "{one} dan {other} membunyikan lonceng bersama saat matahari terbit.",
    ),
}
SHOTS = (
    "{one} carries a lit lantern through a door towards still water.",
    "{one} kneels and wipes dust from an old brass bell.",
    "A rope snaps, a lantern falls into dark water and goes out.",
    "{other} rises from the water and holds the lantern high.",
    "{one} and {other} ring the bell, the sun rises behind them.",
)
SHOWN = (("one",), ("one",), (), ("other",), ("one", "other"))
"""Who is in the picture of each beat."""
LOOKS = {
    "Mara": "woman of 60, grey braid, dark blue wool coat, brown boots",
    "Otto": "boy of 9, short black hair, red raincoat",
}
"""The characters, unless the request names others, whose looks are in its pictures."""
STYLE = {
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
    beats = BEATS[count]
    pictured = request.get("references", ())
    names = dict(zip(("one", "other"), dict.fromkeys([*pictured, *LOOKS]), strict=False))
    shown = [names[role] for role in names if any(role in SHOWN[beat] for beat in beats)]
    key_moment = TURN if TURN in beats else beats[-1]
    about = {"en": f"The story of {subject}, at the lake.", "id": f"Cerita tentang {subject}, di tepi danau."}
    return {
        "refusal": "",
        "title": subject,
        "style": STYLE,
        "cast": [
            {"name": name, "kind": "character", "look": "" if name in pictured else LOOKS[name]} for name in shown
        ],
        "scenes": [
            {
                "beat": NAMES[beat],
                "description": about[language],
                "action": ACTIONS[language][beat].format(**names),
                "shot": SHOTS[beat].format(**names),
                "cameraAngle": angles[n],
                "duration": durations[n],
                "transition": "cut" if n == count - 1 else joins[n],
                "cast": [names[role] for role in SHOWN[beat]],
                "keyMoment": beat == key_moment,
            }
            for n, beat in enumerate(beats)
        ],
    }
