//! The faults: what a client must survive.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{BATCH_GET_ID, Client, WEI, send};

/// Sends a lookup of which the answer may never come.
async fn try_ask(client: &Client, token: &str) -> Result<String, reqwest::Error> {
    let request = client.lookup(token, "", &json!({"emails": [WEI]}));
    request.send().await?.text().await
}

#[tokio::test]
async fn a_code_comes_with_the_endpoints_usual_status_or_a_chosen_one() {
    let client = Client::start().await;
    let acme = client.acme();
    client.token(&acme).await;
    client
        .set(&json!({"fault": "code", "fault_code": 2200, "fault_next": 2}))
        .await;
    let token = client.token_answer(&acme).await;
    assert_eq!(token.verdict(), (200, 2200));
    assert!(token.body.get("error").is_none());
    let token = client.post(BATCH_GET_ID, &json!({}));
    let answer = send(token).await;
    assert_eq!(answer.verdict(), (400, 2200));
    assert_eq!(
        answer.body["error"]["log_id"],
        Value::from(answer.log_id.as_str())
    );
    let aimed = json!({"fault_endpoint": "batch_get_id", "fault_next": 1, "fault_status": 500});
    client.set(&aimed).await;
    assert_eq!(client.ask("", &json!({})).await.verdict(), (500, 2200));
    assert_eq!(client.ask("", &json!({})).await.verdict(), (200, 0));
}

#[tokio::test]
async fn a_quota_refusal_that_is_made_up_has_the_headers_too() {
    let client = Client::start().await;
    let fault = json!({"fault": "code", "fault_code": 99_991_400, "fault_status": 429,
        "fault_endpoint": "batch_get_id"});
    client.set(&fault).await;
    let answer = client.ask("", &json!({})).await;
    assert_eq!(answer.status, 429);
    assert!(answer.limit.is_some() && answer.reset.is_some());
}

#[tokio::test]
async fn a_status_comes_with_a_page_a_text_or_nothing() {
    let client = Client::start().await;
    client
        .set(&json!({"fault": "status", "fault_endpoint": "batch_get_id"}))
        .await;
    let page = client.ask("", &json!({})).await;
    assert_eq!(
        (page.status, page.content_type.as_str()),
        (502, "text/html")
    );
    assert!(page.text.starts_with("<html>"));
    client
        .set(&json!({"fault_status": 504, "fault_body": "text"}))
        .await;
    let text = client.ask("", &json!({})).await;
    assert_eq!(
        (text.status, text.content_type.as_str()),
        (504, "text/plain")
    );
    client.set(&json!({"fault_body": "empty"})).await;
    assert_eq!(client.ask("", &json!({})).await.text, "");
}

#[tokio::test]
async fn bodies_come_cut_huge_or_as_a_web_page_with_http_200() {
    let client = Client::start().await;
    client
        .set(&json!({"fault": "truncated_json", "fault_endpoint": "batch_get_id"}))
        .await;
    let cut = client.ask("", &json!({"emails": [WEI]})).await;
    assert_eq!((cut.status, &cut.body), (200, &Value::Null));
    assert!(cut.text.starts_with('{') && cut.content_type.starts_with("application/json"));
    client.set(&json!({"fault": "not_json"})).await;
    let page = client.ask("", &json!({})).await;
    assert_eq!(
        (page.status, page.content_type.as_str()),
        (200, "text/html")
    );
    client
        .set(&json!({"fault": "oversized_body", "fault_oversized_bytes": 3_000_000}))
        .await;
    let huge = client.ask("", &json!({})).await;
    assert!(huge.text.len() >= 3_000_000, "{}", huge.text.len());
    assert_eq!(huge.code, Some(0));
}

#[tokio::test]
async fn connections_drop_before_the_answer_or_inside_it() {
    let client = Client::start().await;
    let token = client.token(&client.acme()).await;
    client.set(&json!({"fault": "drop"})).await;
    let error = try_ask(&client, &token).await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
    client.set(&json!({"fault": "drop_mid_body"})).await;
    let request = client.lookup(&token, "", &json!({"emails": [WEI]}));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let error = response.text().await.unwrap_err();
    assert!(error.is_decode() || error.is_body(), "{error:?}");
    client.set(&json!({"fault": "none"})).await;
    try_ask(&client, &token).await.unwrap();
}

#[tokio::test]
async fn a_hanging_call_ends_at_its_bound_and_is_in_the_history_at_once() {
    let client = Client::start().await;
    let token = client.token(&client.acme()).await;
    client
        .set(&json!({"fault": "hang", "fault_hang_seconds": 1}))
        .await;
    let start = now();
    try_ask(&client, &token).await.unwrap_err();
    assert!(start.elapsed() >= Duration::from_secs(1));
    let stats = client.stats().await;
    assert_eq!(stats["by_fault"]["hang"], 1);
    assert_eq!(stats["by_http_status"]["none"], 1);
}

#[tokio::test]
async fn with_any_fault_the_history_tells_which_it_was() {
    let client = Client::start().await;
    // Without the quota, which goes by the clock.
    let fault = json!({"fault": "any", "fault_hang_seconds": 0, "fault_oversized_bytes": 1000,
        "fault_endpoint": "batch_get_id", "fault_seed": 7, "quota_enabled": false});
    let mut runs = Vec::new();
    for _ in 0..2 {
        client.control(Method::POST, "/reset", None).await;
        let token = client.token(&client.acme()).await;
        client.set(&fault).await;
        for _ in 0..60 {
            // Without an answer, or with half of one.
            let _ = try_ask(&client, &token).await;
        }
        let path = "/history?endpoint=batch_get_id";
        let history = client.control(Method::GET, path, None).await.body;
        let calls = history["calls"].as_array().unwrap().iter();
        let told = calls.map(|call| json!([call["fault"], call["http_status"], call["code"]]));
        runs.push(told.collect::<Vec<Value>>());
    }
    assert_eq!(runs[0].len(), 60);
    assert_eq!(runs[0], runs[1]);
    let stats = client.stats().await;
    let by_fault = stats["by_fault"].as_object().unwrap();
    assert_eq!(by_fault.len(), 8, "{by_fault:?}");
    let counts = by_fault.values().map(|count| count.as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), 60);
}

#[tokio::test]
async fn only_what_the_quota_refuses_is_rate_limited_whatever_a_fault_makes_of_it() {
    let client = Client::start().await;
    let token = client.token(&client.acme()).await;
    let made_up = json!({"fault": "code", "fault_code": 99_991_400});
    client.set(&made_up).await;
    try_ask(&client, &token).await.unwrap();
    let stats = client.stats().await;
    assert_eq!(stats["by_code"]["99991400"], 1);
    assert_eq!(stats["by_fault"]["code"], 1);
    assert_eq!(stats["rate_limited"], 0);
    let hidden = json!({"fault": "drop", "quota_per_minute": 0});
    client.set(&hidden).await;
    try_ask(&client, &token).await.unwrap_err();
    let stats = client.stats().await;
    assert_eq!(stats["by_code"]["99991400"], 1);
    assert_eq!(stats["rate_limited"], 1);
    let history = client.control(Method::GET, "/history", None).await.body;
    let calls = history["calls"].as_array().unwrap();
    let told: Vec<&Value> = calls.iter().map(|call| &call["rate_limited"]).collect();
    assert_eq!(told, [false, false, true]);
}

#[tokio::test]
async fn latency_delays_answers_and_tokens_have_their_own() {
    let client = Client::start().await;
    let acme = client.acme();
    client
        .set(&json!({"latency_ms": 150, "token_latency_ms": 0}))
        .await;
    let token = client.token(&acme).await;
    let start = now();
    try_ask(&client, &token).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(150));
    let history = client.control(Method::GET, "/history", None).await.body;
    let calls = history["calls"].as_array().unwrap();
    let delays: Vec<&Value> = calls.iter().map(|call| &call["latency_ms"]).collect();
    assert_eq!(delays, [0, 150]);
}

#[tokio::test]
async fn a_fault_kept_to_one_tenant_leaves_the_other_alone() {
    let client = Client::start().await;
    client
        .set(&json!({"fault": "code", "only_tenant": "globex"}))
        .await;
    assert_eq!(client.ask("", &json!({})).await.verdict(), (200, 0));
    let globex = client.token_answer(&client.globex()).await;
    assert_eq!(globex.code, Some(2200));
}

#[tokio::test]
async fn a_poisonous_identifier_fails_its_whole_call_as_switched() {
    let client = Client::start().await;
    client.set(&json!({"poison": ["bad@acme.example"]})).await;
    let body = json!({"emails": [WEI, "bad@acme.example"]});
    for (answer, verdict) in [
        ("99992402", (400, 99_992_402)),
        ("40001", (400, 40001)),
        ("9499", (400, 9499)),
        ("500", (500, 2200)),
    ] {
        client.set(&json!({"poison_answer": answer})).await;
        assert_eq!(client.ask("", &body).await.verdict(), verdict);
        assert_eq!(
            client.ask("", &json!({"emails": [WEI]})).await.verdict(),
            (200, 0)
        );
    }
    client.set(&json!({"poison_answer": "99992402"})).await;
    let named = client.ask("", &body).await;
    assert_eq!(
        named.body["error"]["field_violations"][0]["field"],
        "emails[1]"
    );
    client.set(&json!({"poison_field_violations": false})).await;
    let unnamed = client.ask("", &body).await;
    assert!(unnamed.body["error"].get("field_violations").is_none());
}

#[expect(
    clippy::disallowed_methods,
    reason = "these tests measure real waits on real sockets"
)]
fn now() -> Instant {
    Instant::now()
}
