//! A Feishu that puts whatever it is asked, and whoever asks, into every part of its answers. Each of
//! its answers is at a base URL of its own, so that each is a tenant's.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::marks;

/// One way to answer.
#[derive(Clone)]
pub enum Way {
    /// The token request is refused: status and code.
    NoToken(u16, i64),
    /// The token request is answered like this.
    Token(u16, Value),
    /// The lookup is refused: status and code.
    Refuses(u16, i64),
    /// The lookup is answered like this.
    Lookup(u16, Value),
    /// The lookup is answered with a page.
    Page(u16),
}

pub fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for code in [10014, 10003, 99_991_543, 99_991_400, 2200, 7_654_321] {
        ways.push(Way::NoToken(400, code));
    }
    for answer in [
        json!({"code": 0, "tenant_access_token": format!("{} \n", marks::TOKEN), "expire": 7200}),
        json!({"code": 0, "tenant_access_token": marks::TOKEN, "expire": marks::SECRET}),
        json!({"code": marks::SECRET, "msg": marks::TOKEN}),
        json!([marks::TOKEN]),
    ] {
        ways.push(Way::Token(200, answer));
    }
    for code in [
        99_991_663, 99_991_661, 99_991_672, 99_992_402, 40_001, 9_499, 99_991_400, 99_991_403,
        99_991_662, 99_991_401, 41_050, 1_663, 2_200, 7_654_321,
    ] {
        ways.push(Way::Refuses(400, code));
    }
    ways.push(Way::Refuses(200, 99_991_672));
    ways.push(Way::Refuses(500, 2_200));
    let row = json!({
        "user_id": "zq7uid1", "email": marks::EMAIL, "mobile": marks::NUMBER,
        "name": "Zq7name", "status": {"is_frozen": "zq7frozen"},
    });
    for answer in [
        json!({"code": 0, "data": {"user_list": [row]}}),
        json!({"code": 0, "data": {"user_list": {marks::EMAIL: row}}}),
        json!({"code": 0, "data": marks::EMAIL}),
        json!({"code": 0, "data": {"user_list": [{"user_id": "zq7uid1", "email": marks::EMAIL},
            {"user_id": "zq7uid2", "email": marks::EMAIL}, {"user_id": "zq7uid3", "email": "zq7stranger@x.example"}]}}),
        json!({"code": marks::EMAIL}),
        json!({"code": 1, "error": marks::EMAIL}),
        json!(marks::EMAIL),
    ] {
        ways.push(Way::Lookup(200, answer));
    }
    for status in [200, 302, 404, 407, 429, 502] {
        ways.push(Way::Page(status));
    }
    ways
}

/// Serves all of them; ends when dropped.
pub struct Hostile {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Hostile {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::new(ways()));
        let task = tokio::spawn(async move {
            let _ended = axum::serve(listener, router).await;
        });
        Self { address, task }
    }

    /// Where the way of that number is.
    pub fn base_url(&self, way: usize) -> String {
        format!("http://{}/{way}", self.address)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(ways): State<Arc<Vec<Way>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let number = uri
        .path()
        .split('/')
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap();
    let about_token = uri.path().contains("tenant_access_token");
    let body = String::from_utf8_lossy(&body);
    let heard = format!(
        "{uri} {headers:?} {body} {} {}",
        marks::SECRET,
        marks::TOKEN
    );
    let (status, body) = match (&ways[number], about_token) {
        (Way::NoToken(status, code), true) | (Way::Refuses(status, code), false) => {
            (*status, refusal(*code, &heard).to_string())
        }
        (Way::Token(status, answer), true) | (Way::Lookup(status, answer), false) => {
            (*status, answer.to_string())
        }
        (Way::Page(status), false) => (*status, format!("<html>{heard}</html>")),
        (_, true) => (
            200,
            json!({"code": 0, "tenant_access_token": marks::TOKEN, "expire": 7200}).to_string(),
        ),
        (_, false) => (500, heard),
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in [
        ("x-tt-logid", marks::EMAIL),
        ("x-request-id", marks::NUMBER),
        ("x-ogw-ratelimit-reset", "1"),
        ("location", "http://127.0.0.1:9/zq7mail1@zq7dom.example"),
        ("server", marks::SECRET),
    ] {
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}

/// A refusal that repeats everything everywhere.
fn refusal(code: i64, heard: &str) -> Value {
    json!({
        "code": code,
        "msg": heard,
        "error": {
            "log_id": "zq7mail1@zq7dom.example-0123456789",
            "message": heard,
            "troubleshooter": heard,
            "permission_violations": [
                {"type": heard, "subject": marks::EMAIL, "description": heard},
                {"type": heard, "subject": marks::NUMBER, "description": heard},
            ],
            "field_violations": [
                {"field": marks::EMAIL, "value": marks::EMAIL, "description": heard},
                {"field": "emails[0]", "value": marks::NUMBER, "description": heard},
            ],
            "helps": [
                {"url": "https://open.feishu.cn/?q=zq7mail1@zq7dom.example", "description": heard},
                {"url": "https://open.feishu.cn/?q=zq7mail1%40zq7dom.example", "description": heard},
            ],
        },
    })
}
