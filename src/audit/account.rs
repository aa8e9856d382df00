//! What one caller has asked for: a table of counts for each tenant, which a request adds to without a
//! lock.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;

use super::{Outcome, Rpc};

/// Stands for the tenant where none may be named: the caller may not ask for it, or made it up.
const NO_TENANT: &str = "-";

/// Most tenants that one account tells apart; more than anybody configures.
const MAX_TENANTS: usize = 1000;

/// One caller's. Cloning gives another handle of the same.
#[derive(Clone)]
pub struct Account(Arc<Book>);

struct Book {
    caller: String,
    /// By tenant. Copied when one is added, which is seldom.
    pages: ArcSwap<Pages>,
}

type Pages = BTreeMap<Box<str>, Arc<Page>>;

/// One tenant's counts.
#[derive(Default)]
struct Page([[Cell; Outcome::ALL.len()]; Rpc::ALL.len()]);

#[derive(Default)]
struct Cell {
    count: AtomicU64,
    /// How much of it is written down.
    written: AtomicU64,
}

/// What became of the identifiers of one batch.
#[derive(Debug, Default)]
pub struct Counts([u64; Outcome::ALL.len()]);

impl Counts {
    /// One more.
    #[inline]
    pub fn add(&mut self, outcome: Outcome) {
        if let Some(count) = self.0.get_mut(outcome as usize) {
            *count += 1;
        }
    }
}

impl Account {
    pub(super) fn new(caller: &str) -> Self {
        Self(Arc::new(Book {
            caller: caller.to_owned(),
            pages: ArcSwap::default(),
        }))
    }

    pub(super) fn caller(&self) -> &str {
        &self.0.caller
    }

    /// Books one request. `tenant` must be one that is configured, and that the caller may ask for.
    pub fn request(&self, rpc: Rpc, tenant: Option<&str>, outcome: Outcome) {
        self.with_page(tenant.unwrap_or(NO_TENANT), |page| {
            page.add(rpc, outcome, 1);
        });
    }

    /// Books the identifiers of a batch; of the tenant the same goes.
    #[inline]
    pub fn identifiers(&self, rpc: Rpc, tenant: &str, counts: &Counts) {
        self.with_page(tenant, |page| {
            for (outcome, count) in Outcome::ALL.into_iter().zip(counts.0) {
                if count > 0 {
                    page.add(rpc, outcome, count);
                }
            }
        });
    }

    fn with_page(&self, tenant: &str, add: impl Fn(&Page)) {
        if let Some(page) = self.0.pages.load().get(tenant) {
            return add(page);
        }
        self.0.pages.rcu(|pages| {
            let mut pages = Pages::clone(pages);
            let name = if pages.len() < MAX_TENANTS {
                tenant
            } else {
                NO_TENANT
            };
            pages.entry(name.into()).or_default();
            pages
        });
        let pages = self.0.pages.load();
        if let Some(page) = pages.get(tenant).or_else(|| pages.get(NO_TENANT)) {
            add(page);
        }
    }

    /// How many identifiers, by what became of them.
    pub(super) fn each_outcome(&self, mut show: impl FnMut(Outcome, u64)) {
        let pages = self.0.pages.load();
        for outcome in [
            Outcome::Resolved,
            Outcome::NotFound,
            Outcome::Ambiguous,
            Outcome::Invalid,
            Outcome::Failed,
        ] {
            let count = |page: &Arc<Page>| page.of(outcome);
            show(outcome, pages.values().map(count).sum());
        }
    }

    /// A line for each count that has moved since the last time.
    pub(super) fn write(&self) {
        let caller = self.caller();
        for (tenant, page) in &**self.0.pages.load() {
            let rows = Rpc::ALL.into_iter().zip(&page.0);
            let cells = rows.flat_map(|(rpc, row)| {
                let cells = Outcome::ALL.into_iter().zip(row);
                cells.map(move |(outcome, cell)| (rpc, outcome, cell))
            });
            for (rpc, outcome, cell) in cells {
                let count = cell.settle();
                if count > 0 {
                    let (tenant, rpc, outcome) = (&**tenant, rpc.text(), outcome.text());
                    tracing::info!(target: "audit", caller, tenant, rpc, outcome, count, "asked");
                }
            }
        }
    }
}

impl Page {
    fn add(&self, rpc: Rpc, outcome: Outcome, more: u64) {
        let row = self.0.get(rpc as usize);
        if let Some(cell) = row.and_then(|row| row.get(outcome as usize)) {
            cell.count.fetch_add(more, Ordering::Relaxed);
        }
    }

    fn of(&self, outcome: Outcome) -> u64 {
        let cells = self.0.iter().filter_map(|row| row.get(outcome as usize));
        cells.map(|cell| cell.count.load(Ordering::Relaxed)).sum()
    }
}

impl Cell {
    /// What has come since the last time. Each is written down once, whoever writes.
    fn settle(&self) -> u64 {
        let count = self.count.load(Ordering::Relaxed);
        let written = self.written.fetch_max(count, Ordering::Relaxed);
        count.saturating_sub(written)
    }
}
