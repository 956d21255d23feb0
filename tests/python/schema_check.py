"""A JSON value against the words of JSON Schema (draft 2020-12) that python/rulegrad/schema.json has: unknown words are errors."""

KINDS = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}
WORDS = {"type", "description", "required", "properties", "additionalProperties", "items", "enum", "const", "minimum"}


def is_kind(value, kind):
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def matches(value, schema, where="manifest"):
    """AssertionError that says where the value is not what the schema says."""
    assert set(schema) <= WORDS, (where, set(schema) - WORDS)
    if "const" in schema:
        assert value == schema["const"], (where, value)
    if "enum" in schema:
        assert value in schema["enum"], (where, value)
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert any(is_kind(value, kind) for kind in kinds), (where, value)
    if "minimum" in schema:
        assert value >= schema["minimum"], (where, value)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for key in schema.get("required", []):
            assert key in value, (where, key)
        for key, inner in value.items():
            # Every member is described, so that the schema says all that is written.
            assert key in known or "additionalProperties" in schema or not known, (where, key)
            if key in known:
                matches(inner, known[key], f"{where}.{key}")
            elif "additionalProperties" in schema:
                matches(inner, schema["additionalProperties"], f"{where}.{key}")
    for place, item in enumerate(value if isinstance(value, list) and "items" in schema else []):
        matches(item, schema["items"], f"{where}[{place}]")
