//! The sandbox's bodies beside those in `tests/fixtures/feishu`: same keys, same types, same code,
//! so that it cannot drift from what was recorded.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::client::{APP_TOKEN, Answer, BATCH_GET_ID, Client, TENANT_TOKEN, WEI, WEI_MOBILE, send};

fn fixture(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/feishu");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The value with every leaf replaced by its type's name, but for code and msg.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let shaped = map.iter().map(|(key, value)| match key.as_str() {
                "code" => (key.clone(), value.clone()),
                _ => (key.clone(), shape(value)),
            });
            Value::Object(shaped.collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.iter().map(shape).collect()),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("truth"),
        Value::Null => Value::Null,
    }
}

fn assert_like(answer: &Answer, status: u16, name: &str) {
    let expected = fixture(name);
    assert_eq!(shape(&answer.body), shape(&expected), "{name}");
    assert_eq!(answer.status, status, "{name}");
    let has_no_names = |msg: &Value| msg.as_str().is_some_and(|msg| !msg.contains("http"));
    if has_no_names(&expected["msg"]) {
        assert_eq!(answer.body["msg"], expected["msg"], "{name}");
    }
}

#[tokio::test]
async fn token_answers_have_the_recorded_shapes() {
    let client = Client::start().await;
    let mut acme = client.acme();
    assert_like(&client.token_answer(&acme).await, 200, "token_ok");
    let body = json!({"app_id": acme.app_id, "app_secret": acme.app_secret});
    assert_like(
        &send(client.post(APP_TOKEN, &body)).await,
        200,
        "app_token_ok",
    );
    let unknown = json!({"app_id": "cli_x", "app_secret": "x"});
    assert_like(
        &send(client.post(TENANT_TOKEN, &unknown)).await,
        200,
        "token_unknown_app",
    );
    acme.app_secret.clear();
    assert_like(&client.token_answer(&acme).await, 200, "token_wrong_secret");
}

#[tokio::test]
async fn lookup_answers_have_the_recorded_shapes() {
    let client = Client::start().await;
    let both = json!({"emails": [WEI], "mobiles": [WEI_MOBILE]});
    assert_like(&client.ask("", &both).await, 200, "batch_get_id_found");
    let nobody = json!({"emails": ["nobody@acme.example"], "mobiles": ["+8613000000999"]});
    assert_like(
        &client.ask("", &nobody).await,
        200,
        "batch_get_id_not_found",
    );
    let remove = json!({"scopes_removed": ["contact:user.employee:readonly"]});
    client.set(&remove).await;
    let one = client.ask("", &json!({"emails": [WEI]})).await;
    assert_like(&one, 200, "batch_get_id_found_without_status");
    let many: Vec<String> = (0..51).map(|n| format!("load-{n}@acme.example")).collect();
    assert_like(
        &client.ask("", &json!({"emails": many})).await,
        400,
        "too_many",
    );
}

#[tokio::test]
async fn refusals_have_the_recorded_shapes() {
    let client = Client::start().await;
    let bare = send(client.post(BATCH_GET_ID, &json!({}))).await;
    assert_like(&bare, 400, "missing_token");
    let invalid = send(client.lookup("t-x", "", &json!({}))).await;
    assert_like(&invalid, 400, "invalid_token");
    let user = send(client.lookup("eyJ0", "", &json!({}))).await;
    assert_like(&user, 400, "invalid_user_token");
    client
        .set(&json!({"scopes_removed": ["contact:user.id:readonly"]}))
        .await;
    assert_like(&client.ask("", &json!({})).await, 400, "scope_missing");
    client
        .set(&json!({"scopes_removed": [], "quota_per_second": 0}))
        .await;
    assert_like(&client.ask("", &json!({})).await, 429, "rate_limited");
}
