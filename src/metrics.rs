//! What the service counts about itself, for Prometheus: each part records into a handle of its own,
//! `http` shows them all. Knows no part; `app` makes the handles and hands them in.
//!
//! - [`about`] has every metric with its name, help and unit; nothing is named anywhere else.
//! - A handle is a table made beforehand and indexed by small enums: recording is one or two relaxed
//!   atomic additions, no lock and no look-up by name. The default handle is registered nowhere.
//! - What somebody else keeps anyway (entries of a cache, the depth of a queue) is read when it is
//!   asked for: [`Registry::gauge`], [`Registry::counter`].
//! - No label holds anything of a person. Tenants are bounded by the configuration, RPCs by the
//!   protos; whatever else is called counts as `other`.

pub mod about;
mod arrivals;
mod histogram;
mod identifiers;
mod label;
mod month;
mod process;
mod registry;
mod reload;
mod rpc;
mod upstream;
mod wait;
mod watch;

pub use about::About;
pub use arrivals::{Arrivals, HandshakeFailure, Refusal};
pub use identifiers::{Identifiers, Outcome, Source, Tally};
pub use month::{MonthOfCalls, watch_month};
pub use process::watch_process;
pub use registry::{CONTENT_TYPE, Registry, Shown};
pub use reload::{ReloadResult, Reloads};
pub use rpc::{Rpc, Rpcs, code_name};
pub use upstream::{CallResult, Endpoint, Upstream};
pub use wait::Waited;
pub use watch::watch;
