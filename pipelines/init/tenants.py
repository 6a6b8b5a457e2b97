"""The tenant's lines in `params.yaml`: put in or replaced as text, so that comments and order stay."""

from pathlib import Path

import yaml

from pipelines.core.errors import ConfigError
from pipelines.init.plan import Plan


def lines_of(plan: Plan, data: Path) -> str:
    """The tenant as YAML, indented under `tenants:`."""
    lines = [f"  {plan.tenant}: # written by `leadwise init`", f"    use_case: {plan.case}", "    sources:"]
    for table in plan.tables:
        delimiter = table.file.delimiter
        tail = f', delimiter: "{_escaped(delimiter)}"' if delimiter not in (None, ",") else ""
        lines.append(f'      {table.name}: {{path: "{_escaped(_place(table.file.path, data))}"{tail}}}')
    lines += [
        "    run:",
        f'      start: "{plan.start}"',
        f'      end: "{plan.end}"',
        f'      dates: ["{plan.train}"] # a first model is trained here; the rest of the days shows how it does',
        "    train:",
        "      targets:",
        f"        conversion: {{horizon_days: {plan.horizon}}}",
    ]
    if plan.min_rows is not None:
        lines.append(f"      min_rows: {plan.min_rows} # few rows: expect little of the model")
    return "\n".join(lines) + "\n"


def with_tenant(path: Path, name: str, lines: str) -> str:
    """The text of `params.yaml` with the tenant's lines in it, in the place of its old ones if it has any.

    Raises:
        ConfigError: the file can't be read, or its tenants are not written one under the other.
    """
    try:
        old = path.read_text(encoding="utf-8")
        tree = yaml.compose(old, Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise ConfigError(f"there is no parameter file {path}: set LEADWISE_PARAMS or restore params.yaml") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} can't be read as YAML: {' '.join(str(error).split())}") from None
    tenants = _tenants(path, tree)
    rows = old.splitlines(keepends=True)
    if rows and not rows[-1].endswith("\n"):
        rows[-1] += "\n"
    keys = [key.start_mark.line for key, _ in tenants.value]
    ends = [*keys[1:], _end(tree, tenants, len(rows))]
    lines = _indented(lines, tenants.value[0][0].start_mark.column)
    for (key, _), begin, end in zip(tenants.value, keys, ends, strict=True):
        if str(key.value) == name:
            return "".join([*rows[:begin], lines, *rows[_before_comments(rows, begin, end) :]])
    last = _before_comments(rows, keys[-1], ends[-1]) if ends[-1] < len(rows) else len(rows)
    gap = "" if last and not rows[last - 1].strip() else "\n"
    return "".join([*rows[:last], gap, lines, *rows[last:]])


def has_tenant(path: Path, name: str) -> bool:
    """Whether the file lists the tenant."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(data, dict) and name in (data.get("tenants") or {})


def _tenants(path: Path, tree: yaml.Node | None) -> yaml.MappingNode:
    found = None
    if isinstance(tree, yaml.MappingNode):
        found = next((value for key, value in tree.value if key.value == "tenants"), None)
    if not isinstance(found, yaml.MappingNode) or not found.value or found.flow_style:
        raise ConfigError(f"{path} has no list of tenants to add to: write 'tenants:' with one tenant under the other")
    return found


def _end(tree: yaml.Node | None, tenants: yaml.MappingNode, rows: int) -> int:
    """The line at which the next section begins."""
    assert isinstance(tree, yaml.MappingNode)
    starts = [key.start_mark.line for key, _ in tree.value if key.start_mark.line > tenants.start_mark.line]
    return min(starts, default=rows)


def _before_comments(rows: list[str], begin: int, end: int) -> int:
    """`end` without the comments and empty lines above it, which belong to what follows."""
    while end > begin + 1 and (not rows[end - 1].strip() or rows[end - 1].lstrip().startswith("#")):
        end -= 1
    return end


def _indented(lines: str, column: int) -> str:
    return "".join(" " * column + line[2:] for line in lines.splitlines(keepends=True))


def _place(path: Path, data: Path) -> str:
    """The path as a source has it: below LEADWISE_DATA if it is there; characters that would mean something doubled."""
    inside = path.is_relative_to(data)
    shown = str(path.relative_to(data) if inside else path)
    for mark in "[*?":
        shown = shown.replace(mark, f"[{mark}]") if mark != "[" else shown.replace("[", "[[]")
    shown = shown.replace("{", "{{").replace("}", "}}")
    return f"{{data}}/{shown}" if inside else shown


def _escaped(value: str | None) -> str:
    return (value or "").replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
