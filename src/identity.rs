//! Who is asked for and what comes back, in this product's own words. Values are checked when they
//! are made and trusted afterwards. Knows no wire format.

pub mod email;
pub mod mobile;

use std::{borrow::Cow, fmt};

pub use email::Email;
pub use mobile::Mobile;

/// What a person is known by, in its one normal form: equal identifiers mean the same person.
///
/// `Debug` never shows the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identifier {
    /// An e-mail address.
    Email(Email),
    /// A mobile number.
    Mobile(Mobile),
}

impl Identifier {
    /// The text in normal form: personal data, only for the wire and for comparing.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Email(email) => email.as_str(),
            Self::Mobile(mobile) => mobile.as_str(),
        }
    }
}

/// An identifier as it was written, in its normal form, if that is what it was written in: whoever is
/// known already is answered without a copy. Never `Debug`: it is personal data.
#[derive(Clone, PartialEq, Eq)]
pub enum NormalForm<'a> {
    /// Of an e-mail address.
    Email(Cow<'a, str>),
    /// Of a mobile number.
    Mobile(Cow<'a, str>),
}

impl<'a> NormalForm<'a> {
    /// Parses and normalises an e-mail address, as [`Email::parse`] does.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn email(text: &'a str) -> Result<Self, InvalidIdentifier> {
        email::normalise(text)
            .map(Self::Email)
            .map_err(InvalidIdentifier::Email)
    }

    /// Parses and normalises a mobile number, as [`Mobile::parse`] does.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn mobile(text: &'a str) -> Result<Self, InvalidIdentifier> {
        mobile::normalise(text)
            .map(Self::Mobile)
            .map_err(InvalidIdentifier::Mobile)
    }

    /// The text: personal data.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Email(text) | Self::Mobile(text) => text,
        }
    }

    /// To be kept and shared.
    pub fn into_identifier(self) -> Identifier {
        match self {
            Self::Email(text) => Identifier::Email(Email::of_normal_form(&text)),
            Self::Mobile(text) => Identifier::Mobile(Mobile::of_normal_form(&text)),
        }
    }
}

impl<'a> From<&'a Identifier> for NormalForm<'a> {
    fn from(identifier: &'a Identifier) -> Self {
        match identifier {
            Identifier::Email(email) => Self::Email(email.as_str().into()),
            Identifier::Mobile(mobile) => Self::Mobile(mobile.as_str().into()),
        }
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Email(_) => "Email(redacted)",
            Self::Mobile(_) => "Mobile(redacted)",
        })
    }
}

/// Why a text is no identifier. The message says what is expected and never repeats the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentifier {
    /// Neither an e-mail address nor a mobile number was given.
    #[error("empty: set email or mobile")]
    Empty,
    /// Not an e-mail address.
    #[error("not an e-mail address: {0}")]
    Email(&'static str),
    /// Not a mobile number.
    #[error("not a mobile number: {0}")]
    Mobile(&'static str),
}

/// The kinds of Feishu ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UserIdType {
    /// The person's ID inside the tenant.
    UserId,
    /// The person's ID for one app.
    OpenId,
    /// The person's ID for all apps of one developer.
    UnionId,
}

impl UserIdType {
    /// Feishu's own word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserId => "user_id",
            Self::OpenId => "open_id",
            Self::UnionId => "union_id",
        }
    }
}

/// One person as the directory gave them: an ID of one kind.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The ID, of the kind that was asked for. Never empty.
    pub id: String,
    /// What the directory says of the account, if it says anything.
    pub status: Option<PersonStatus>,
}

impl Person {
    /// Whether the directory says that the person has left.
    pub fn has_left(&self) -> bool {
        self.status.is_some_and(|s| s.resigned || s.exited)
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What Feishu says of a person's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "five independent facts, as Feishu sends them"
)]
pub struct PersonStatus {
    /// Suspended by an administrator.
    pub frozen: bool,
    /// Has left the organisation.
    pub resigned: bool,
    /// Has signed in at least once.
    pub activated: bool,
    /// Left on their own initiative.
    pub exited: bool,
    /// Has yet to accept the invitation.
    pub unjoined: bool,
}
