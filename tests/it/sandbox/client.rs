//! A plain client of the sandbox: what another program would send, nothing of the adapter.

use std::path::PathBuf;
use std::time::Duration;

use feishu_id::sandbox::{Sandbox, SandboxSettings, SandboxTenant};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

pub const TENANT_TOKEN: &str = "/open-apis/auth/v3/tenant_access_token/internal";
pub const APP_TOKEN: &str = "/open-apis/auth/v3/app_access_token/internal";
pub const BATCH_GET_ID: &str = "/open-apis/contact/v3/users/batch_get_id";

/// Somebody ordinary in each tenant, and the one who is in both.
pub const WEI: &str = "wei.wang@acme.example";
pub const WEI_MOBILE: &str = "+8613000000000";
pub const BOTH: &str = "yiming.luo@both.example";

/// A sandbox of one's own and a client for it.
pub struct Client {
    pub sandbox: Sandbox,
    pub http: reqwest::Client,
}

/// An answer with what tests look at.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub code: Option<i64>,
    pub content_type: String,
    pub log_id: String,
    pub limit: Option<String>,
    pub reset: Option<String>,
    pub date: String,
    pub text: String,
    pub body: Value,
}

impl Answer {
    pub fn rows(&self) -> &[Value] {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self.body["data"]["user_list"].as_array().unwrap()
    }

    /// The status and the code, which say most.
    pub fn verdict(&self) -> (u16, i64) {
        (self.status, self.code.unwrap_or(-1))
    }
}

impl Client {
    pub async fn start() -> Self {
        Self::with(SandboxSettings::default()).await
    }

    pub async fn with(settings: SandboxSettings) -> Self {
        let sandbox = Sandbox::start(settings).await.unwrap();
        Self {
            sandbox,
            http: http(),
        }
    }

    pub async fn with_directory(path: PathBuf) -> Self {
        let directory = Some(path);
        Self::with(SandboxSettings {
            directory,
            ..SandboxSettings::default()
        })
        .await
    }

    pub fn acme(&self) -> SandboxTenant {
        self.sandbox.tenants()[0].clone()
    }

    pub fn globex(&self) -> SandboxTenant {
        self.sandbox.tenants()[1].clone()
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.sandbox.base_url());
        self.http.request(method, url)
    }

    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    /// Asks for a token and gives the whole answer.
    pub async fn token_answer(&self, tenant: &SandboxTenant) -> Answer {
        let body = json!({"app_id": tenant.app_id, "app_secret": tenant.app_secret});
        send(self.post(TENANT_TOKEN, &body)).await
    }

    pub async fn token(&self, tenant: &SandboxTenant) -> String {
        let answer = self.token_answer(tenant).await;
        assert_eq!(answer.code, Some(0), "{}", answer.text);
        let token = answer.body["tenant_access_token"].as_str();
        token.unwrap().to_owned()
    }

    /// `query` is what follows the path, with its question mark.
    pub fn lookup(&self, token: &str, query: &str, body: &Value) -> RequestBuilder {
        self.post(&format!("{BATCH_GET_ID}{query}"), body)
            .bearer_auth(token)
    }

    /// Asks `batch_get_id` as the first tenant's app.
    pub async fn ask(&self, query: &str, body: &Value) -> Answer {
        let token = self.token(&self.acme()).await;
        send(self.lookup(&token, query, body)).await
    }

    pub async fn set(&self, switches: &Value) {
        let answer = self.control(Method::POST, "/faults", Some(switches)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    pub async fn control(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("{}{path}", self.sandbox.control_url());
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        send(request).await
    }

    pub async fn stats(&self) -> Value {
        self.control(Method::GET, "/stats", None).await.body
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this client is not the adapter's, and its timeout is set here"
)]
fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .no_proxy()
        .build()
        .unwrap()
}

pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let header = |name: &str| {
        let value = headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    Answer {
        status,
        code: body["code"].as_i64(),
        content_type: header("content-type").unwrap_or_default(),
        log_id: header("x-tt-logid").unwrap_or_default(),
        limit: header("x-ogw-ratelimit-limit"),
        reset: header("x-ogw-ratelimit-reset"),
        date: header("date").unwrap_or_default(),
        text,
        body,
    }
}

/// An answer's `user_id`s, `-` where there is none.
pub fn ids(rows: &[Value]) -> Vec<&str> {
    let ids = rows.iter().map(|row| row["user_id"].as_str());
    ids.map(|id| id.unwrap_or("-")).collect()
}
