//! One edition of the callers: who somebody is by what they show. Never changed; a reload makes the
//! next one.

use std::{collections::HashMap, sync::Arc};

use super::{ANONYMOUS, Caller, CallerSettings, KeyHash, Lasting, Proof, rights::Rights};
use crate::{audit::Why, caller::CertificateNames};

pub(super) struct Table {
    edition: u64,
    /// Who everybody is, as long as nobody is configured.
    anonymous: Option<Arc<Caller>>,
    keys: Vec<(KeyHash, Arc<Caller>)>,
    /// By the names of certificates.
    certificates: HashMap<String, Arc<Caller>>,
    /// Those who must show one of these certificates if they show any, whatever key they have.
    with_certificates: Vec<Arc<Caller>>,
}

impl Table {
    pub(super) fn open(anonymous: Arc<Lasting>) -> Self {
        let anonymous = Caller {
            name: ANONYMOUS.to_owned(),
            is_anonymous: true,
            rights: Rights::all(),
            rate: None,
            lasting: anonymous,
        };
        Self {
            edition: 0,
            anonymous: Some(Arc::new(anonymous)),
            keys: Vec::new(),
            certificates: HashMap::new(),
            with_certificates: Vec::new(),
        }
    }

    pub(super) fn closed(
        edition: u64,
        callers: impl Iterator<Item = (CallerSettings, Arc<Lasting>)>,
    ) -> Self {
        let mut table = Self {
            edition,
            anonymous: None,
            keys: Vec::new(),
            certificates: HashMap::new(),
            with_certificates: Vec::new(),
        };
        for (settings, lasting) in callers {
            let caller = Arc::new(Caller {
                name: settings.name,
                is_anonymous: false,
                rights: settings.rights,
                rate: settings.rate,
                lasting,
            });
            let keys = settings.key_hashes.into_iter();
            table.keys.extend(keys.map(|hash| (hash, caller.clone())));
            if !settings.certificate_names.is_empty() {
                table.with_certificates.push(caller.clone());
            }
            let names = settings.certificate_names.into_iter();
            table
                .certificates
                .extend(names.map(|name| (name, caller.clone())));
        }
        table
    }

    pub(super) fn edition(&self) -> u64 {
        self.edition
    }

    pub(super) fn is_open(&self) -> bool {
        self.anonymous.is_some()
    }

    /// Who shows this. A key or a certificate is enough; whoever shows both must be the same by both.
    pub(super) fn find(&self, proof: &Proof) -> Result<Arc<Caller>, Why> {
        if let Some(anonymous) = &self.anonymous {
            return Ok(anonymous.clone());
        }
        // Also with a key: two callers in one certificate are two callers.
        let certified = match &proof.certificate {
            Some(names) => self.by_certificate(names)?,
            None => None,
        };
        let Some(hash) = &proof.key else {
            return match (certified, &proof.certificate) {
                (Some(caller), _) => Ok(caller.clone()),
                (None, Some(_)) => Err(Why::UnknownCertificate),
                (None, None) => Err(Why::NoCredential),
            };
        };
        let caller = self.by_key(hash).ok_or(Why::UnknownKey)?;
        let agrees = match certified {
            Some(certified) => Arc::ptr_eq(certified, caller),
            // A certificate that is no caller's is for the connection alone; but a caller who has
            // certificates of their own does not come with that of somebody else.
            None => proof.certificate.is_none() || !self.has_certificates(caller),
        };
        agrees.then(|| caller.clone()).ok_or(Why::NotTheSame)
    }

    /// All of them are compared, whichever it is.
    fn by_key(&self, hash: &KeyHash) -> Option<&Arc<Caller>> {
        let mut found = None;
        for (known, caller) in &self.keys {
            if known.is(hash) {
                found = Some(caller);
            }
        }
        found
    }

    /// The one caller that the certificate names, if it names any.
    fn by_certificate(&self, names: &CertificateNames) -> Result<Option<&Arc<Caller>>, Why> {
        let mut found: Option<&Arc<Caller>> = None;
        for caller in names
            .0
            .iter()
            .filter_map(|name| self.certificates.get(name))
        {
            if found.is_some_and(|other| !Arc::ptr_eq(other, caller)) {
                return Err(Why::SeveralCallers);
            }
            found = Some(caller);
        }
        Ok(found)
    }

    fn has_certificates(&self, caller: &Arc<Caller>) -> bool {
        let mut callers = self.with_certificates.iter();
        callers.any(|other| Arc::ptr_eq(other, caller))
    }
}
