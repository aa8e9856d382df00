//! Everything the sandbox is, in one struct: who is there, and what has happened. Knows no HTTP.
//! Each part has a lock of its own that is held for microseconds and never across an await.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use super::SandboxTenant;
use super::clock::{Clock, log_digits};
use super::directory::Directory;
use super::faults::{Dice, Faults};
use super::person::{Person, head, hex};
use super::quota::Quota;
use super::record::Record;
use super::tokens::Tokens;

/// What an app must have to call `batch_get_id`.
pub(super) const SCOPE_CALL: &str = "contact:user.id:readonly";
/// What it must have to be told user IDs.
pub(super) const SCOPE_USER_ID: &str = "contact:user.employee_id:readonly";
/// Any of these lets it see a person's status.
pub(super) const SCOPES_STATUS: [&str; 4] = [
    "contact:user.employee:readonly",
    "contact:contact:access_as_app",
    "contact:contact:readonly",
    "contact:contact:readonly_as_app",
];

/// The first tenant may see statuses; the others may not, so that both can be seen at once.
const FIRST_SCOPES: &[&str] = &[SCOPE_CALL, SCOPE_USER_ID, "contact:user.employee:readonly"];
const OTHER_SCOPES: &[&str] = &[SCOPE_CALL, SCOPE_USER_ID];

/// The whole state.
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) tenants: Vec<Tenant>,
    pub(super) tokens: Mutex<Tokens>,
    pub(super) quota: Mutex<Quota>,
    pub(super) dice: Mutex<Dice>,
    pub(super) record: Mutex<Record>,
    answers: AtomicU64,
}

/// A tenant with its app and its people.
pub(super) struct Tenant {
    pub(super) app: SandboxTenant,
    pub(super) scopes: &'static [&'static str],
    pub(super) directory: Directory,
}

/// A lock that a panic elsewhere does not close: what it guards is consistent between statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(super) fn new(people: Vec<(String, Vec<Person>)>) -> Self {
        let tenants = people.into_iter().enumerate();
        let tenants: Vec<Tenant> = tenants
            .map(|(index, (name, people))| Tenant {
                directory: Directory::new(&name, people),
                scopes: if index == 0 {
                    FIRST_SCOPES
                } else {
                    OTHER_SCOPES
                },
                app: SandboxTenant {
                    app_id: format!("cli_{}", head(&hex(&["app_id", &name]), 16)),
                    app_secret: head(&hex(&["app_secret", &name]), 32),
                    name,
                },
            })
            .collect();
        let clock = Clock::start();
        let salt = clock.real().to_string();
        Self {
            record: Mutex::new(Record::new(tenants.len())),
            tokens: Mutex::new(Tokens::new(salt)),
            quota: Mutex::default(),
            dice: Mutex::new(Dice::new()),
            answers: AtomicU64::new(0),
            tenants,
            clock,
        }
    }

    /// How many people there are, all tenants together.
    pub(super) fn people(&self) -> usize {
        let counts = self.tenants.iter().map(|t| t.directory.people().len());
        counts.sum()
    }

    pub(super) fn faults(&self) -> Arc<Faults> {
        lock(&self.dice).faults()
    }

    pub(super) fn tenant(&self, index: Option<usize>) -> Option<&Tenant> {
        self.tenants.get(index?)
    }

    pub(super) fn tenant_named(&self, name: &str) -> Option<usize> {
        self.tenants
            .iter()
            .position(|tenant| tenant.app.name == name)
    }

    /// A log id of Feishu's shape: the time, then eighteen digits that never repeat in a run.
    pub(super) fn log_id(&self) -> String {
        let count = self.answers.fetch_add(1, Ordering::Relaxed);
        // An odd factor scatters the counter without making two of them equal.
        let scattered = count.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        format!("{}{scattered:018X}", log_digits(self.clock.shown()))
    }

    /// Changes switches, with what follows from them for the clock and the tokens.
    pub(super) fn set(&self, changes: &Map<String, Value>) -> Result<Arc<Faults>, String> {
        let (before, after) = {
            let mut dice = lock(&self.dice);
            self.check_tenants(&dice.faults().with(changes)?)?;
            dice.set(changes)?
        };
        self.clock.set_offset(after.clock_offset_seconds);
        if after.secret_change_kills_tokens {
            for (index, tenant) in self.tenants.iter().enumerate() {
                let name = &tenant.app.name;
                if before.secrets.get(name) != after.secrets.get(name) {
                    lock(&self.tokens).revoke(Some(index));
                }
            }
        }
        Ok(after)
    }

    fn check_tenants(&self, faults: &Faults) -> Result<(), String> {
        let named = faults.secrets.keys().chain(&faults.only_tenant);
        for name in named {
            if self.tenant_named(name).is_none() {
                return Err(self.no_such_tenant(name));
            }
        }
        Ok(())
    }

    pub(super) fn no_such_tenant(&self, name: &str) -> String {
        let names = self.tenants.iter().map(|tenant| tenant.app.name.as_str());
        let names: Vec<&str> = names.collect();
        format!(
            "there is no tenant {name:?}; there are {}",
            names.join(", ")
        )
    }

    /// Back to the switches of the start; tokens and records stay.
    pub(super) fn reset_faults(&self) {
        *lock(&self.dice) = Dice::new();
        self.clock.set_offset(0);
    }

    /// Back to the state of the start.
    pub(super) fn reset(&self) {
        self.reset_faults();
        lock(&self.tokens).clear();
        lock(&self.quota).clear();
        *lock(&self.record) = Record::new(self.tenants.len());
    }
}
