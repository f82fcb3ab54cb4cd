"""Settings of any source, made from its model: one set for each alternative of its choices, full of canaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from connections.adapters import schema
from connections.adapters.describe import describe_model
from connections.adapters.schema import Nested, Path
from connections.forms import SettingsForm
from connections.forms.nodes import Choice, Group, Leaf, Node, tree
from connections.forms.rows import RowsWidget
from connections.testing.leaks.canaries import Canaries


def secret_paths(model: type[BaseModel]) -> set[Path]:
    """Every secret of a source, those of all branches included."""
    return {row.path for row in describe_model(model) if row.secret}


def variants(model: type[BaseModel], canaries: Canaries, given: Mapping[str, Any]) -> Iterator[tuple[Nested, Nested]]:
    """Configs with the secrets that go with them, optional parts included. ``given`` are values by a setting's name."""
    for choice in range(_most_branches(model)):
        whole = _sample(model, choice, canaries, given)
        secrets: Nested = {}
        config = _groups(whole)
        active = set(schema.secret_paths(model, whole))
        for path in schema.paths(whole):
            schema.put(secrets if path in active else config, path, schema.get(whole, path))
        yield config, secrets


def form_data(model: type[BaseModel], config: Nested, secrets: Nested, part: str = "config") -> dict[str, Any]:
    """What a browser sends of the form with these settings, the secrets typed: texts, and lists of texts for rows.

    ``part`` is ``query`` for the settings of a query.
    """
    data: dict[str, Any] = {}
    for bound in SettingsForm(model, part=part, config=config):
        value, widget = bound.value(), bound.field.widget
        if isinstance(widget, RowsWidget):
            for position, column in enumerate(widget.columns):
                data[widget.input_name(bound.name, column)] = [row[position] for row in value or ()]
        elif _is_plain(value):
            data[bound.name] = "on" if value is True else str(value)
    return {**data, **_typed(tree(model, part), schema.join(config, secrets), secrets)}


def _groups(whole: Mapping[str, Any]) -> Nested:
    """The nested objects of ``whole``, empty: a group is used because it is there, also if it has only secrets."""
    return {name: _groups(value) for name, value in whole.items() if isinstance(value, Mapping)}


def _typed(nodes: tuple[Node, ...], values: Mapping[str, Any], secrets: Nested) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in nodes:
        value = values.get(node.path[-1])
        if isinstance(node, Leaf):
            secret = schema.get(secrets, node.path) if node.secret else None
            found |= {node.name: secret, f"{node.name}-action": "replace"} if secret else {}
        elif isinstance(value, Mapping):
            if isinstance(node, Choice):
                branch = node.branch(value.get(node.key))
                found |= {node.name: str(value.get(node.key)), **_typed(branch.nodes if branch else (), value, secrets)}
            else:
                found |= {} if isinstance(node, Group) else {node.name: "on"}
                found |= _typed(node.nodes, value, secrets)
    return found


def _is_plain(value: Any) -> bool:
    return value is True or (isinstance(value, str | int | float) and value is not False and value != "")


def _most_branches(model: type[BaseModel]) -> int:
    found = [1]
    for each in model.model_fields.values():
        nested = schema.models(each)
        found += [len(nested), *(_most_branches(branch) for branch in nested)]
    return max(found)


def _sample(model: type[BaseModel], choice: int, canaries: Canaries, given: Mapping[str, Any]) -> Nested:
    found: Nested = {}
    for name, each in model.model_fields.items():
        nested = schema.models(each)
        if schema.is_secret(each):
            found[name] = canaries.make()
        elif nested:
            branch = nested[choice % len(nested)]
            key = schema.discriminator(each)
            found[name] = _sample(branch, choice, canaries, given) | ({key: schema.tag(branch, key)} if key else {})
        elif name in given:
            found[name] = given[name]
        elif each.is_required():
            found[name] = _value(each)
    return found


def _value(each: FieldInfo) -> Any:
    return each.examples[0] if each.examples else "x"
