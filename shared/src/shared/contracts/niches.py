"""The niches that story and picture know by name, and what else people call them."""

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
"""Other names, most of them Indonesian."""


def niche_key(name: str) -> str:
    """The name by which a niche is known; its own, in lower case, where it is not."""
    key = name.strip().lower()
    return KNOWN_AS.get(key, key)
