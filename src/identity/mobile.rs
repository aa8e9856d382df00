//! Mobile numbers.

use super::InvalidIdentifier;

/// A mobile number in normal form: E.164, with its plus sign.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mobile(std::sync::Arc<str>);

impl Mobile {
    /// Parses and normalises.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn parse(text: &str) -> Result<Self, InvalidIdentifier> {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        if digits.len() < 7 {
            return Err(InvalidIdentifier::Mobile("expected digits"));
        }
        Ok(Self(
            if digits.len() == 11 {
                format!("+86{digits}")
            } else {
                format!("+{digits}")
            }
            .into(),
        ))
    }

    /// The normal form, such as `+8613800138000`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
