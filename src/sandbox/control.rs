//! The control address: switches, statistics, history. For people with curl and for tests; no
//! part of what Feishu has.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::faults::Faults;
use super::world::{World, lock};

const ADDRESSES: &str = "GET /faults, POST /faults, DELETE /faults, GET /stats, \
     GET /history?limit=N&endpoint=NAME&identifiers=full, POST /tokens/revoke?tenant=NAME, POST /reset";

/// How many calls `GET /history` gives unless told otherwise.
const USUAL_HISTORY: usize = 100;

type Shared = State<Arc<World>>;
type Parameters = Query<HashMap<String, String>>;

/// What is wrong with a request.
struct Wrong(StatusCode, String);

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

pub(super) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/faults", get(list).post(set).delete(reset_faults))
        .route("/stats", get(stats))
        .route("/history", get(history))
        .route("/tokens/revoke", post(revoke))
        .route("/reset", post(reset))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state(world)
}

async fn list(State(world): Shared) -> Json<Value> {
    Json(world.faults().list())
}

async fn set(State(world): Shared, body: Bytes) -> Result<Json<Value>, Wrong> {
    let Ok(Value::Object(changes)) = serde_json::from_slice(&body) else {
        let problem = "the body is not one JSON object of switches";
        return Err(bad(problem.to_owned()));
    };
    let faults = world.set(&changes).map_err(bad)?;
    Ok(changed(&faults))
}

async fn reset_faults(State(world): Shared) -> Json<Value> {
    world.reset_faults();
    changed(&world.faults())
}

/// The switches that are not where they were at the start.
fn changed(faults: &Faults) -> Json<Value> {
    Json(json!({"not_at_default": faults.changed()}))
}

async fn stats(State(world): Shared) -> Json<Value> {
    let record = lock(&world.record);
    Json(record.stats(&world))
}

async fn history(
    State(world): Shared,
    Query(parameters): Parameters,
) -> Result<Json<Value>, Wrong> {
    let (mut limit, mut endpoint, mut in_full) = (USUAL_HISTORY, None, false);
    for (name, value) in &parameters {
        match (name.as_str(), value.as_str()) {
            ("limit", number) => {
                let parsed = number.parse();
                limit = parsed.map_err(|_| bad(format!("limit {number:?} is not a number")))?;
            }
            ("endpoint", name) => endpoint = Some(name),
            ("identifiers", "full") => in_full = true,
            ("identifiers", "masked") => in_full = false,
            _ => {
                let known = "limit=N, endpoint=NAME and identifiers=full|masked";
                return Err(bad(format!(
                    "unknown parameter {name:?}; there are {known}"
                )));
            }
        }
    }
    let record = lock(&world.record);
    let calls = record.history(&world, limit, endpoint, in_full);
    Ok(Json(json!({"calls": calls})))
}

async fn revoke(State(world): Shared, Query(parameters): Parameters) -> Result<Json<Value>, Wrong> {
    if let Some(unknown) = parameters.keys().find(|name| *name != "tenant") {
        return Err(bad(format!(
            "unknown parameter {unknown:?}; there is tenant=NAME"
        )));
    }
    let tenant = match parameters.get("tenant") {
        None => None,
        Some(name) => {
            let index = world.tenant_named(name);
            Some(index.ok_or_else(|| bad(world.no_such_tenant(name)))?)
        }
    };
    let revoked = lock(&world.tokens).revoke(tenant);
    Ok(Json(json!({"revoked": revoked})))
}

async fn reset(State(world): Shared) -> Json<Value> {
    world.reset();
    changed(&world.faults())
}

async fn unknown() -> Wrong {
    Wrong(
        StatusCode::NOT_FOUND,
        format!("the control address has {ADDRESSES}"),
    )
}

fn bad(problem: String) -> Wrong {
    Wrong(StatusCode::BAD_REQUEST, problem)
}
