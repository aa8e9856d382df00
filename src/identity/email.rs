//! E-mail addresses.

use super::InvalidIdentifier;

/// An e-mail address in normal form.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(std::sync::Arc<str>);

impl Email {
    /// Parses and normalises.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn parse(text: &str) -> Result<Self, InvalidIdentifier> {
        let text = text.trim().to_lowercase();
        if text.matches('@').count() != 1 {
            return Err(InvalidIdentifier::Email("expected one @"));
        }
        Ok(Self(text.into()))
    }

    /// The normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
