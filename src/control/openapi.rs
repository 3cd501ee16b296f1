//! `GET /v1/openapi.json`: the API described by OpenAPI 3.1, made from the table of resources and the types, so that it is never behind them.
use super::access::{OBSERVERS, OPERATORS};
use super::resources::{Kind, Method, Operation, Parameter, Role, Shape, json, media, operations};
use super::routes::Api;
use super::types::Event;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, MethodRouter, on};
use serde_json::{Map, Value, json as value};
use std::sync::LazyLock;

/// What is served here.
pub const OPERATIONS: &[Operation] =
    &[Operation::new((Method::Get, "/v1/openapi.json"), Role::Observe, "This description", handler)
        .answers(media("application/json"))];

fn handler(verb: MethodFilter) -> MethodRouter<Api> {
    on(verb, async || ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response())
}

static DOCUMENT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));

/// The whole description.
fn document() -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    let problem = reference(&json::<super::problem::Problem>(), &mut schemas);
    // What the stream of events carries is no body of its own.
    reference(&json::<Event>(), &mut schemas);
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| Value::Object(Map::new()));
        path[operation.method.name().to_lowercase()] = describe(operation, &problem, &mut schemas);
    }
    value!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sandhog",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": format!(
                "HTTP/1.1 and JSON on Unix sockets; the Host is `localhost`. Who may what follows from the peer's credentials: root and the daemon's \
                 user are `admin`, the group {OPERATORS} is `operator`, the group {OBSERVERS} is `observe`; on the observe socket nobody is more. \
                 `x-role` is the least role of an operation. A write is told as an event `audit`. Errors are problems (RFC 9457) whose `code` is stable. \
                 Events are of the schema `Event`."
            ),
        },
        "servers": [ { "url": "http://localhost", "description": "/run/sandhog/control.sock, or /run/sandhog/observe.sock to look only" } ],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn describe(operation: &Operation, problem: &Value, schemas: &mut Map<String, Value>) -> Value {
    let id = operation.path.trim_start_matches("/v1/").replace(['/', '.'], "_").replace(['{', '}'], "");
    let mut described = value!({
        "operationId": format!("{}_{id}", operation.method.name().to_lowercase()),
        "summary": operation.summary,
        "tags": [operation.path.split('/').nth(2).unwrap_or("metrics")],
        "x-role": operation.role.name(),
        "responses": responses(operation, problem, schemas),
    });
    let in_path = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(in_path);
    let parameters: Vec<_> = in_path.chain(operation.parameters.iter().map(parameter)).collect();
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(body) = &operation.body {
        described["requestBody"] = value!({ "required": true, "content": content(body, schemas) });
    }
    described
}

fn responses(operation: &Operation, problem: &Value, schemas: &mut Map<String, Value>) -> Value {
    let problem =
        |when: &str| value!({ "description": when, "content": { "application/problem+json": { "schema": problem } } });
    let mut responses = Map::new();
    let done = match &operation.answer {
        Some(answer) => ("200", value!({ "description": "Done", "content": content(answer, schemas) })),
        None => ("204", value!({ "description": "Done" })),
    };
    let (status, mut done) = done;
    for (name, means) in operation.headers {
        done["headers"][*name] = value!({ "description": means, "schema": { "type": "string" } });
    }
    responses.insert(status.into(), done);
    let common = [
        (403, "The role does not suffice, or a browser asks (`access.role`, `access.origin`, `access.host`)"),
        (408, "The body did not come in time (`body.slow`)"),
        (413, "The body is too large (`body.size`)"),
        (503, "The daemon is stopping, or too many ask (`daemon.busy`)"),
    ];
    for (status, when) in common.iter().chain(operation.problems) {
        responses.insert(status.to_string(), problem(when));
    }
    responses.insert("default".into(), problem("Whatever else is wrong"));
    responses.into()
}

/// A segment of the path. The examples are those of the README.
fn in_path(name: &str) -> Value {
    let example = match name {
        "child" => "lan",
        _ => "hangzhou",
    };
    value!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 }, "example": example })
}

fn parameter(Parameter { name, means, kind, header }: &Parameter) -> Value {
    let schema = match kind {
        Kind::Number(least, most) => value!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Text(_) => value!({ "type": "string" }),
        Kind::OneOf(words) => value!({ "type": "string", "enum": words }),
    };
    let place = if *header { "header" } else { "query" };
    let mut described = value!({ "name": name, "in": place, "description": means, "schema": schema });
    if let Kind::Text(example) = kind
        && !example.is_empty()
    {
        described["example"] = (*example).into();
    }
    described
}

fn content(shape: &Shape, schemas: &mut Map<String, Value>) -> Value {
    let mut content = Map::new();
    if shape.schema.is_some() {
        content.insert("schema".into(), reference(shape, schemas));
    }
    if let Some(example) = shape.example {
        content.insert("example".into(), serde_json::from_str(example).unwrap_or_else(|_| example.into()));
    }
    value!({ shape.media: content })
}

/// A reference to the schema of a shape, which is among the components from now on, with all that it refers to.
fn reference(shape: &Shape, schemas: &mut Map<String, Value>) -> Value {
    let Some(named) = shape.schema else { return value!(true) };
    let name = (named.name)();
    let mut all = vec![(name.to_string(), (named.schema)())];
    (named.others)(&mut all);
    for (name, schema) in all {
        schemas.insert(name, serde_json::to_value(schema).unwrap_or_default());
    }
    value!({ "$ref": format!("#/components/schemas/{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Changes of the API are seen in its description: `BLESS=1` writes it anew.
    #[test]
    fn the_description_is_the_one_that_is_committed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/control/openapi.json");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, DOCUMENT.as_str()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == *DOCUMENT,
            "the API is not what openapi.json says: run this test with BLESS=1 and look at the difference"
        );
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_its_own_name() {
        fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str));
                    map.values().for_each(|value| references(value, found));
                }
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in found {
            let name = reference.strip_prefix("#/components/schemas/").unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{reference}");
        }
        let ids: Vec<_> = operations()
            .map(|operation| {
                let path = &document["paths"][operation.path][operation.method.name().to_lowercase()];
                path["operationId"].as_str().unwrap()
            })
            .collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }
}
