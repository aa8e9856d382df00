//! The calls to one tenant's Feishu.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    about,
    histogram::{Histogram, IDENTIFIERS},
    label::{Grid, Label, label},
    registry::{Registry, Value},
};

label! {
    /// What is called.
    Endpoint {
        /// `batch_get_id`: who has these e-mail addresses and mobile numbers.
        Lookup = "lookup",
        /// The access token's.
        Token = "token",
    }
}

label! {
    /// What came of a call.
    CallResult {
        /// An answer.
        Ok = "ok",
        /// The rate limit.
        Throttled = "throttled",
        /// The month's calls are spent.
        MonthSpent = "month_spent",
        /// The access token was rejected, or given again after it had been.
        TokenRejected = "token_rejected",
        /// The app's ID or secret is wrong.
        BadCredentials = "bad_credentials",
        /// A scope is missing.
        ScopeMissing = "scope_missing",
        /// This kind of ID is not given to the app.
        IdKindRefused = "id_kind_refused",
        /// The app is disabled, or this server's address is denied.
        AppUnavailable = "app_unavailable",
        /// Feishu refuses the content.
        ContentRefused = "content_refused",
        /// No connection, or trouble of Feishu's own.
        Unavailable = "unavailable",
        /// No answer in time.
        TimedOut = "timed_out",
        /// An answer that makes no sense.
        InvalidResponse = "invalid_response",
    }
}

/// The handle of one tenant. Cloning gives the same one.
#[derive(Clone)]
pub struct Upstream(Arc<Tables>);

struct Tables {
    calls: Grid<Histogram>,
    identifiers: Histogram,
    refreshes: Grid<AtomicU64>,
}

impl Default for Upstream {
    fn default() -> Self {
        let (endpoints, results) = (Endpoint::ALL.len(), CallResult::ALL.len());
        Self(Arc::new(Tables {
            calls: Grid::new(endpoints, results, Histogram::default),
            identifiers: Histogram::new(&IDENTIFIERS),
            refreshes: Grid::new(1, results, AtomicU64::default),
        }))
    }
}

impl Upstream {
    /// The handle of this tenant.
    pub fn new(registry: &Registry, tenant: &str) -> Self {
        let upstream = Self::default();
        let (calls, name) = (upstream.clone(), tenant.to_owned());
        registry.add(&about::UPSTREAM_CALLS, move |sink| {
            calls.each_call(&name, |labels, calls| {
                sink.put(labels, Value::Counter(calls.count()));
            });
        });
        let (calls, name) = (upstream.clone(), tenant.to_owned());
        registry.add(&about::UPSTREAM_CALL_DURATION, move |sink| {
            calls.each_call(&name, |labels, calls| {
                sink.put(labels, Value::Histogram(calls));
            });
        });
        let (Self(tables), name) = (upstream.clone(), tenant.to_owned());
        registry.add(&about::UPSTREAM_CALL_IDENTIFIERS, move |sink| {
            let identifiers = Value::Histogram(&tables.identifiers);
            sink.put(&[("tenant", &name)], identifiers);
        });
        let (refreshes, name) = (upstream.clone(), tenant.to_owned());
        registry.add(&about::TOKEN_REFRESHES, move |sink| {
            for result in CallResult::ALL {
                let count = refreshes.refreshes(*result);
                if count > 0 || *result == CallResult::Ok {
                    let labels = [("tenant", name.as_str()), ("result", result.text())];
                    sink.put(&labels, Value::Counter(count));
                }
            }
        });
        upstream
    }

    /// A call has ended.
    pub fn called(&self, endpoint: Endpoint, result: CallResult, took: Duration) {
        if let Some(calls) = self.0.calls.get(endpoint.index(), result.index()) {
            calls.record_time(took);
        }
    }

    /// A lookup call with so many identifiers leaves.
    pub fn carries(&self, identifiers: usize) {
        let identifiers = u64::try_from(identifiers).unwrap_or(u64::MAX);
        self.0.identifiers.record(identifiers);
    }

    /// A token has been asked for.
    pub fn refreshed(&self, result: CallResult) {
        if let Some(refreshes) = self.0.refreshes.get(0, result.index()) {
            refreshes.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn refreshes(&self, result: CallResult) -> u64 {
        let refreshes = self.0.refreshes.get(0, result.index());
        refreshes.map_or(0, |refreshes| refreshes.load(Ordering::Relaxed))
    }

    /// Each endpoint with every result that it has had, and with success.
    fn each_call(&self, tenant: &str, mut show: impl FnMut(&[(&'static str, &str)], &Histogram)) {
        for endpoint in Endpoint::ALL {
            for result in CallResult::ALL {
                let Some(calls) = self.0.calls.get(endpoint.index(), result.index()) else {
                    continue;
                };
                if calls.count() > 0 || *result == CallResult::Ok {
                    let labels = [
                        ("tenant", tenant),
                        ("endpoint", endpoint.text()),
                        ("result", result.text()),
                    ];
                    show(&labels, calls);
                }
            }
        }
    }
}
