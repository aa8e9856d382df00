//! Facts 18 to 29: `batch_get_id` itself.

use serde_json::{Value, json};

use super::client::{BOTH, Client, WEI, WEI_MOBILE, ids, send};

const STATUS_KEYS: [&str; 5] = [
    "is_activated",
    "is_exited",
    "is_frozen",
    "is_resigned",
    "is_unjoin",
];

async fn rows(client: &Client, query: &str, body: Value) -> Vec<Value> {
    client.ask(query, &body).await.rows().to_vec()
}

#[tokio::test]
async fn fact_18_the_default_kind_is_open_id_and_an_unknown_one_is_refused() {
    let client = Client::start().await;
    let body = json!({"emails": [WEI]});
    let plain = rows(&client, "", body.clone()).await;
    let open = rows(&client, "?user_id_type=open_id", body.clone()).await;
    assert_eq!(ids(&plain), ids(&open));
    assert!(ids(&open)[0].starts_with("ou_"));
    let union = rows(&client, "?user_id_type=union_id", body.clone()).await;
    assert!(ids(&union)[0].starts_with("on_"));
    let user = rows(&client, "?user_id_type=user_id", body.clone()).await;
    assert_eq!(ids(&user)[0].len(), 8);
    let refused = client.ask("?user_id_type=email", &body).await;
    assert_eq!(refused.verdict(), (400, 99_992_402));
}

#[tokio::test]
async fn fact_19_more_than_fifty_of_a_kind_refuse_the_whole_call() {
    let client = Client::start().await;
    let many = |count: usize| -> Vec<String> {
        (0..count)
            .map(|n| format!("load-{n}@acme.example"))
            .collect()
    };
    let numbers =
        |count: usize| -> Vec<String> { (0..count).map(|n| format!("+86199{n:08}")).collect() };
    let full = json!({"emails": many(50), "mobiles": numbers(50)});
    assert_eq!(rows(&client, "", full).await.len(), 100);
    for (field, body) in [
        ("emails", json!({"emails": many(51)})),
        ("mobiles", json!({"emails": [WEI], "mobiles": numbers(51)})),
    ] {
        let answer = client.ask("", &body).await;
        assert_eq!(answer.verdict(), (400, 99_992_402));
        assert_eq!(answer.body["msg"], "field validation failed");
        let violation = &answer.body["error"]["field_violations"][0];
        assert_eq!(violation["field"], field);
        assert_eq!(violation["description"], "the max len is 50");
        assert!(answer.body.get("data").is_none());
    }
}

#[tokio::test]
async fn fact_20_an_item_per_input_with_the_id_under_user_id_and_the_echo() {
    let client = Client::start().await;
    let body = json!({"emails": [WEI], "mobiles": [WEI_MOBILE]});
    let rows = rows(&client, "", body).await;
    assert_eq!(ids(&rows)[0], ids(&rows)[1]);
    assert_eq!(rows[0]["email"], WEI);
    assert!(rows[0].get("mobile").is_none() && rows[0].get("open_id").is_none());
    assert_eq!(rows[1]["mobile"], WEI_MOBILE);
    assert!(rows[1].get("email").is_none());
}

#[tokio::test]
async fn fact_21_all_misses_look_alike() {
    let client = Client::start().await;
    let asked = json!([
        "nobody@acme.example",
        "quinn.hidden@acme.example",
        "shuang.zheng@acme.example",
        "paula.west@globex.example",
    ]);
    let answer = client.ask("", &json!({"emails": asked})).await;
    assert_eq!(answer.body["msg"], "success");
    let expected: Vec<Value> = asked
        .as_array()
        .unwrap()
        .iter()
        .map(|email| json!({"email": email}))
        .collect();
    assert_eq!(answer.rows(), expected);
}

#[tokio::test]
async fn fact_22_with_the_flag_the_resigned_appear_and_one_address_has_several_rows() {
    let client = Client::start().await;
    let address = "frontdesk@acme.example";
    let without = rows(&client, "", json!({"emails": [address]})).await;
    assert_eq!(without.len(), 1);
    let body = json!({"emails": [address, "shuang.zheng@acme.example"], "include_resigned": true});
    let with = rows(&client, "", body).await;
    let resigned: Vec<&Value> = with
        .iter()
        .map(|row| &row["status"]["is_resigned"])
        .collect();
    assert_eq!(resigned, [true, true, false, true]);
    assert_eq!(ids(&with)[2], ids(&without)[0]);
    let shared = rows(&client, "", json!({"emails": ["shared.desk@acme.example"]})).await;
    assert_eq!(shared.len(), 2);
    assert_ne!(ids(&shared)[0], ids(&shared)[1]);
}

#[tokio::test]
async fn fact_23_a_status_needs_its_field_scope() {
    let client = Client::start().await;
    let with = rows(&client, "", json!({"emails": ["dong.feng@acme.example"]})).await;
    let status = with[0]["status"].as_object().unwrap();
    assert_eq!(
        status.keys().map(String::as_str).collect::<Vec<_>>(),
        STATUS_KEYS
    );
    assert_eq!(status["is_frozen"], true);
    let globex = client.token(&client.globex()).await;
    let body = json!({"emails": [BOTH]});
    let without = send(client.lookup(&globex, "", &body)).await;
    assert!(without.rows()[0].get("status").is_none());
    let grant = json!({"scopes_granted": ["globex/contact:contact:readonly_as_app"]});
    client.set(&grant).await;
    let granted = send(client.lookup(&globex, "", &body)).await;
    assert_eq!(granted.rows()[0]["status"]["is_activated"], true);
}

#[tokio::test]
async fn fact_24_user_id_without_its_field_scope_is_left_out_or_refused() {
    let client = Client::start().await;
    client
        .set(&json!({"scopes_removed": ["contact:user.employee_id:readonly"]}))
        .await;
    let body = json!({"emails": [WEI]});
    let without = rows(&client, "?user_id_type=user_id", body.clone()).await;
    assert_eq!(ids(&without), ["-"]);
    let open = rows(&client, "?user_id_type=open_id", body.clone()).await;
    assert!(ids(&open)[0].starts_with("ou_"));
    client
        .set(&json!({"user_id_without_scope": "refuse"}))
        .await;
    let refused = client.ask("?user_id_type=user_id", &body).await;
    assert_eq!(refused.verdict(), (400, 41050));
}

#[tokio::test]
async fn fact_25_an_enterprise_mailbox_matches_only_if_switched_so() {
    let client = Client::start().await;
    let body = json!({"emails": ["qi.xing@acme.example"], "mobiles": ["13000009009"]});
    let found = rows(&client, "", body.clone()).await;
    assert_eq!(ids(&found)[0], "-");
    assert_ne!(ids(&found)[1], "-");
    client.set(&json!({"enterprise_email_matches": true})).await;
    let found = rows(&client, "", body).await;
    assert_eq!(ids(&found)[0], ids(&found)[1]);
}

#[tokio::test]
async fn fact_26_mainland_numbers_match_with_and_without_86_and_foreign_ones_with_plus_only() {
    let client = Client::start().await;
    let mobiles = [
        "13000000000",
        "+8613000000000",
        "+12025550198",
        "12025550198",
        "2025550198",
    ];
    let found = rows(&client, "", json!({"mobiles": mobiles})).await;
    let ids = ids(&found);
    assert_eq!(ids[0], ids[1]);
    assert!(ids[2].starts_with("ou_"));
    assert_eq!(ids[3..], ["-", "-"]);
    let echoes: Vec<&str> = found
        .iter()
        .map(|row| row["mobile"].as_str().unwrap())
        .collect();
    assert_eq!(echoes, mobiles);
}

#[tokio::test]
async fn fact_26_the_echo_of_a_number_and_punctuation_are_switches() {
    let client = Client::start().await;
    let body = json!({"mobiles": ["13000000000", "+12025550198", "13900000000"]});
    for (form, expected) in [
        ("with_86", ["+8613000000000", "+12025550198", "13900000000"]),
        ("without_86", ["13000000000", "+12025550198", "13900000000"]),
    ] {
        client.set(&json!({"mobile_echo": form})).await;
        let found = rows(&client, "", body.clone()).await;
        let echoes: Vec<&str> = found
            .iter()
            .map(|row| row["mobile"].as_str().unwrap())
            .collect();
        assert_eq!(echoes, expected);
    }
    let odd = json!({"mobiles": ["0086 130-0000-0000"]});
    assert_eq!(ids(&rows(&client, "", odd.clone()).await), ["-"]);
    client
        .set(&json!({"mobile_punctuation_matches": true}))
        .await;
    assert_ne!(ids(&rows(&client, "", odd).await), ["-"]);
}

#[tokio::test]
async fn fact_27_letter_case_does_not_matter_and_the_echo_is_a_switch() {
    let client = Client::start().await;
    let body = json!({"emails": ["ANNA.schmidt@Acme.Example"]});
    let as_sent = rows(&client, "", body.clone()).await;
    assert_ne!(ids(&as_sent), ["-"]);
    assert_eq!(as_sent[0]["email"], "ANNA.schmidt@Acme.Example");
    client.set(&json!({"email_echo": "as_stored"})).await;
    let as_stored = rows(&client, "", body.clone()).await;
    assert_eq!(as_stored[0]["email"], "Anna.Schmidt@acme.example");
    client.set(&json!({"email_case_sensitive": true})).await;
    assert_eq!(ids(&rows(&client, "", body).await), ["-"]);
}

#[tokio::test]
async fn fact_28_rows_come_emails_first_in_order_unless_shuffled() {
    let client = Client::start().await;
    let emails: Vec<String> = (0..40).map(|n| format!("load-{n}@acme.example")).collect();
    let body = json!({"mobiles": [WEI_MOBILE], "emails": emails});
    let in_order = rows(&client, "", body.clone()).await;
    let echoes: Vec<&str> = in_order[..40]
        .iter()
        .map(|r| r["email"].as_str().unwrap())
        .collect();
    assert_eq!(echoes, emails);
    assert_eq!(in_order[40]["mobile"], WEI_MOBILE);
    client
        .set(&json!({"row_order": "shuffled", "fault_seed": 3}))
        .await;
    let shuffled = rows(&client, "", body.clone()).await;
    assert_ne!(shuffled, in_order);
    client.set(&json!({"fault_seed": 3})).await;
    assert_eq!(rows(&client, "", body).await, shuffled);
    let sorted = |mut rows: Vec<Value>| {
        rows.sort_by_key(ToString::to_string);
        rows
    };
    assert_eq!(sorted(shuffled), sorted(in_order));
}

#[tokio::test]
async fn fact_29_duplicates_malformed_values_and_empty_requests_are_switches() {
    let client = Client::start().await;
    let twice = json!({"emails": [WEI, WEI], "mobiles": [WEI_MOBILE]});
    let odd = json!({"emails": ["no-at-sign", WEI], "mobiles": ["abc", "12"]});
    let empty = json!({"emails": []});
    for (body, default) in [(&twice, 3), (&odd, 4), (&empty, 0)] {
        assert_eq!(
            rows(&client, "", body.clone()).await.len(),
            default,
            "{body}"
        );
    }
    client
        .set(&json!({"duplicates": "once", "malformed": "drop"}))
        .await;
    assert_eq!(rows(&client, "", twice.clone()).await.len(), 2);
    assert_eq!(rows(&client, "", odd.clone()).await.len(), 1);
    let refuse = json!({"duplicates": "refuse", "malformed": "refuse", "empty_request": "refuse"});
    client.set(&refuse).await;
    for body in [&twice, &odd, &empty] {
        assert_eq!(client.ask("", body).await.verdict(), (400, 40001), "{body}");
    }
    assert_eq!(rows(&client, "", json!({"emails": [WEI]})).await.len(), 1);
}

#[tokio::test]
async fn misses_can_be_dropped_and_rows_doubled() {
    let client = Client::start().await;
    client
        .set(&json!({"misses": "dropped", "duplicate_rows": true}))
        .await;
    let found = rows(&client, "", json!({"emails": ["nobody@acme.example", WEI]})).await;
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], found[1]);
}

#[tokio::test]
async fn who_is_in_two_tenants_has_ids_of_each() {
    let client = Client::start().await;
    let mut seen = Vec::new();
    for tenant in [client.acme(), client.globex()] {
        let token = client.token(&tenant).await;
        let request = client.lookup(&token, "?user_id_type=user_id", &json!({"emails": [BOTH]}));
        seen.push(ids(send(request).await.rows())[0].to_owned());
    }
    assert_ne!(seen[0], seen[1]);
    assert!(!seen.contains(&"-".to_owned()));
}
