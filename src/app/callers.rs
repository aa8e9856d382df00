//! The callers of a configuration, in the words of `callers`.

use crate::{
    callers::{CallerSettings, KeyHash, Rate, Rights, Tenants},
    config::{CallerConfig, Config, IdKind},
    identity::UserIdType,
};

/// Everybody who may call.
pub(super) fn settings(config: &Config) -> Vec<CallerSettings> {
    config.callers.iter().map(one).collect()
}

fn one(caller: &CallerConfig) -> CallerSettings {
    let hashes = caller.key_hashes.iter().copied();
    let kinds = caller.user_id_types.iter().map(|kind| match kind {
        IdKind::UserId => UserIdType::UserId,
        IdKind::OpenId => UserIdType::OpenId,
        IdKind::UnionId => UserIdType::UnionId,
    });
    let tenants = if caller.has_all_tenants() {
        Tenants::All
    } else {
        Tenants::These(caller.tenants.iter().cloned().collect())
    };
    let rate = caller.identifiers_per_second;
    CallerSettings {
        name: caller.name.clone(),
        key_hashes: hashes.map(KeyHash::from_bytes).collect(),
        certificate_names: caller.certificate_identity.clone(),
        rights: Rights {
            tenants,
            user_id_types: kinds.collect(),
            fresh: caller.fresh,
            admin: caller.admin,
        },
        rate: rate.map(|rate| Rate::per_second(u32::try_from(rate).unwrap_or(u32::MAX))),
    }
}
