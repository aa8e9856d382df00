//! The control address.

use reqwest::Method;
use serde_json::json;

use super::client::{Client, WEI, WEI_MOBILE, send};

#[tokio::test]
async fn every_switch_is_listed_with_value_and_meaning() {
    let client = Client::start().await;
    client.set(&json!({"latency_ms": 7})).await;
    let list = client.control(Method::GET, "/faults", None).await.body;
    let switches = list.as_object().unwrap();
    assert!(switches.len() > 40, "{}", switches.len());
    assert_eq!(
        (&list["latency_ms"]["value"], &list["latency_ms"]["default"]),
        (&json!(7), &json!(0))
    );
    for (name, about) in switches {
        assert!(
            about["meaning"].as_str().is_some_and(|text| text.len() > 8),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_switch_that_is_wrong_changes_nothing_and_says_what_is() {
    let client = Client::start().await;
    for (changes, words) in [
        (
            json!({"latency_ms": 5, "latencyms": 6}),
            "nearest is \"latency_ms\"",
        ),
        (
            json!({"quota_enabled": "no"}),
            "\"quota_enabled\" takes true or false",
        ),
        (json!({"only_tenant": "initech"}), "there are acme, globex"),
        (json!([]), "not one JSON object"),
    ] {
        let answer = client
            .control(Method::POST, "/faults", Some(&changes))
            .await;
        assert_eq!(answer.status, 400);
        let error = answer.body["error"].as_str().unwrap();
        assert!(error.contains(words), "{error}");
    }
    let list = client.control(Method::GET, "/faults", None).await.body;
    assert_eq!(list["latency_ms"]["value"], 0);
}

#[tokio::test]
async fn statistics_count_what_was_asked() {
    let client = Client::start().await;
    let body = json!({"emails": [WEI, "nobody@acme.example"], "mobiles": [WEI_MOBILE]});
    client.ask("", &body).await;
    client.set(&json!({"quota_per_minute": 0})).await;
    client.ask("", &body).await;
    let stats = client.stats().await;
    for (name, count) in [
        ("token_requests", 2),
        ("batch_get_id_calls", 2),
        ("identifiers", 6),
        ("emails", 4),
        ("mobiles", 2),
        ("rate_limited", 1),
    ] {
        assert_eq!(stats[name], count, "{name}");
        assert_eq!(stats["tenants"]["acme"][name], count, "{name}");
        assert_eq!(stats["tenants"]["globex"][name], 0, "{name}");
    }
    assert_eq!(stats["by_code"], json!({"0": 3, "99991400": 1}));
    assert_eq!(
        stats["by_endpoint"],
        json!({"tenant_access_token": 2, "batch_get_id": 2})
    );
    assert_eq!(stats["highest"]["in_any_minute"], 2);
}

#[tokio::test]
async fn each_tenant_has_peaks_of_its_own_beside_those_of_all() {
    let client = Client::start().await;
    for (tenant, calls) in [(client.acme(), 3), (client.globex(), 2)] {
        let token = client.token(&tenant).await;
        for _ in 0..calls {
            send(client.lookup(&token, "", &json!({"emails": [WEI]}))).await;
        }
    }
    // Nobody's, and an arrival all the same.
    send(client.lookup("t-nobody", "", &json!({}))).await;
    let stats = client.stats().await;
    let acme = &stats["tenants"]["acme"]["highest"];
    let globex = &stats["tenants"]["globex"]["highest"];
    let all = &stats["highest"];
    assert_eq!(acme["in_any_minute"], 3);
    assert_eq!(globex["in_any_minute"], 2);
    assert_eq!(all["in_any_minute"], 6);
    for peaks in [acme, globex, all] {
        assert_eq!(peaks.as_object().unwrap().len(), 4, "{peaks}");
    }
}

#[tokio::test]
async fn the_history_tells_each_call_and_masks_identifiers_unless_asked() {
    let client = Client::start().await;
    let body = json!({"emails": [WEI], "mobiles": [WEI_MOBILE], "include_resigned": true});
    let answer = client.ask("?user_id_type=union_id", &body).await;
    client.set(&json!({"fault": "status"})).await;
    client.token_answer(&client.acme()).await;
    let history = client.control(Method::GET, "/history", None).await.body;
    let calls = history["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 3);
    let lookup = &calls[1];
    assert_eq!(lookup["endpoint"], "batch_get_id");
    assert_eq!(lookup["tenant"], "acme");
    assert_eq!(
        (&lookup["http_status"], &lookup["code"]),
        (&json!(200), &json!(0))
    );
    assert_eq!(
        (&lookup["emails"], &lookup["mobiles"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(lookup["user_id_type"], "union_id");
    assert_eq!(lookup["include_resigned"], true);
    assert_eq!(lookup["log_id"], answer.log_id.as_str());
    assert_eq!(lookup["identifiers"], json!(["w***@acme.example", "***00"]));
    assert_eq!(
        (&calls[2]["fault"], &calls[2]["http_status"]),
        (&json!("status"), &json!(502))
    );
    let path = "/history?identifiers=full&endpoint=batch_get_id&limit=5";
    let full = client.control(Method::GET, path, None).await.body;
    assert_eq!(full["calls"][0]["identifiers"], json!([WEI, WEI_MOBILE]));
    assert_eq!(full["calls"].as_array().unwrap().len(), 1);
    let wrong = client.control(Method::GET, "/history?id=1", None).await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn a_reset_brings_back_the_start() {
    let client = Client::start().await;
    let token = client.token(&client.acme()).await;
    client
        .set(&json!({"latency_ms": 5, "clock_offset_seconds": 60}))
        .await;
    let answer = client.control(Method::POST, "/reset", None).await;
    assert_eq!(answer.body, json!({"not_at_default": {}}));
    assert_eq!(client.stats().await["token_requests"], 0);
    let dead = send(client.lookup(&token, "", &json!({}))).await;
    assert_eq!(dead.code, Some(99_991_663));
    assert_eq!(
        client.token_answer(&client.acme()).await.body["expire"],
        7200
    );
}

#[tokio::test]
async fn faults_alone_can_be_taken_back() {
    let client = Client::start().await;
    let token = client.token(&client.acme()).await;
    client.set(&json!({"fault": "drop"})).await;
    client.control(Method::DELETE, "/faults", None).await;
    let alive = send(client.lookup(&token, "", &json!({}))).await;
    assert_eq!(alive.verdict(), (200, 0));
}

#[tokio::test]
async fn an_unknown_address_is_answered_with_those_there_are() {
    let client = Client::start().await;
    for (method, path) in [
        (Method::GET, "/"),
        (Method::PUT, "/faults"),
        (Method::GET, "/reset"),
    ] {
        let answer = client.control(method, path, None).await;
        assert_eq!(answer.status, 404);
        assert!(
            answer.text.contains("POST /tokens/revoke"),
            "{}",
            answer.text
        );
    }
}
