//! Facts 1 to 7: the token endpoints.

use reqwest::Method;
use serde_json::json;

use super::client::{APP_TOKEN, Client, TENANT_TOKEN, WEI, send};

#[tokio::test]
async fn fact_1_only_post_exists_and_a_trailing_slash_is_fine() {
    let client = Client::start().await;
    let get = send(client.request(Method::GET, TENANT_TOKEN)).await;
    assert_eq!(get.status, 404);
    assert_eq!(get.content_type, "text/plain");
    assert_eq!(get.text, "404 page not found");
    let acme = client.acme();
    let body = json!({"app_id": acme.app_id, "app_secret": acme.app_secret});
    for path in [TENANT_TOKEN, APP_TOKEN] {
        let with_slash = send(client.post(&format!("{path}/"), &body)).await;
        assert_eq!(with_slash.verdict(), (200, 0));
    }
}

#[tokio::test]
async fn fact_2_success_is_a_flat_body_with_the_remaining_seconds() {
    let client = Client::start().await;
    let first = client.token_answer(&client.acme()).await;
    assert_eq!(first.verdict(), (200, 0));
    assert_eq!(first.body["msg"], "ok");
    assert_eq!(first.body["expire"], 7200);
    assert!(
        first.body["tenant_access_token"]
            .as_str()
            .unwrap()
            .starts_with("t-")
    );
    client.set(&json!({"clock_offset_seconds": 2633})).await;
    let later = client.token_answer(&client.acme()).await;
    let left = later.body["expire"].as_u64().unwrap();
    assert!((4560..=4567).contains(&left), "{left}");
}

#[tokio::test]
async fn fact_3_the_same_token_comes_until_half_an_hour_before_its_end_and_then_both_are_good() {
    let client = Client::start().await;
    let acme = client.acme();
    let old = client.token(&acme).await;
    client.set(&json!({"clock_offset_seconds": 5390})).await;
    assert_eq!(client.token(&acme).await, old);
    client.set(&json!({"clock_offset_seconds": 5401})).await;
    let new = client.token(&acme).await;
    assert_ne!(new, old);
    for token in [&old, &new] {
        let answer = send(client.lookup(token, "", &json!({"emails": [WEI]}))).await;
        assert_eq!(answer.verdict(), (200, 0));
    }
    client.set(&json!({"clock_offset_seconds": 7201})).await;
    let ended = send(client.lookup(&old, "", &json!({}))).await;
    assert_eq!(ended.verdict(), (400, 99_991_663));
    let lives = send(client.lookup(&new, "", &json!({}))).await;
    assert_eq!(lives.verdict(), (200, 0));
}

#[tokio::test]
async fn fact_4_an_unknown_app_gets_10003_with_http_200() {
    let client = Client::start().await;
    for body in [
        json!({"app_id": "cli_x", "app_secret": "y"}),
        json!({}),
        json!([]),
    ] {
        let answer = send(client.post(TENANT_TOKEN, &body)).await;
        assert_eq!(answer.verdict(), (200, 10003));
        let expected = json!({"code": 10003, "data": {}, "msg": "invalid param"});
        assert_eq!(answer.body, expected);
    }
}

#[tokio::test]
async fn fact_5_a_wrong_secret_gets_10014_or_as_switched_10015_with_http_200() {
    let client = Client::start().await;
    let mut acme = client.acme();
    acme.app_secret = "wrong".to_owned();
    let answer = client.token_answer(&acme).await;
    assert_eq!(answer.verdict(), (200, 10014));
    assert_eq!(answer.body["msg"], "app secret invalid");
    client.set(&json!({"wrong_secret_code": 10015})).await;
    assert_eq!(client.token_answer(&acme).await.verdict(), (200, 10015));
}

#[tokio::test]
async fn fact_6_a_changed_secret_kills_old_tokens_only_if_switched_so() {
    let client = Client::start().await;
    let mut acme = client.acme();
    let token = client.token(&acme).await;
    client.set(&json!({"secrets": {"acme": "second"}})).await;
    assert_eq!(client.token_answer(&acme).await.verdict(), (200, 10014));
    let alive = send(client.lookup(&token, "", &json!({}))).await;
    assert_eq!(alive.verdict(), (200, 0));
    acme.app_secret = "second".to_owned();
    assert_eq!(client.token(&acme).await, token);
    let kill = json!({"secrets": {"acme": "third"}, "secret_change_kills_tokens": true});
    client.set(&kill).await;
    let dead = send(client.lookup(&token, "", &json!({}))).await;
    assert_eq!(dead.verdict(), (400, 99_991_663));
}

#[tokio::test]
async fn fact_7_a_revoked_token_is_refused_as_switched_and_replaced_unless_switched_otherwise() {
    let client = Client::start().await;
    let acme = client.acme();
    for status in [200, 400, 401] {
        client.set(&json!({"token_rejected_status": status})).await;
        let token = client.token(&acme).await;
        let revoked = client.control(Method::POST, "/tokens/revoke", None).await;
        assert_eq!(revoked.body["revoked"], 1);
        let answer = send(client.lookup(&token, "", &json!({}))).await;
        assert_eq!(answer.verdict(), (status, 99_991_663));
        assert_ne!(client.token(&acme).await, token);
    }
    client.set(&json!({"token_after_revocation": "same"})).await;
    let token = client.token(&acme).await;
    client
        .control(Method::POST, "/tokens/revoke?tenant=acme", None)
        .await;
    assert_eq!(client.token(&acme).await, token);
    let answer = send(client.lookup(&token, "", &json!({}))).await;
    assert_eq!(answer.code, Some(99_991_663));
}

#[tokio::test]
async fn the_app_token_endpoint_gives_both_tokens() {
    let client = Client::start().await;
    let acme = client.acme();
    let body = json!({"app_id": acme.app_id, "app_secret": acme.app_secret});
    let answer = send(client.post(APP_TOKEN, &body)).await;
    assert!(
        answer.body["app_access_token"]
            .as_str()
            .unwrap()
            .starts_with("a-")
    );
    assert_eq!(
        answer.body["tenant_access_token"],
        client.token(&acme).await
    );
}

#[tokio::test]
async fn broken_json_is_a_bad_request() {
    let client = Client::start().await;
    let request = client.request(Method::POST, TENANT_TOKEN).body("{");
    assert_eq!(send(request).await.verdict(), (400, 9499));
}
