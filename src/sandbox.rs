//! A simulated Feishu on real HTTP: tokens, `batch_get_id`, quotas, and every fault that a client
//! should survive. It is a program of its own that happens to live in this binary: it imports
//! nothing of the rest, so that a misunderstanding of Feishu cannot be on both sides at once. The
//! commands `sandbox` and `serve --sandbox` start it, and tests do.
//!
//! - **The API** (`base_url`): `POST /open-apis/auth/v3/tenant_access_token/internal`,
//!   `…/app_access_token/internal` and `/open-apis/contact/v3/users/batch_get_id`.
//! - **The control address** (`control_url`): `GET` and `POST /faults`, `DELETE /faults`,
//!   `GET /stats`, `GET /history`, `POST /tokens/revoke`, `POST /reset`.
//! - **People**: about 200 in the tenants `acme` and `globex`, or those of a CSV file. In each
//!   tenant there is also a synthetic range for load tests: `load-<n>@<tenant>.example` and
//!   `+86199<n in eight digits>` are one person for every n below a million.
//!
//! One request: `listener` → `api` (the order of things) → `gateway` (token, scope, quota) →
//! `auth` or `lookup` (the answer) → `deliver` (latency, faults) → `record` (stats, history).

mod api;
mod auth;
mod banner;
mod clock;
mod control;
mod csv;
mod deliver;
mod directory;
mod faults;
mod gateway;
mod listener;
mod lookup;
mod peaks;
mod person;
mod quota;
mod record;
mod reply;
mod seed;
mod tokens;
mod world;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use self::world::World;

/// How to start it.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Where the API listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where the switches, statistics and history are; port 0 picks a free one.
    pub control_listen: SocketAddr,
    /// A CSV file with the people; none: the seeded ones.
    pub directory: Option<PathBuf>,
}

/// A running simulated Feishu. Dropping it stops it and closes its connections.
pub struct Sandbox {
    world: Arc<World>,
    address: SocketAddr,
    control_address: SocketAddr,
    tenants: Vec<SandboxTenant>,
    examples: Vec<Example>,
    // Holds the accept loops, which hold their connections: dropped, all of them end.
    _loops: JoinSet<()>,
}

/// A tenant and the one app it has.
#[derive(Clone, PartialEq, Eq)]
pub struct SandboxTenant {
    /// Its name in the directory, such as `acme`.
    pub name: String,
    /// `cli_` and sixteen digits.
    pub app_id: String,
    /// The app's secret, worth nothing outside the sandbox.
    pub app_secret: String,
}

/// Somebody to ask for.
#[derive(Clone, PartialEq, Eq)]
pub struct Example {
    /// Whom to ask.
    pub tenant: String,
    /// An e-mail or a mobile number.
    pub identifier: String,
    /// The outcome to expect, in words.
    pub what: String,
}

/// Why the sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address is taken or not ours: choose another.
    #[error("the sandbox cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The directory file is not there or may not be read.
    #[error("the sandbox cannot read the directory {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory file has a mistake.
    #[error("{}:{line}: {problem}", path.display())]
    Directory {
        /// The file.
        path: PathBuf,
        /// The line of the mistake, counted from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
}

impl Default for SandboxSettings {
    fn default() -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: loopback,
            control_listen: loopback,
            directory: None,
        }
    }
}

impl Sandbox {
    /// Reads the people, binds both addresses and serves until dropped. A port is only bound once
    /// everything else is in order. Cancel-safe: nothing stays behind.
    pub async fn start(settings: SandboxSettings) -> Result<Self, SandboxError> {
        let people = match &settings.directory {
            // Blocking is fine: it happens once, before anything is served.
            Some(path) => csv::load(path)?,
            None => seed::tenants(),
        };
        let world = Arc::new(World::new(people));
        let (api, address) = bind(settings.listen).await?;
        let (control, control_address) = bind(settings.control_listen).await?;
        let mut loops = JoinSet::new();
        loops.spawn(listener::accept(api, api::router(Arc::clone(&world))));
        let control_routes = control::router(Arc::clone(&world));
        loops.spawn(listener::accept(control, control_routes));
        let tenants = world.tenants.iter().map(|tenant| tenant.app.clone());
        Ok(Self {
            address,
            control_address,
            tenants: tenants.collect(),
            examples: banner::examples(&world),
            world,
            _loops: loops,
        })
    }

    /// Where the API is: what goes into `FEISHU_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the switches, statistics and history are.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control_address)
    }

    /// The tenants, in the order of the directory.
    pub fn tenants(&self) -> &[SandboxTenant] {
        &self.tenants
    }

    /// Some people to ask for: one for each outcome that the directory can show.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// What the `sandbox` command prints: that this is a simulation, the settings for a shell, whom
    /// to ask for, and how to make trouble.
    pub fn banner(&self) -> String {
        banner::text(self)
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), SandboxError> {
    let failed = |source| SandboxError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("address", &self.address)
            .field("control_address", &self.control_address)
            .field("people", &self.world.people())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SandboxTenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxTenant")
            .field("name", &self.name)
            .field("app_id", &self.app_id)
            .field("app_secret", &"****")
            .finish()
    }
}

impl fmt::Debug for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Example")
            .field("tenant", &self.tenant)
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_tenants_secret_stays_out_of_its_debug_form() {
        let tenant = SandboxTenant {
            name: "acme".to_owned(),
            app_id: "cli_1".to_owned(),
            app_secret: "hush".to_owned(),
        };
        let text = format!("{tenant:?}");
        assert!(text.contains("cli_1") && !text.contains("hush"), "{text}");
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named_in_the_error() {
        let first = Sandbox::start(SandboxSettings::default()).await.unwrap();
        let settings = SandboxSettings {
            listen: first.address,
            ..SandboxSettings::default()
        };
        let error = Sandbox::start(settings).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&first.address.to_string()), "{text}");
    }
}
