"""YAML from somebody else: plain data of a bounded size."""

from __future__ import annotations

import yaml

#: The most that a text may hold: characters, values once its aliases are written out, and lists within lists.
MAX_CHARACTERS, MAX_VALUES, MAX_DEPTH = 1_000_000, 100_000, 100


def check_yaml(text: str) -> str:
    """Return `text` if reading it takes little time and memory.

    Aliases let a few lines stand for more values than fit into any memory ("billion laughs"), or for a list that holds
    itself; reading those would never end. Readers recurse into nested lists, those written in C until they crash.

    Raises:
        yaml.YAMLError: the text is too long, stands for too many values, or is not YAML.
    """
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read.")
    sizes: dict[str, int] = {}  # of what an anchor names
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            if len(open_nodes) == MAX_DEPTH:
                raise yaml.YAMLError(f"more than {MAX_DEPTH} lists or dictionaries are nested in each other.")
            open_nodes.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise yaml.YAMLError(f"alias {event.anchor!r} stands inside of what it names, or for nothing.")
            total += sizes[event.anchor]
        if total > MAX_VALUES:
            raise yaml.YAMLError(f"it stands for more than {MAX_VALUES:,} values.")
    return text
