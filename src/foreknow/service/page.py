"""The page that explains the interface, made from its OpenAPI description. No script, nothing from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

__all__ = ["api_page"]

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.5rem;margin-bottom:0} h2{font-size:1.05rem;margin:2rem 0 .5rem;text-transform:capitalize}
details{border:1px solid #d8dee6;border-radius:6px;margin:.35rem 0;padding:.45rem .8rem}
summary{cursor:pointer} code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:#f4f6f9;padding:.6rem;overflow:auto}
.m{display:inline-block;min-width:3.2rem;font-weight:600} .get{color:#0b6bcb} .post{color:#0a7d45}
.s{color:#5b6675;float:right} table{border-collapse:collapse} td{padding:.15rem .8rem .15rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{background:#14181e;color:#dfe5ec}pre{background:#1e242c}
details{border-color:#333c47}.s{color:#93a0b0}.get{color:#6cb2ff}.post{color:#5bd397}}
"""


def api_page(description: Mapping[str, Any]) -> str:
    """A page of HTML.

    Args:
        description: OpenAPI, as ``/openapi.json`` gives it.
    """
    groups: dict[str, list[str]] = {}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            group = (operation.get("tags") or ["other"])[0]
            groups.setdefault(group, []).append(_operation(path, method, operation, description))
    body = "".join(f"<h2>{escape(name)}</h2>{''.join(found)}" for name, found in groups.items())
    info = description["info"]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>"
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('summary', ''))} "
        "Answers are JSON; errors are <code>{&quot;error&quot;: {type, message, hint, findings}}</code>. "
        "Machine-readable: <a href=openapi.json>openapi.json</a></p>"
        f"{body}</html>"
    )


def _operation(path: str, method: str, operation: Mapping[str, Any], description: Mapping[str, Any]) -> str:
    rows = [
        (p["name"], p["in"], p.get("schema", {}), p.get("description", "")) for p in operation.get("parameters", [])
    ]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if content is not None:
        body = _resolve(content, description)
        required = body.get("required", [])
        rows += [
            (
                name + ("" if name in required else "?"),
                "body",
                _resolve(field, description),
                field.get("description", ""),
            )
            for name, field in body.get("properties", {}).items()
        ]
    table = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(where)}<td><code>{escape(_type(schema))}</code>"
        f"<td>{escape(text)}"
        for name, where, schema, text in rows
    )
    example = _example(path, method, rows)
    return (
        f"<details><summary><span class='m {method}'>{method.upper()}</span><code>{escape(path)}</code>"
        f"<span class=s>{escape(operation.get('summary', ''))}</span></summary>"
        f"<table>{table}</table><pre>{escape(example)}</pre></details>"
    )


def _resolve(schema: Mapping[str, Any], description: Mapping[str, Any]) -> Mapping[str, Any]:
    for option in schema.get("anyOf", []):
        if "$ref" in option:
            schema = option
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(s) for s in schema["anyOf"])
    default = f" = {json.dumps(schema['default'])}" if schema.get("default") is not None else ""
    return str(schema.get("type", "object")) + default


def _example(path: str, method: str, rows: list[tuple[str, str, Mapping[str, Any], str]]) -> str:
    if method == "get":
        return f"curl $ENGINE{path}"
    body = {
        name: (s.get("examples") or [f"<{_type(s)}>"])[0] for name, at, s, _ in rows if at == "body" and "?" not in name
    }
    told = f" -H 'Content-Type: application/json' -d '{json.dumps(body)}'" if body else ""
    return f"curl -X {method.upper()} $ENGINE{path}{told}"
