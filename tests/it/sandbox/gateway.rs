//! Facts 10 to 17: what every call passes.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::{Answer, BATCH_GET_ID, Client, TENANT_TOKEN, WEI, send};

/// The code of a call with this authorization header.
async fn with_header(client: &Client, authorization: &str) -> Answer {
    let request = client.post(BATCH_GET_ID, &json!({"emails": [WEI]}));
    send(request.header("authorization", authorization)).await
}

#[tokio::test]
async fn fact_10_unknown_paths_and_methods_are_404_in_plain_text() {
    let client = Client::start().await;
    for (method, path) in [
        (Method::POST, "/open-apis/contact/v3/users/nothing"),
        (Method::GET, BATCH_GET_ID),
        (Method::PUT, BATCH_GET_ID),
        (Method::GET, "/"),
    ] {
        let answer = send(client.request(method, path)).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (404, "404 page not found")
        );
        assert_eq!(answer.content_type, "text/plain");
    }
}

#[tokio::test]
async fn fact_11_no_bearer_is_a_missing_token() {
    let client = Client::start().await;
    let none = send(client.post(BATCH_GET_ID, &json!({}))).await;
    assert_eq!(none.verdict(), (400, 99_991_661));
    let msg = none.body["msg"].as_str().unwrap();
    assert!(
        msg.starts_with("Missing access token for authorization"),
        "{msg}"
    );
    let token = client.token(&client.acme()).await;
    for header in [token.as_str(), "Basic YTpi", "Bearer "] {
        let answer = with_header(&client, header).await;
        assert_eq!(answer.verdict(), (400, 99_991_661), "{header}");
    }
}

#[tokio::test]
async fn fact_12_a_token_nobody_issued_is_refused_with_log_id_and_troubleshooter() {
    let client = Client::start().await;
    let answer = with_header(&client, "Bearer t-nobody").await;
    assert_eq!(answer.verdict(), (400, 99_991_663));
    assert!(answer.body["error"]["log_id"].is_string());
    assert!(answer.body["error"]["troubleshooter"].is_string());
}

#[tokio::test]
async fn fact_13_tokens_of_other_kinds_have_codes_of_their_own() {
    let client = Client::start().await;
    for (token, code) in [
        ("eyJhbGciOi", 99_991_668),
        ("u-x", 99_991_668),
        ("x-1", 99_991_671),
    ] {
        let answer = with_header(&client, &format!("Bearer {token}")).await;
        assert_eq!(answer.verdict(), (400, code));
    }
}

#[tokio::test]
async fn fact_14_a_missing_scope_names_itself_and_where_to_get_it() {
    let client = Client::start().await;
    client
        .set(&json!({"scopes_removed": ["contact:user.id:readonly"]}))
        .await;
    let answer = client.ask("", &json!({"emails": [WEI]})).await;
    assert_eq!(answer.verdict(), (400, 99_991_672));
    let error = &answer.body["error"];
    assert_eq!(
        error["permission_violations"],
        json!([{"type": "action_scope_required", "subject": "contact:user.id:readonly"}])
    );
    let link = error["helps"][0]["url"].as_str().unwrap();
    let app_id = client.acme().app_id;
    assert_eq!(
        link,
        format!(
            "https://open.feishu.cn/app/{app_id}/auth?q=contact:user.id:readonly\
             &op_from=openapi&token_type=tenant"
        )
    );
    let msg = answer.body["msg"].as_str().unwrap();
    assert!(
        msg.starts_with("Access denied.") && msg.contains(link),
        "{msg}"
    );
}

#[tokio::test]
async fn fact_15_over_the_limit_is_429_with_both_headers() {
    let client = Client::start().await;
    // Sliding, so that a boundary of the clock cannot fall between the calls.
    let limits = json!({"quota_form": "sliding", "quota_per_second": 2, "quota_per_minute": 3});
    client.set(&limits).await;
    let token = client.token(&client.acme()).await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(send(client.lookup(&token, "", &json!({}))).await);
    }
    let refused: Vec<&Answer> = answers.iter().filter(|a| a.status == 429).collect();
    assert!(refused.len() >= 17, "{}", refused.len());
    for answer in refused {
        assert_eq!(answer.verdict(), (429, 99_991_400));
        assert_eq!(answer.body["msg"], "request trigger frequency limit");
        assert!(matches!(answer.limit.as_deref(), Some("2" | "3")));
        let reset: u64 = answer.reset.as_ref().unwrap().parse().unwrap();
        assert!((1..=60).contains(&reset), "{reset}");
    }
    // Another tenant's calls are counted apart; the older status is a switch.
    let globex = client.token(&client.globex()).await;
    assert_eq!(
        send(client.lookup(&globex, "", &json!({}))).await.status,
        200
    );
    client
        .set(&json!({"quota_status": 400, "quota_per_minute": 0}))
        .await;
    let answer = send(client.lookup(&token, "", &json!({}))).await;
    assert_eq!(answer.verdict(), (400, 99_991_400));
    client.set(&json!({"quota_enabled": false})).await;
    assert_eq!(
        send(client.lookup(&token, "", &json!({}))).await.status,
        200
    );
}

#[tokio::test]
async fn fact_15_fifty_a_second_pass_by_default() {
    let client = Client::start().await;
    let token = client.token(&client.acme()).await;
    client.set(&json!({"quota_form": "sliding"})).await;
    for _ in 0..50 {
        let answer = send(client.lookup(&token, "", &json!({}))).await;
        assert_eq!(answer.verdict(), (200, 0));
    }
    let stats = client.stats().await;
    assert_eq!(stats["rate_limited"], 0);
    assert_eq!(stats["highest"]["in_any_minute"], 50);
}

#[tokio::test]
async fn the_place_of_the_quota_before_or_after_the_scope_is_a_switch() {
    let client = Client::start().await;
    let scope = json!({"scopes_removed": ["contact:user.id:readonly"], "quota_per_minute": 0});
    client.set(&scope).await;
    assert_eq!(client.ask("", &json!({})).await.code, Some(99_991_672));
    client.set(&json!({"quota_before_scope": true})).await;
    assert_eq!(client.ask("", &json!({})).await.code, Some(99_991_400));
}

#[tokio::test]
async fn fact_16_an_apps_troubles_are_switches_and_can_be_kept_to_one_tenant() {
    let client = Client::start().await;
    for (switch, code) in [
        ("ip_denied", 99_991_401),
        ("app_disabled", 99_991_662),
        ("quota_month_spent", 99_991_403),
    ] {
        client
            .set(&json!({switch: true, "gateway_status": 403, "only_tenant": "acme"}))
            .await;
        assert_eq!(client.ask("", &json!({})).await.verdict(), (403, code));
        let globex = client.token(&client.globex()).await;
        assert_eq!(
            send(client.lookup(&globex, "", &json!({}))).await.verdict(),
            (200, 0)
        );
        client.set(&json!({switch: false})).await;
    }
}

#[tokio::test]
async fn fact_17_every_answer_has_a_log_id_of_its_own_and_failures_repeat_it() {
    let client = Client::start().await;
    let good = client.ask("", &json!({"emails": [WEI]})).await;
    let failed = with_header(&client, "Bearer t-nobody").await;
    let lost = send(client.request(Method::GET, TENANT_TOKEN)).await;
    assert_eq!(
        failed.body["error"]["log_id"],
        Value::from(failed.log_id.as_str())
    );
    for answer in [&good, &failed, &lost] {
        assert_eq!(answer.log_id.len(), 32, "{}", answer.log_id);
    }
    assert_ne!(good.log_id, failed.log_id);
    assert_ne!(failed.log_id, lost.log_id);
}

#[tokio::test]
async fn fact_17_the_log_ids_header_is_written_as_feishu_writes_it() {
    let client = Client::start().await;
    let base = client.sandbox.base_url();
    let address = base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    // The official Python SDK looks for just this spelling.
    assert!(answer.contains("\r\nX-Tt-Logid: "), "{answer}");
}

#[tokio::test]
async fn the_token_is_checked_before_the_scope_and_the_scope_before_the_parameters() {
    let client = Client::start().await;
    let bad = json!({"emails": 5});
    let unauthorised = client.post(&format!("{BATCH_GET_ID}?user_id_type=x"), &bad);
    assert_eq!(send(unauthorised).await.code, Some(99_991_661));
    client
        .set(&json!({"scopes_removed": ["acme/contact:user.id:readonly"]}))
        .await;
    assert_eq!(
        client.ask("?user_id_type=x", &bad).await.code,
        Some(99_991_672)
    );
    client.set(&json!({"scopes_removed": []})).await;
    assert_eq!(client.ask("", &bad).await.verdict(), (400, 9499));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let client = Client::start().await;
    let token = client.token(&client.acme()).await;
    let request = client
        .request(Method::POST, BATCH_GET_ID)
        .bearer_auth(token);
    let answer = send(request.body(vec![b' '; (1 << 20) + 1])).await;
    assert_eq!(answer.verdict(), (413, 9499));
}

#[tokio::test]
async fn the_date_header_shows_the_clock_that_tokens_end_by() {
    let client = Client::start().await;
    let before = client.ask("", &json!({})).await.date;
    client.set(&json!({"clock_offset_seconds": 86_400})).await;
    let after = client.ask("", &json!({})).await.date;
    assert!(before.ends_with(" GMT"));
    assert_ne!(before[..16], after[..16]);
}
