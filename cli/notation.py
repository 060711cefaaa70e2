"""YAML and JSON of objects, as text.

YAML is read by the rules of YAML 1.2: only `true` and `false` are booleans, dates are text, and so is a MAC address,
which YAML 1.1 may take for a number. JSON is YAML. What is written is read again as the same value.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from cli.output import Failure

DEEPEST = 60  # levels; no type of the model comes near


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the library's own attribute

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(problem=f"{key!r} is there twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the library's own attribute

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        """A name on one line."""
        short = all(isinstance(each, str | int | None) for each in sequence)
        return super().represent_sequence(tag, sequence, flow_style=short)

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """The library writes these as they are, and reads them as ends of lines."""
    odd = any(each in text for each in "\x85\u2028\u2029")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if odd else None)


_Dumper.add_representer(str, _text)

_SCALARS = {
    "null": (r"~|null|Null|NULL|", [*"~nN", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "int": (r"[-+]?[0-9]+", [*"-+0123456789"]),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
}
for _tag, (_pattern, _first) in _SCALARS.items():
    for _each in (_Loader, _Dumper):
        _each.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), _first)


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def load(text: str, name: str) -> list[Any]:
    """The documents of a text that are not empty. name: of the file, for the Failure that says where it breaks."""
    try:
        documents = [document for document in yaml.load_all(text, _Loader) if document is not None]
        for document in documents:
            _check(document, DEEPEST)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise Failure(f"{name}{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Failure(f"{name}: {' '.join(str(error).split())}") from None
    return documents


def _check(value: Any, levels: int) -> None:
    """ValueError for what JSON has not."""
    if not levels:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"a key must be text, not {key!r}")
    elif not isinstance(value, list):
        if not isinstance(value, str | int | float | None):
            raise ValueError(f"{type(value).__name__} is no JSON")
        return
    for each in value.values() if isinstance(value, dict) else value:
        _check(each, levels - 1)


def dump(value: Any) -> str:
    return "".join(_dump(value))


def dump_all(values: list[Any]) -> str:
    """Documents, a line `---` between them."""
    return "---\n".join(dump(value) for value in values)


def _dump(value: Any) -> Iterator[str]:
    yield yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False)
