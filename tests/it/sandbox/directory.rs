//! The people: the seeded ones with their examples, a CSV file, and the synthetic range.

use std::path::PathBuf;

use feishu_id::sandbox::{Sandbox, SandboxSettings};
use serde_json::{Value, json};

use super::client::{Client, ids, send};

/// A file of its own for each test, gone with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let name = format!("feishu-id-{}-{name}.csv", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn every_example_shows_the_outcome_it_announces() {
    let client = Client::start().await;
    for example in client.sandbox.examples() {
        let tenants = client.sandbox.tenants();
        let tenant = tenants
            .iter()
            .find(|tenant| tenant.name == example.tenant)
            .unwrap();
        let token = client.token(tenant).await;
        let field = if example.identifier.contains('@') {
            "emails"
        } else {
            "mobiles"
        };
        let mut body = json!({field: [example.identifier]});
        let rows = send(client.lookup(&token, "", &body)).await.rows().to_vec();
        body["include_resigned"] = Value::Bool(true);
        let all = send(client.lookup(&token, "", &body)).await.rows().to_vec();
        let found = rows
            .iter()
            .filter(|row| row.get("user_id").is_some())
            .count();
        let what = example.what.as_str();
        match what.split([':', ';', ',', ' ']).next() {
            Some("resolved") => assert_eq!(found, 1, "{what}"),
            Some("ambiguous") => assert_eq!(found, 2, "{what}"),
            _ => assert_eq!((found, what.starts_with("not found")), (0, true), "{what}"),
        }
        if what.contains("has resigned") {
            assert_ne!(ids(&all), ["-"], "{what}");
        }
        if what.contains("recycled") {
            assert!(all.len() > 2, "{what}");
        }
    }
}

#[tokio::test]
async fn the_banner_is_loud_and_has_settings_alone_on_their_lines() {
    let client = Client::start().await;
    let banner = client.sandbox.banner();
    assert!(banner.contains("THIS IS A SIMULATION"));
    for tenant in client.sandbox.tenants() {
        for line in [
            format!("FEISHU_BASE_URL={}", client.sandbox.base_url()),
            format!("FEISHU_APP_ID={}", tenant.app_id),
            format!("FEISHU_APP_SECRET={}", tenant.app_secret),
        ] {
            assert!(banner.lines().any(|shown| shown == line), "{line}");
        }
    }
    for example in client.sandbox.examples() {
        assert!(banner.contains(&example.identifier));
    }
    assert!(banner.contains(&format!("curl {}/faults", client.sandbox.control_url())));
}

#[tokio::test]
async fn a_file_makes_tenants_with_apps_of_their_own() {
    let file = File::new(
        "tenants",
        "\u{feff}email,tenant,user_id,status,visible,mobile\n\
         a@one.example,one,u-one,,,\n\
         b@two.example,two,,resigned,,\n\
         c@two.example,two,,,no,\n\
         ,two,,,,+85250000001\n",
    );
    let client = Client::with_directory(file.0.clone()).await;
    let tenants = client.sandbox.tenants();
    assert_eq!(
        tenants.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert_ne!(tenants[0].app_id, tenants[1].app_id);
    let token = client.token(&tenants[0]).await;
    let body = json!({"emails": ["a@one.example", "b@two.example"]});
    let rows = send(client.lookup(&token, "?user_id_type=user_id", &body)).await;
    assert_eq!(ids(rows.rows()), ["u-one", "-"]);
    let token = client.token(&tenants[1]).await;
    let body = json!({
        "emails": ["b@two.example", "c@two.example", "load-5@two.example"],
        "mobiles": ["+85250000001"],
        "include_resigned": true,
    });
    let rows = send(client.lookup(&token, "", &body)).await;
    let found: Vec<bool> = ids(rows.rows()).iter().map(|id| *id != "-").collect();
    assert_eq!(found, [true, false, true, true]);
}

#[tokio::test]
async fn a_mistake_in_the_file_is_said_with_file_and_line() {
    let file = File::new(
        "mistake",
        "email,status\na@x.example,\nb@x.example,retired\n",
    );
    let settings = SandboxSettings {
        directory: Some(file.0.clone()),
        ..SandboxSettings::default()
    };
    let error = Sandbox::start(settings).await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("{}:3: ", file.0.display())),
        "{error}"
    );
    assert!(
        error.contains("retired") && error.contains("unjoined"),
        "{error}"
    );
}

#[tokio::test]
async fn synthetic_people_answer_in_every_tenant_with_other_ids() {
    let client = Client::start().await;
    let mut seen = Vec::new();
    for tenant in client.sandbox.tenants() {
        let token = client.token(tenant).await;
        let body = json!({
            "emails": [format!("load-999999@{}.example", tenant.name)],
            "mobiles": ["+8619900999999"],
        });
        let answer = send(client.lookup(&token, "", &body)).await;
        let ids = ids(answer.rows())
            .into_iter()
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>();
        assert_eq!(ids[0], ids[1]);
        seen.push(ids[0].clone());
    }
    assert_ne!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_dropped_sandbox_closes_its_connections() {
    let Client { sandbox, http } = Client::start().await;
    let url = sandbox.base_url();
    http.get(&url).send().await.unwrap();
    drop(sandbox);
    // The loops end at their next turn; until then a call may still be answered.
    let gone = async { while http.get(&url).send().await.is_ok() {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), gone)
        .await
        .unwrap();
}
