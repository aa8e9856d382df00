//! What one caller may.

use std::collections::BTreeSet;

use crate::identity::UserIdType;

/// What a caller may. Whatever is not in here they may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Whom they may ask about.
    pub tenants: Tenants,
    /// Which kinds of ID.
    pub user_id_types: Vec<UserIdType>,
    /// Answers younger than a minute, each of which costs a call to Feishu.
    pub fresh: bool,
    /// Seeing and flushing what is remembered of those tenants.
    pub admin: bool,
}

/// Tenants, by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenants {
    /// All, also those to come.
    All,
    /// These.
    These(BTreeSet<String>),
}

impl Rights {
    /// Everything.
    pub(super) fn all() -> Self {
        Self {
            tenants: Tenants::All,
            user_id_types: vec![UserIdType::UserId, UserIdType::OpenId, UserIdType::UnionId],
            fresh: true,
            admin: true,
        }
    }

    /// Whether they may ask about people of the tenant with this name. Looks at nothing but the list of
    /// those they may ask about: whether there is such a tenant makes no difference.
    #[inline]
    pub fn has_tenant(&self, name: &str) -> bool {
        match &self.tenants {
            Tenants::All => true,
            Tenants::These(names) => names.contains(name),
        }
    }

    /// Whether they may ask about everybody, whatever tenants there are.
    pub fn has_all_tenants(&self) -> bool {
        self.tenants == Tenants::All
    }

    /// Whether they may ask for this kind of ID.
    #[inline]
    pub fn has_kind(&self, kind: UserIdType) -> bool {
        self.user_id_types.contains(&kind)
    }
}
