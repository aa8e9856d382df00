//! feishu-id: e-mail addresses and mobile numbers in, Feishu IDs out, over gRPC.
//!
//! One request's path: [`server`] accepts it sets its [`caller`] and [`deadline`] and counts its [`memory`], once the
//! [`callers`] know who that is; [`grpc`] checks it and what the caller may, and parses each [`identity`]; [`resolver`] asks for everybody once and says what the
//! rows mean; [`batch`] packs the keys into calls, each with a permit of [`quota`]; [`feishu`],
//! which is a [`directory`], makes the call with a token that [`coalesce`] lets it fetch once for
//! all.
//!
//! [`cache`] remembers answers, and [`store`] keeps them for the next process.
//!
//! Around it: [`hardening`] keeps the process's memory to itself; [`admin`] looks after it; [`audit`] says who asked for how much; [`app`] puts the parts together from the [`config`]; [`cli`] has the commands;
//! [`sandbox`] is a simulated Feishu that knows nothing of the rest; [`shutdown`] is how it all
//! ends. ARCHITECTURE.md says why, and who may import whom.

pub mod admin;
pub mod app;
pub mod audit;
pub mod backoff;
pub mod batch;
pub mod cache;
pub mod caller;
pub mod callers;
pub mod cli;
pub mod clock;
pub mod coalesce;
pub mod config;
pub mod deadline;
pub mod directory;
pub mod feishu;
pub mod grpc;
pub mod hardening;
pub mod http;
pub mod identity;
pub mod log_limit;
pub mod memory;
pub mod metrics;
pub mod pb;
pub mod quota;
pub mod resolver;
pub mod sandbox;
pub mod server;
pub mod shutdown;
pub mod store;
pub mod striped;
pub mod telemetry;
pub mod trace;
