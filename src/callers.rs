//! Who may call, and what each caller may ask for. `app` fills it from the configuration; the server's
//! gate asks it who somebody is, `grpc` what they may. Knows no gRPC, no tenant and no configuration.
//!
//! As long as no caller is configured everybody is one and the same, the anonymous caller, who may ask
//! for everything. With the first caller that is configured the door closes: whoever is none of them may
//! nothing, and no reload opens it again.
//!
//! A key is 256 random bits, so it cannot be guessed and needs no slow hash: the configuration has its
//! SHA-256. Each presented key is hashed and compared with *every* known hash, in constant time, so that
//! how long it takes tells nothing of whose it nearly was; but first with that of whoever came last by the
//! same connection, which tells only its holder.

mod bucket;
mod key;
mod rights;
mod table;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::{
    audit::{Account, Audit, Why},
    caller::{CallerId, CertificateNames},
};

use bucket::Bucket;
use table::Table;

pub use bucket::Rate;
pub use key::{Key, KeyHash, NoRandomness};
pub use rights::{Rights, Tenants};

/// What everybody is called while no caller is configured.
pub const ANONYMOUS: &str = "anonymous";

/// One caller, as configured.
#[derive(Clone, Debug)]
pub struct CallerSettings {
    /// What logs and metrics call it.
    pub name: String,
    /// The hashes of its keys.
    pub key_hashes: Vec<KeyHash>,
    /// The names of its client certificates: each is nobody else's.
    pub certificate_names: Vec<String>,
    /// What it may ask for.
    pub rights: Rights,
    /// How much it may ask for; none: as much as it likes.
    pub rate: Option<Rate>,
}

/// Everybody who may call. Cloning gives another handle of the same.
#[derive(Clone)]
pub struct Callers(Arc<Shared>);

struct Shared {
    table: ArcSwap<Table>,
    /// What outlives a reload, by the caller's name.
    lasting: Mutex<BTreeMap<String, Arc<Lasting>>>,
    audit: Audit,
}

/// What a caller keeps whatever is configured.
pub(in crate::callers) struct Lasting {
    /// Whom fairness counts as one.
    id: CallerId,
    bucket: Bucket,
    account: Account,
}

/// Whom a request is from, by what they have shown. Cloning gives another handle of the same.
#[derive(Clone)]
pub struct Entered(Arc<Inside>);

struct Inside {
    caller: Arc<Caller>,
    proof: Proof,
    /// Of which table that is true.
    edition: u64,
    peer: Option<IpAddr>,
    audit: Audit,
}

/// Whoever comes by one connection: mostly the same caller again and again, with the same key.
pub struct Visitor {
    callers: Callers,
    certificate: Option<CertificateNames>,
    peer: Option<IpAddr>,
    /// Who came last. Somebody known is handed on by this connection's own handle: a count of handles
    /// that all connections share would have their threads wait for each other.
    last: RefCell<Option<Entered>>,
}

/// Somebody who may call.
pub struct Caller {
    name: String,
    is_anonymous: bool,
    rights: Rights,
    rate: Option<Rate>,
    lasting: Arc<Lasting>,
}

/// What a request shows of whom it is from.
#[derive(Clone, Default)]
pub struct Proof {
    /// The hash of the key that it brings.
    pub key: Option<KeyHash>,
    /// What the client's certificate says, if TLS has verified one.
    pub certificate: Option<CertificateNames>,
}

impl Default for Callers {
    /// Everybody may everything.
    fn default() -> Self {
        Self::new(Audit::default())
    }
}

impl Callers {
    /// Everybody may everything, until somebody is configured.
    pub fn new(audit: Audit) -> Self {
        let anonymous = Lasting::new(CallerId::default(), &audit, ANONYMOUS);
        Self(Arc::new(Shared {
            table: ArcSwap::from_pointee(Table::open(Arc::new(anonymous))),
            lasting: Mutex::default(),
            audit,
        }))
    }

    /// From now on these are all the callers. Who was one and is none any more is refused from the next
    /// request on, and from the next batch of a stream. The last one gone does not open the door: then
    /// nobody may call.
    ///
    /// A caller who stays, by name, keeps what they owe of their rate, and their turn in the queue.
    pub fn replace(&self, callers: Vec<CallerSettings>) {
        let mut lasting = self.lasting();
        let before = self.0.table.load();
        if callers.is_empty() && before.is_open() {
            return;
        }
        let callers = callers.into_iter().map(|settings| {
            let name = settings.name.clone();
            let number = lasting.len();
            let lasting = lasting.entry(name.clone()).or_insert_with(|| {
                let id = CallerId::configured(number);
                Arc::new(Lasting::new(id, &self.0.audit, &name))
            });
            (settings, lasting.clone())
        });
        let table = Table::closed(before.edition() + 1, callers);
        self.0.table.store(Arc::new(table));
    }

    /// Whether everybody may call.
    pub fn is_open(&self) -> bool {
        self.0.table.load().is_open()
    }

    /// Who this is.
    ///
    /// # Errors
    /// Why nobody who may call.
    pub fn enter(&self, proof: Proof, peer: Option<IpAddr>) -> Result<Entered, Why> {
        let table = self.0.table.load();
        Ok(Entered(Arc::new(Inside {
            caller: table.find(&proof)?,
            proof,
            edition: table.edition(),
            peer,
            audit: self.0.audit.clone(),
        })))
    }

    /// Whoever comes by a connection with this certificate, from there.
    pub fn visitor(&self, certificate: Option<CertificateNames>, peer: Option<IpAddr>) -> Visitor {
        Visitor {
            callers: self.clone(),
            certificate,
            peer,
            last: RefCell::default(),
        }
    }

    /// Who that is by now, of whom it was found out earlier.
    ///
    /// # Errors
    /// If they may not call any more, which is told as at the door.
    pub fn still(&self, entered: &Entered) -> Result<Option<Entered>, Why> {
        let Entered(inside) = entered;
        if self.0.table.load().edition() == inside.edition {
            return Ok(None);
        }
        self.enter(inside.proof.clone(), inside.peer)
            .map(Some)
            .inspect_err(|why| entered.refused(*why))
    }

    /// Where refusals are told.
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    fn lasting(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Lasting>>> {
        // Whoever panics under it leaves at worst somebody who is not used.
        self.0
            .lasting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lasting {
    fn new(id: CallerId, audit: &Audit, name: &str) -> Self {
        Self {
            id,
            bucket: Bucket::new(Instant::now()),
            account: audit.open(name),
        }
    }
}

impl Visitor {
    /// Who this is, by the hash of the key that they show, if any: as long as everybody may call it is not
    /// looked at.
    ///
    /// # Errors
    /// Why nobody who may call.
    pub fn enter(
        &self,
        key: impl FnOnce() -> Result<Option<KeyHash>, Why>,
    ) -> Result<Entered, Why> {
        let table = self.callers.0.table.load();
        let key = if table.is_open() { None } else { key()? };
        let mut last = self.last.borrow_mut();
        if let Some(entered) = &*last
            && entered.0.edition == table.edition()
            && entered.0.showed(key.as_ref())
        {
            return Ok(entered.clone());
        }
        drop(table);
        let certificate = self.certificate.clone();
        let entered = self.callers.enter(Proof { key, certificate }, self.peer)?;
        *last = Some(entered.clone());
        Ok(entered)
    }

    /// Tells of a refusal, with the caller's name if it is known.
    pub fn refused(&self, why: Why, caller: Option<&str>) {
        self.callers.audit().refused(self.peer, why, caller);
    }
}

impl Inside {
    /// Whether it is by this key that they came in; in a time that does not tell how alike two keys are.
    fn showed(&self, key: Option<&KeyHash>) -> bool {
        match (&self.proof.key, key) {
            (Some(before), Some(key)) => before.is(key),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Entered {
    /// Who.
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }

    /// The caller has asked for what they may not: that gets a line of its own.
    pub fn denied(&self) {
        self.refused(Why::Denied);
    }

    fn refused(&self, why: Why) {
        let Self(inside) = self;
        let caller = (!inside.caller.is_anonymous).then_some(inside.caller.name());
        inside.audit.refused(inside.peer, why, caller);
    }
}

impl Caller {
    /// As configured.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether nobody is configured, and so everybody is the same.
    pub fn is_anonymous(&self) -> bool {
        self.is_anonymous
    }

    /// Whom fairness counts as one; none for the anonymous, who are told apart by their connections.
    pub fn id(&self) -> Option<CallerId> {
        (!self.is_anonymous).then_some(self.lasting.id)
    }

    /// What they may.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Where it is booked what they ask for.
    pub fn account(&self) -> &Account {
        &self.lasting.account
    }

    /// Takes so many identifiers from what they may ask for.
    ///
    /// # Errors
    /// When that may succeed.
    #[inline]
    pub fn take(&self, identifiers: usize) -> Result<(), Instant> {
        match self.rate {
            None => Ok(()),
            Some(rate) => self.lasting.bucket.take(rate, identifiers, Instant::now()),
        }
    }
}

#[cfg(test)]
mod tests;
