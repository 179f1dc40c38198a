"""The header that makes a browser save a response to a file."""

import re
import unicodedata
from urllib.parse import quote


def attachment(filename: str) -> str:
    """Return the `Content-Disposition` that makes browsers save an object as `filename` (RFC 6266, RFC 5987)."""
    plain = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    plain = re.sub(r'["\\%\x00-\x1f\x7f]', "", plain)
    header = f'attachment; filename="{plain}"'
    return header if plain == filename else f"{header}; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"
