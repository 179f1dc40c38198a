"""Other names of the niches that the story templates and pictures support."""

KNOWN_AS: dict[str, str] = {
    "kuliner": "food", "makanan": "food", "cooking": "food", "resep": "food", "wisata": "travel", "adventure": "travel",
    "teknologi": "tech", "technology": "tech", "ai": "tech", "gadget": "tech",
    "olahraga": "fitness", "sport": "fitness",
    "sports": "fitness", "health": "fitness", "kesehatan": "fitness",
    "alam": "nature", "animals": "nature",
    "mode": "fashion", "beauty": "fashion", "keuangan": "finance", "bisnis": "finance", "business": "finance",
    "pendidikan": "education", "science": "education", "anak": "kids", "family": "kids", "horor": "horror",
    "mystery": "horror", "misteri": "horror",
}  # fmt: skip
"""Niche by its other name; most of these are Indonesian."""


def niche_key(name: str) -> str:
    """Return the standard name of a niche, or the name itself in lower case if there is none."""
    key = name.strip().lower()
    return KNOWN_AS.get(key, key)
