"""YAML as plain data: read by the rules of version 1.2, and of a bounded size, since somebody else may have written it.

PyYAML and OmegaConf read version 1.1, where `010` is eight, `1:30` is ninety, `1_0` is ten and `off` is false. In the
core schema of version 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema) a plain scalar is

- nothing: `null`, `Null`, `NULL`, `~`, or empty;
- true or false: `true`, `True`, `TRUE`, `false`, `False`, `FALSE`;
- a whole number: digits (`010` is ten, `+1` is one), `0o17` (octal), `0x1F` (hexadecimal), and, which the core schema
  has not, digits in groups of three (`1_000_000`);
- a number: `0.5`, `.5`, `1.`, `1e6`, `1E-3`, `.inf`, `-.inf`, `.nan`;
- a text otherwise: `on`, `no`, `1_0`, `1:30`, `2024-01-01`, `inf`, `=`.

As in version 1.1, the key `<<` takes over the entries of another dictionary, or of a list of them.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

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


def read_yaml(text: str) -> Any:
    """Return the plain data that a text stands for, see above.

    Raises:
        yaml.YAMLError: the text is too long, stands for too many values, repeats a key, or is not YAML.
    """
    return _CoreLoader(check_yaml(text)).get_single_data()


def write_yaml(data: Any) -> str:
    """Return dictionaries, lists, texts and numbers as YAML that `read_yaml` reads as the same data.

    What a reader of version 1.1 would take for something else is quoted for its sake as well.

    Raises:
        yaml.YAMLError: something is of another kind.
    """
    return str(yaml.dump(data, Dumper=_CoreDumper, default_flow_style=False, allow_unicode=True, sort_keys=False))


_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
#: By kind: what a plain scalar looks like, and with which characters it begins.
_CORE = {
    "null": (re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")),
    "int": (
        re.compile(r"[-+]?[0-9]+|[-+]?[0-9]{1,3}(_[0-9]{3})+|0o[0-7]+|0x[0-9a-fA-F]+"),
        list("-+0123456789"),
    ),
    "float": (
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        list("-+0123456789."),
    ),
}
#: What readers of version 1.1 may take for a number or for true or false, besides what PyYAML does.
_NAMED = {
    "float": (re.compile(r"[-+]?(inf|Inf|INF|infinity|Infinity|nan|NaN|NAN)"), list("-+iInN")),
    "bool": (re.compile(r"[yYnN]"), list("yYnN")),
}
#: Line breaks that PyYAML would write as they are, and read as others.
_RARE_BREAKS = re.compile("[\x85\u2028\u2029\ufeff]")


class _CoreLoader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012  PyYAML fills it, one class at a time

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key_node.tag != _MERGE:
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} stands there twice", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)

    def merge_scalar(self, node: yaml.ScalarNode) -> Any:
        """Return what `<<` is where it is no key: a text."""
        return node.value

    def core_scalar(self, node: yaml.ScalarNode) -> Any:
        """Return what a scalar of one of the kinds above stands for, be it tagged explicitly or not."""
        kind, text = node.tag.removeprefix(_TAG), node.value
        if not _CORE[kind][0].fullmatch(text):
            raise yaml.constructor.ConstructorError(None, None, f"{text!r} is no {kind}", node.start_mark)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            return int(text[2:], {"o": 8, "x": 16}[text[1]]) if text[1:2] in ("o", "x") else int(text)
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


class _CoreDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        node: yaml.ScalarNode = self.represent_scalar(_TAG + "str", data, '"' if _RARE_BREAKS.search(data) else None)
        return node


for _kind, (_pattern, _first) in [*_CORE.items(), *_NAMED.items()]:
    _whole = re.compile(rf"(?:{_pattern.pattern})\Z")  # PyYAML looks at the beginning only
    _CoreDumper.add_implicit_resolver(_TAG + _kind, _whole, _first)
    if _pattern is _CORE[_kind][0]:
        _CoreLoader.add_implicit_resolver(_TAG + _kind, _whole, _first)
        _CoreLoader.add_constructor(_TAG + _kind, _CoreLoader.core_scalar)
_CoreLoader.add_implicit_resolver(_MERGE, re.compile(r"<<\Z"), ["<"])
_CoreLoader.add_constructor(_MERGE, _CoreLoader.merge_scalar)
_CoreDumper.add_representer(str, _CoreDumper.text)
