"""JSON schemas of what frostline writes, made from the records themselves, so that they cannot fall behind."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from frostline.core.records import StudyRecord, Verdict
from frostline.report.document import SCHEMA

SchemaName = Literal["report", "verdict"]
NAMES: tuple[SchemaName, ...] = ("report", "verdict")

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(name: SchemaName) -> dict[str, Any]:
    """The schema of one kind of document, in the 2020-12 dialect of JSON Schema.

    Fields may be added within a version; none is renamed or taken away. So a schema allows fields that it does not
    know, and does not ask for those that came later: documents of either age are valid.

    Args:
        name: `report` for report.json; `verdict` for what `check --json` and `judge --json` print, which is also
            the beginning of what `search --json` prints.

    >>> json_schema("verdict")["properties"]["verdict"]["enum"]
    ['READY', 'NOT READY', 'INCONCLUSIVE', 'INVALID']
    >>> json_schema("report")["required"]
    ['schema', 'study', 'verdict']
    """
    made = _verdict() if name == "verdict" else _report()
    opened: dict[str, Any] = _open(made)
    return {"$schema": DIALECT, "$id": f"urn:frostline:{name}:1", **opened}


class _AsWritten(GenerateJsonSchema):
    """A number that was not finite is written as null, whatever its field says."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return super().float_schema(schema) | {"type": ["number", "null"]}


def _verdict() -> dict[str, Any]:
    made = TypeAdapter(Verdict).json_schema(mode="serialization", schema_generator=_AsWritten)
    return made | {"required": ["schema", *made["required"]]}


def _report() -> dict[str, Any]:
    references, definitions = models_json_schema(
        [(StudyRecord, "serialization"), (Verdict, "serialization")], schema_generator=_AsWritten
    )
    return {
        "title": "Report",
        "description": "All evidence of one study and the answer to it.",
        "type": "object",
        "properties": {
            "schema": {"const": SCHEMA, "type": "string"},
            "study": references[StudyRecord, "serialization"],
            "verdict": references[Verdict, "serialization"],
        },
        "required": ["schema", "study", "verdict"],
        **definitions,
    }


def _open(value: Any) -> Any:
    """Without the ban on other fields, which is for those who make records, not for those who read them."""
    if isinstance(value, dict):
        return {key: _open(part) for key, part in value.items() if (key, part) != ("additionalProperties", False)}
    return [_open(part) for part in value] if isinstance(value, list) else value
