//! A Feishu that shows what it was sent, and answers when the test says so.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::post};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle, time::sleep};

/// What it gives away: nobody else should see it.
pub const TOKEN: &str = "t-canary-4711";
pub const ID: &str = "u-canary-4711";
pub const SECRET: &str = "secret-canary-4711";

/// A running Feishu; ends when dropped.
pub struct Feishu {
    address: SocketAddr,
    state: Seen,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Seen {
    calls: Arc<Mutex<Vec<(&'static str, HeaderMap)>>>,
    gate: Arc<Semaphore>,
}

impl Feishu {
    /// Answers at once, or whenever [`Feishu::open`] has been called.
    pub async fn start(is_open: bool) -> Self {
        let permits = if is_open { 10_000 } else { 0 };
        let state = Seen {
            calls: Arc::default(),
            gate: Arc::new(Semaphore::new(permits)),
        };
        let router = Router::new()
            .route(
                "/open-apis/auth/v3/tenant_access_token/internal",
                post(token),
            )
            .route("/open-apis/contact/v3/users/batch_get_id", post(lookup))
            .with_state(state.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            state,
            task,
        }
    }

    /// Lets everybody through.
    pub fn open(&self) {
        self.state.gate.add_permits(10_000);
    }

    /// The variables of a server that asks it.
    pub fn env(&self) -> [(&'static str, String); 4] {
        [
            ("FEISHU_BASE_URL", format!("http://{}", self.address)),
            ("FEISHU_APP_ID", "cli_test".to_owned()),
            ("FEISHU_APP_SECRET", SECRET.to_owned()),
            ("FEISHU_ID_CACHE__STORE", "none".to_owned()),
        ]
    }

    /// The header of each call of that kind so far.
    pub fn headers(&self, kind: &str, name: &str) -> Vec<Option<String>> {
        let calls = self.state.calls.lock().unwrap();
        let value = |headers: &HeaderMap| Some(headers.get(name)?.to_str().unwrap().to_owned());
        let of_kind = calls.iter().filter(|(of, _)| *of == kind);
        of_kind.map(|(_, headers)| value(headers)).collect()
    }

    /// Waits until so many calls of that kind have come.
    pub async fn until_asked(&self, kind: &str, times: usize) {
        for _ in 0..500 {
            if self.headers(kind, "host").len() >= times {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody asks");
    }
}

impl Drop for Feishu {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn token(State(seen): State<Seen>, headers: HeaderMap) -> Json<Value> {
    seen.calls.lock().unwrap().push(("token", headers));
    Json(json!({"code": 0, "msg": "ok", "tenant_access_token": TOKEN, "expire": 7200}))
}

async fn lookup(
    State(seen): State<Seen>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> Json<Value> {
    seen.calls.lock().unwrap().push(("lookup", headers));
    let _passed = seen.gate.acquire().await.unwrap();
    let row = |(kind, who): (&str, &Value)| json!({kind: who, "user_id": ID});
    let list = |name: &str| asked[name].as_array().cloned().unwrap_or_default();
    let (emails, mobiles) = (list("emails"), list("mobiles"));
    let emails = emails.iter().map(|who| row(("email", who)));
    let rows: Vec<Value> = emails
        .chain(mobiles.iter().map(|who| row(("mobile", who))))
        .collect();
    Json(json!({"code": 0, "msg": "success", "data": {"user_list": rows}}))
}
