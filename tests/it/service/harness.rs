//! The service on a sandbox of its own, and what every test asks of both.

use std::{collections::BTreeMap, time::Duration};

use feishu_id::{
    app::{self, AppError, Changes, InProcess},
    config::{Config, TenantConfig},
    pb::identity::{
        GetStatusRequest, GetStatusResponse, Identifier, Outcome, Resolution,
        ResolveUserIdsRequest, TenantStatus, admin_service_client::AdminServiceClient,
        identifier::Kind, identity_service_client::IdentityServiceClient,
    },
    sandbox::{Sandbox, SandboxSettings},
};
use serde_json::Value;
use tonic::{Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

pub struct Service {
    pub sandbox: Sandbox,
    config: Config,
    /// None only while it starts anew.
    inside: Option<InProcess>,
}

impl Service {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With other settings than the default.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let sandbox = Sandbox::start(SandboxSettings::default()).await.unwrap();
        let tenants = sandbox.tenants().iter().enumerate().map(|(n, tenant)| {
            let secret = tenant.app_secret.clone().into();
            let base_url = sandbox.base_url();
            TenantConfig {
                default: n == 0,
                ..TenantConfig::new(&tenant.name, &tenant.app_id, secret, &base_url)
            }
        });
        let mut config = Config {
            tenants: tenants.collect(),
            ..Config::default()
        };
        change(&mut config);
        let inside = app::in_process(config.clone()).await.unwrap();
        Self {
            sandbox,
            config,
            inside: Some(inside),
        }
    }

    /// The same service started anew on the same sandbox: without a token, without memory but for what
    /// is stored.
    pub async fn restart(&mut self) {
        if let Some(before) = self.inside.take() {
            before.close().await;
        }
        self.until_the_store_is_free().await;
        self.inside = Some(app::in_process(self.config.clone()).await.unwrap());
    }

    /// The same as another configuration has it.
    pub async fn restart_as(&mut self, config: Config) {
        self.config = config;
        self.restart().await;
    }

    /// What is left of the one before ends in tasks of its own.
    async fn until_the_store_is_free(&self) {
        let Some(dir) = &self.config.data.dir else {
            return;
        };
        let lock = std::fs::File::open(dir.join("answers.lock")).unwrap();
        for _ in 0..100 {
            if lock.try_lock().is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        unreachable!("the store is still in use");
    }

    /// As it is configured.
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// Goes on with another configuration.
    pub async fn reload(&self, config: &Config) -> Result<Changes, AppError> {
        self.inside.as_ref().unwrap().reload(config).await
    }

    pub fn channel(&self) -> Channel {
        self.inside.as_ref().unwrap().channel.clone()
    }

    pub fn client(&self) -> IdentityServiceClient<Channel> {
        IdentityServiceClient::new(self.channel())
    }

    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel())
    }

    /// How the service is.
    pub async fn status(&self) -> GetStatusResponse {
        let request = GetStatusRequest::default();
        self.admin().get_status(request).await.unwrap().into_inner()
    }

    /// How its default tenant is.
    pub async fn default_tenant(&self) -> TenantStatus {
        let mut tenants = self.status().await.tenants.into_iter();
        tenants.find(|tenant| tenant.is_default).unwrap()
    }

    /// One unary call, with time enough.
    pub async fn ask(&self, who: Vec<Identifier>) -> Result<Vec<Resolution>, Status> {
        self.call(request(who), Duration::from_secs(20)).await
    }

    pub async fn call(
        &self,
        request: ResolveUserIdsRequest,
        timeout: Duration,
    ) -> Result<Vec<Resolution>, Status> {
        let mut request = Request::new(request);
        request.set_timeout(timeout);
        let response = self.client().resolve_user_ids(request).await?;
        Ok(response.into_inner().resolutions)
    }

    /// Throws the sandbox's switches.
    pub async fn faults(&self, switches: Value) {
        let answer = control(&self.sandbox, "/faults", Some(switches)).await;
        assert!(answer.get("not_at_default").is_some(), "{answer}");
    }

    pub async fn revoke(&self) {
        control(&self.sandbox, "/tokens/revoke", Some(Value::Null)).await;
    }

    /// One of the sandbox's counts.
    pub async fn count(&self, name: &str) -> u64 {
        control(&self.sandbox, "/stats", None).await[name]
            .as_u64()
            .unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's client needs no limits")]
async fn control(sandbox: &Sandbox, path: &str, post: Option<Value>) -> Value {
    let url = format!("{}{path}", sandbox.control_url().trim_end_matches('/'));
    let client = reqwest::Client::new();
    let request = match post {
        Some(body) => client.post(url).json(&body),
        None => client.get(url),
    };
    let response = request.send().await.unwrap();
    assert!(response.status().is_success(), "{path}");
    response.json().await.unwrap()
}

/// A request that wants new answers: what is tested is the way to Feishu, unless a test says
/// otherwise.
pub fn request(identifiers: Vec<Identifier>) -> ResolveUserIdsRequest {
    ResolveUserIdsRequest {
        identifiers,
        max_age: Some(prost_types::Duration::default()),
        ..ResolveUserIdsRequest::default()
    }
}

/// A request that takes what is remembered.
pub fn relaxed(identifiers: Vec<Identifier>) -> ResolveUserIdsRequest {
    ResolveUserIdsRequest {
        max_age: None,
        ..request(identifiers)
    }
}

pub fn email(text: &str) -> Identifier {
    Identifier {
        kind: Some(Kind::Email(text.to_owned())),
    }
}

pub fn mobile(text: &str) -> Identifier {
    Identifier {
        kind: Some(Kind::Mobile(text.to_owned())),
    }
}

/// Different people of the sandbox's load range, half by e-mail and half by mobile.
pub fn people(range: std::ops::Range<usize>) -> Vec<Identifier> {
    let person = |n: usize| match n % 2 {
        0 => email(&format!("load-{n}@acme.example")),
        _ => mobile(&format!("+86199{n:08}")),
    };
    range.map(person).collect()
}

pub fn outcomes(resolutions: &[Resolution]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for resolution in resolutions {
        let outcome = Outcome::try_from(resolution.outcome).unwrap();
        *counts.entry(outcome.as_str_name()).or_default() += 1;
    }
    counts
}

/// The reason in the status' one `ErrorInfo`.
pub fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, "feishu-id");
    info.reason
}
