"""Texts that may come from a stranger's files, shown as they are."""

from __future__ import annotations

import unicodedata


def visible_text(text: str) -> str:
    """Return a text with a space for each character that is not seen, breaks the line, or turns the direction."""
    if text.isprintable():  # most are; this is much faster
        return text
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(" " if unicodedata.category(one) in hidden else one for one in text)


def plain_text(text: object, most: int = 200) -> str:
    """Return the first `most` characters of a text as matplotlib shows them as they are: no formula, no line break."""
    shown = visible_text(str(text))
    return (shown if len(shown) <= most else f"{shown[:most]}…").replace("$", r"\$")
