//! A simulated person, and how IDs, app credentials and phone forms are made. Pure: the same
//! input gives the same output in every run. Knows no tenant but by name.

use sha2::{Digest as _, Sha256};

/// One entry of a tenant's directory.
#[derive(Clone, Default)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) email: Option<String>,
    /// `+` and digits, always.
    pub(super) mobile: Option<String>,
    pub(super) enterprise_email: Option<String>,
    pub(super) status: Status,
    /// Inside the app's contact range.
    pub(super) visible: bool,
    pub(super) user_id: String,
    pub(super) open_id: String,
    pub(super) union_id: String,
}

/// Where a person stands with their company.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    #[default]
    Active,
    Frozen,
    Resigned,
    Exited,
    Unjoined,
    Inactive,
}

/// The kind of ID that a call asks for.
#[expect(clippy::enum_variant_names, reason = "Feishu's names")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum IdKind {
    #[default]
    OpenId,
    UnionId,
    UserId,
}

impl Status {
    pub(super) const NAMES: [(&'static str, Self); 6] = [
        ("active", Self::Active),
        ("frozen", Self::Frozen),
        ("resigned", Self::Resigned),
        ("exited", Self::Exited),
        ("unjoined", Self::Unjoined),
        ("inactive", Self::Inactive),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::NAMES
            .into_iter()
            .find_map(|(known, status)| (known == name).then_some(status))
    }
}

impl IdKind {
    /// None for a name that Feishu does not know.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "open_id" => Some(Self::OpenId),
            "union_id" => Some(Self::UnionId),
            "user_id" => Some(Self::UserId),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OpenId => "open_id",
            Self::UnionId => "union_id",
            Self::UserId => "user_id",
        }
    }
}

impl Person {
    pub(super) fn id(&self, kind: IdKind) -> &str {
        match kind {
            IdKind::OpenId => &self.open_id,
            IdKind::UnionId => &self.union_id,
            IdKind::UserId => &self.user_id,
        }
    }

    /// Makes up the IDs that are empty, from who the person is. The status stays out:
    /// somebody who resigns keeps their IDs.
    pub(super) fn complete(mut self, tenant: &str) -> Self {
        let empty = String::new();
        let seed = [
            tenant,
            &self.name,
            self.email.as_ref().unwrap_or(&empty),
            self.mobile.as_ref().unwrap_or(&empty),
            self.enterprise_email.as_ref().unwrap_or(&empty),
        ];
        let made = |kind: &str| {
            let [tenant, name, email, mobile, enterprise] = seed;
            hex(&["person", kind, tenant, name, email, mobile, enterprise])
        };
        let (user, open, union) = (made("user_id"), made("open_id"), made("union_id"));
        if self.user_id.is_empty() {
            self.user_id = short_id(&user);
        }
        if self.open_id.is_empty() {
            self.open_id = format!("ou_{}", head(&open, 32));
        }
        if self.union_id.is_empty() {
            self.union_id = format!("on_{}", head(&union, 32));
        }
        self
    }
}

/// The SHA-256 of the parts, in hexadecimal.
pub(super) fn hex(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        // So that ("ab", "c") and ("a", "bc") differ.
        hash.update([0]);
    }
    hash.finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            for nibble in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(nibble), 16));
            }
            text
        })
}

/// The first characters of a text.
pub(super) fn head(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

/// Eight characters with one `g`: real user IDs look like that, and it keeps them apart from those
/// of the synthetic range, which have none.
fn short_id(hex: &str) -> String {
    let spot = usize::from(hex.as_bytes().get(9).copied().unwrap_or_default()) % 8;
    hex.chars()
        .take(8)
        .enumerate()
        .map(|(index, digit)| if index == spot { 'g' } else { digit })
        .collect()
}

/// A mobile number as it is stored, `+` and digits: a mainland number may come without `+86`,
/// others need their country code. None for what is not a number.
pub(super) fn stored_mobile(text: &str) -> Option<String> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let plausible = (5..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if !plausible {
        return None;
    }
    if text.starts_with('+') {
        return Some(text.to_owned());
    }
    (digits.len() == 11 && digits.starts_with('1')).then(|| format!("+86{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_ids_are_the_same_each_time_and_have_feishus_shape() {
        let make = |status| {
            let person = Person {
                name: "A".to_owned(),
                status,
                ..Person::default()
            };
            person.complete("acme")
        };
        let (one, two) = (make(Status::Active), make(Status::Resigned));
        assert_eq!(one.user_id, two.user_id);
        assert_eq!((one.user_id.len(), one.open_id.len()), (8, 35));
        assert!(one.open_id.starts_with("ou_") && one.union_id.starts_with("on_"));
        assert_ne!(one.open_id[3..], one.union_id[3..]);
    }

    #[test]
    fn mainland_numbers_are_stored_with_their_country_code_and_others_need_it() {
        assert_eq!(
            stored_mobile("13000000001").as_deref(),
            Some("+8613000000001")
        );
        assert_eq!(
            stored_mobile("+12025550101").as_deref(),
            Some("+12025550101")
        );
        for bad in ["2025550101", "+1 202", "", "+", "138-0000-0000"] {
            assert_eq!(stored_mobile(bad), None, "{bad}");
        }
    }
}
