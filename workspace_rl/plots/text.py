"""Texts in pictures: names may come from a stranger's files."""

from __future__ import annotations

import unicodedata


def plain_text(text: object, most: int = 200) -> str:
    """Return a text as matplotlib shows it as it is: nothing in it is a formula, a line break or turns its direction.

    More than `most` characters are cut off.
    """
    shown = "".join(" " if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") else one for one in str(text))
    shown = shown if len(shown) <= most else f"{shown[:most]}…"
    return shown.replace("$", r"\$")
