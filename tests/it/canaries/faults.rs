//! Everything that Feishu can do, one after the other, each on a tenant of its own.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    calls,
    gathered::Gathered,
    marks,
    program::Server,
    upstream,
    world::{World, of_switch, of_way},
};

/// Switches to throw together; `TENANT` stands for the tenant that they are tried on.
pub fn switches() -> Vec<Value> {
    let mut switches = vec![
        json!({"latency_ms": 5, "latency_jitter_ms": 5, "token_latency_ms": 5,
            "token_latency_jitter_ms": 5, "fault_seed": 7}),
        json!({"token_life_seconds": 1, "token_renew_below_seconds": 0}),
        json!({"token_rejected_status": 401, "token_after_revocation": "same", "clock_offset_seconds": 604_800}),
        json!({"secret_change_kills_tokens": true, "wrong_secret_code": 10015,
            "secrets": {"TENANT": marks::OTHER_SECRET}}),
        json!({"scopes_removed": ["TENANT/contact:user.id:readonly"]}),
        json!({"scopes_removed": ["TENANT/contact:user.employee_id:readonly"], "user_id_without_scope": "refuse"}),
        json!({"scopes_removed": ["TENANT/contact:user.employee_id:readonly"], "user_id_without_scope": "omit"}),
        json!({"scopes_granted": ["TENANT/contact:user.employee:readonly"]}),
        json!({"app_disabled": true, "gateway_status": 400}),
        json!({"ip_denied": true, "gateway_status": 403}),
        json!({"quota_month_spent": true}),
        json!({"quota_enabled": true, "quota_per_second": 0, "quota_per_minute": 0,
            "quota_form": "sliding", "quota_status": 429, "quota_before_scope": true}),
        json!({"email_echo": "as_stored", "mobile_echo": "without_86", "email_case_sensitive": true,
            "mobile_punctuation_matches": true, "enterprise_email_matches": true, "row_order": "shuffled"}),
        json!({"misses": "dropped", "duplicate_rows": true, "duplicates": "once", "malformed": "drop"}),
        json!({"duplicates": "refuse", "malformed": "refuse", "empty_request": "refuse"}),
    ];
    for answer in ["99992402", "40001", "9499", "500"] {
        for named in [true, false] {
            switches.push(
                json!({"poison": [marks::EMAIL, marks::NUMBER], "poison_answer": answer,
                "poison_field_violations": named}),
            );
        }
    }
    for endpoint in ["batch_get_id", "token"] {
        for code in [
            10014, 99_991_663, 99_991_672, 99_992_402, 99_991_400, 99_991_403, 2200, 1_234_567,
        ] {
            switches.push(
                json!({"fault": "code", "fault_endpoint": endpoint, "fault_code": code,
                "fault_msg": format!("{} {} {}", marks::EMAIL, marks::NUMBER, marks::SECRET)}),
            );
        }
        switches.push(
            json!({"fault": "status", "fault_endpoint": endpoint, "fault_status": 502,
            "fault_body": "text"}),
        );
        switches.push(
            json!({"fault": "oversized_body", "fault_endpoint": endpoint,
            "fault_oversized_bytes": 2_000_000}),
        );
        switches
            .push(json!({"fault": "hang", "fault_endpoint": endpoint, "fault_hang_seconds": 1}));
        for fault in ["truncated_json", "not_json", "drop", "drop_mid_body"] {
            switches.push(json!({"fault": fault, "fault_endpoint": endpoint}));
        }
    }
    switches.push(json!({"fault": "any", "fault_percent": 50, "fault_next": 5}));
    switches
}

/// The switches with the tenant's name in its places; what is for one tenant alone is for this one.
pub fn on(tenant: &str, switches: &Value) -> Value {
    let text = switches.to_string().replace("TENANT", tenant);
    let mut switches: Map<_, _> = serde_json::from_str(&text).unwrap();
    switches.insert("only_tenant".to_owned(), tenant.into());
    Value::Object(switches)
}

pub async fn every_switch(server: &Server, world: &World, told: &mut Gathered) {
    let mut thrown = BTreeSet::new();
    for (number, switches) in switches().iter().enumerate() {
        let tenant = of_switch(number);
        // So that there is somebody known, and a token.
        if number % 2 == 0 {
            calls::ask(server, &tenant, told).await;
        }
        let switches = on(&tenant, switches);
        world.switch(&switches).await;
        world
            .control(
                "/tokens/revoke?tenant=TENANT"
                    .replace("TENANT", &tenant)
                    .as_str(),
                Some(&Value::Null),
            )
            .await;
        calls::ask(server, &tenant, told).await;
        world.switch_back().await;
        thrown.extend(switches.as_object().unwrap().keys().cloned());
    }
    let Value::Object(all) = world.control("/faults", None).await else {
        unreachable!("a list of switches");
    };
    let missed: Vec<_> = all.keys().filter(|name| !thrown.contains(*name)).collect();
    assert!(missed.is_empty(), "never thrown: {missed:?}");
}

pub async fn every_answer_of_a_hostile_feishu(server: &Server, world: &World, told: &mut Gathered) {
    told.add("hostile", world.hostile.address.to_string());
    for way in 0..upstream::ways().len() {
        calls::ask(server, &of_way(way), told).await;
    }
    // Nobody is behind its proxy.
    calls::ask(server, "proxied", told).await;
}
