"""Reading one ODCS file: YAML, the standard's own JSON schema, then the standard's own library."""

import json
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipelines.core.errors import ContractError, nearest

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from open_data_contract_standard.model import OpenDataContractStandard


class _Loader(yaml.SafeLoader):
    """YAML in which dates stay text, as ODCS has them, and a repeated key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice: YAML would silently keep the last."""
        keys = [self.construct_object(key) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"'{key}' stands twice, the second time before line {node.end_mark.line + 1}")
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_odcs(path: Path) -> "OpenDataContractStandard":
    """Read and check the contract file `path`.

    Raises:
        ContractError: not YAML, or not valid ODCS; names the file, the column and the field.
    """
    from open_data_contract_standard.model import OpenDataContractStandard
    from pydantic import ValidationError

    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContractError(f"{path} can't be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ContractError(f"{path} is not a contract: it should be a mapping that starts with 'kind: DataContract'")
    _check_schema(path, data)
    try:
        return OpenDataContractStandard.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ContractError(f"{path} is not valid ODCS: {place}: {first['msg']}") from None


@cache
def _validator() -> Any:
    from jsonschema import Draft201909Validator
    from open_data_contract_standard.model import OpenDataContractStandard

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the library opens its schema by an old call
        return Draft201909Validator(json.loads(OpenDataContractStandard.json_schema()))


def _check_schema(path: Path, data: dict[str, Any]) -> None:
    """The library drops unknown keys without a word, so the standard's schema is asked first."""
    errors = list(_validator().iter_errors(data))
    if not errors:
        return
    # A failed branch makes every key beside it look unknown: the deepest error of another kind is the cause.
    error = min(errors, key=lambda e: (e.validator == "unevaluatedProperties", -len(e.absolute_path)))
    while error.context:
        error = max(error.context, key=lambda e: len(e.absolute_path))
    raise ContractError(f"{_where(path, data, error)} {_sentence(error)}")


def _where(path: Path, data: dict[str, Any], error: "ValidationError") -> str:
    """File, column and field of a schema error, as the start of a sentence."""
    parts, column = list(error.absolute_path), ""
    node: Any = data
    fields: list[str] = []
    for i, part in enumerate(parts):
        node = node[part]
        if isinstance(part, int) and i and parts[i - 1] == "properties" and isinstance(node, dict):
            column, fields = f", column '{node.get('name', part)}'", []
        else:
            fields.append(str(part))
    fields = fields[2:] if fields[:1] == ["schema"] and not column else fields
    return f"{path}{column}: not valid ODCS:{' ' + '.'.join(fields) + ':' if fields else ''}"


def _sentence(error: "ValidationError") -> str:
    if error.validator in ("unevaluatedProperties", "additionalProperties") and isinstance(error.instance, dict):
        known = _fields_at(error)
        unknown = [key for key in error.instance if key not in known] if known else []
        if unknown:
            return f"'{unknown[0]}' is no field of the standard: {nearest(unknown[0], known)}"
    if error.validator == "enum":
        options: Any = error.validator_value
        return f"{error.instance!r} is unknown: {nearest(str(error.instance), map(str, options))}"
    return str(error.message)


def _fields_at(error: "ValidationError") -> set[str]:
    """The fields that may stand where `error` was found, walked from the standard's schema."""
    definitions = _validator().schema["$defs"]

    def walk(schema: dict[str, Any], seen: tuple[str, ...] = ()) -> set[str]:
        names = set(schema.get("properties", {}))
        reference = str(schema.get("$ref", "")).rpartition("/")[2]
        if reference and reference not in seen:
            names |= walk(definitions[reference], (*seen, reference))
        for branch in schema.get("allOf", []):
            names |= walk(branch, seen) | walk(branch.get("then", {}), seen)
        return names

    return walk(error.schema) if isinstance(error.schema, dict) else set()
