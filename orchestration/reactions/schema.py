"""A JSON Schema of reactions.yml, for editors: made from the models that validate it."""

from typing import Any

from ingestion.declare.schema import DRAFT, schema_of
from orchestration.conditions.kinds import KINDS
from orchestration.reactions.declared import OWN, On, Reaction, Send
from orchestration.reactions.terms import NAME, Batch, Escalation, Limit, Quiet


def reactions_schema() -> dict[str, Any]:
    """The schema of a whole file. That a pattern fits no kind, load_reactions reports."""
    reaction = schema_of(Reaction)
    properties = reaction["properties"]
    del properties["name"]
    reaction["required"].remove("name")
    properties["on"] = schema_of(On)
    properties["on"]["properties"]["kinds"]["items"] = {
        "anyOf": [{"enum": list(KINDS)}, {"type": "string", "pattern": r"[*?\[]"}]
    }
    for name, model in (("limit", Limit), ("quiet", Quiet), ("batch", Batch), ("escalate", Escalation)):
        properties[name] = schema_of(model)
    properties["send"] = schema_of(Send)
    ways = properties["send"]["properties"]
    for name, way in ways.items():  # null is what Python calls a way that is not taken
        (only,) = (each for each in way["anyOf"] if each.get("type") != "null")
        ways[name] = {**only, "description": way["description"]}
    properties["send"] |= {"minProperties": 1, "maxProperties": 1}
    return {
        "$schema": DRAFT,
        "title": "reactions.yml",
        "description": "The reactions of a Millrace project: a name each, and who hears of which conditions.",
        "type": ["object", "null"],
        "propertyNames": {"pattern": NAME, "not": {"const": OWN}},
        "additionalProperties": reaction,
    }
