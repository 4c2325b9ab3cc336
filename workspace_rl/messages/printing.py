"""Printing to terminals that do not know every character."""

from __future__ import annotations

import sys
from typing import Any

_PLAIN = str.maketrans({"±": "+-", "…": "...", "→": "->"})


def say(text: Any) -> None:
    """Print `text` to the standard output; what its encoding lacks is put in another way instead of raising."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    text = str(text)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    print(text)
