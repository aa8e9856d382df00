//! E-mail addresses in one normal form, so that two spellings of one mailbox are one lookup.
//!
//! Knows nothing of Feishu's answers, mail delivery or whether the mailbox exists. Called at the rim
//! with what callers send, and by the directory's adapter with what Feishu echoes: the normal form of
//! a normal form is itself, so an echo in another letter case finds its lookup.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use super::InvalidIdentifier;

/// Longest address in bytes, in normal form. RFC 5321 §4.5.3.1.3 gives a path 256, its two angle
/// brackets included (RFC 3696 erratum 1690).
const MAX_BYTES: usize = 254;

/// Longest domain in bytes. RFC 1035 §2.3.4, without the length bytes at its ends.
const MAX_DOMAIN: usize = 253;

/// Longest input in bytes that is looked at, so that a huge one costs nothing. About four times the
/// longest address: full-width letters shrink to a third, domains in other scripts to a quarter.
const MAX_INPUT_BYTES: usize = 1024;

/// What no domain has: all of ASCII but letters, digits, hyphen, dot and underscore. The underscore is
/// for the host names of private deployments. Address literals such as `[192.0.2.1]` are refused with
/// the brackets: no directory holds them.
const NOT_IN_A_DOMAIN: AsciiDenyList = AsciiDenyList::new(true, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");

const ONE_AT: &str = "expected one @, as in name@example.com";
const NO_LOCAL_PART: &str = "expected a name before the @, as in name@example.com";
const BAD_DOMAIN: &str = "expected a domain name after the @, as in name@example.com";
const TOO_LONG: &str = "expected at most 254 bytes";
const NO_SPACES: &str = "expected no space and no control character inside";
const NO_INVISIBLE: &str =
    "expected no invisible character, such as a zero-width space or a text-direction mark";

/// An e-mail address in normal form: lower case, the domain in ASCII.
///
/// Equal addresses are the same mailbox. `Debug` never shows the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(Arc<str>);

impl Email {
    /// Parses and normalises.
    ///
    /// Strict about what would make two addresses look alike, lenient about the part before the @:
    /// dots, plus signs, quotes and other scripts pass, since Feishu judges them.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn parse(text: &str) -> Result<Self, InvalidIdentifier> {
        normalise(text)
            .map(|address| Self::of_normal_form(&address))
            .map_err(InvalidIdentifier::Email)
    }

    pub(super) fn of_normal_form(text: &str) -> Self {
        Self(text.into())
    }

    /// The normal form, such as `zhang.san@example.com`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(redacted)")
    }
}

/// The normal form; nothing is copied if the text is in it already.
#[inline]
pub(super) fn normalise(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if is_plainly_normal(text) {
        return Ok(Cow::Borrowed(text));
    }
    work_out(text).map(Cow::Owned)
}

/// Whether the text is in normal form at first sight, as almost every address is: lower-case ASCII
/// with a domain of letters, digits, hyphens and dots, none of it in IDNA's encoding. No says nothing.
fn is_plainly_normal(text: &str) -> bool {
    /// Longest label. RFC 1035 §2.3.4.
    const MAX_LABEL: usize = 63;
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    if local.is_empty() || text.len() > MAX_BYTES || domain.len() > MAX_DOMAIN {
        return false;
    }
    let is_lower = |b: u8| b.is_ascii_graphic() && !b.is_ascii_uppercase();
    let is_label = |label: &[u8]| {
        (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with(b"xn--")
            && label
                .iter()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    local.bytes().all(is_lower) && domain.as_bytes().split(|b| *b == b'.').all(is_label)
}

fn work_out(text: &str) -> Result<String, &'static str> {
    if text.len() > MAX_INPUT_BYTES {
        return Err(TOO_LONG);
    }
    let text = fold_width(text.trim());
    refuse_unseen(&text)?;
    let (local, domain) = text.split_once('@').ok_or(ONE_AT)?;
    if domain.contains('@') {
        return Err(ONE_AT);
    }
    if local.is_empty() {
        return Err(NO_LOCAL_PART);
    }
    let mut address = normal_local_part(local);
    address.push('@');
    address.push_str(&normal_domain(domain)?);
    if address.len() > MAX_BYTES {
        return Err(TOO_LONG);
    }
    Ok(address)
}

/// Full-width ASCII becomes ASCII: Chinese and Japanese input methods type `＠` and `ａ` where `@` and
/// `a` are meant, and no directory holds the wide ones. The same folding as for user names in
/// RFC 8265 §3.3.1 (PRECIS, width mapping), and what IDNA does to domains anyway.
fn fold_width(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    text.chars()
        .map(|c| match c {
            // U+FF01..=U+FF5E stand in the order of U+0021..=U+007E.
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
            _ => c,
        })
        .collect()
}

/// Refused rather than dropped: an address that shows as another one is an attack or a slip in
/// copying, and the person who sent it should know. IDNA alone would drop some of them silently.
fn refuse_unseen(text: &str) -> Result<(), &'static str> {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(NO_SPACES);
    }
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let category = CodePointMapData::<GeneralCategory>::new();
    // The two overlap without covering each other: fillers and variation selectors are only
    // ignorable, Arabic number signs and interlinear marks are only format characters.
    if text
        .chars()
        .any(|c| ignorable.contains(c) || category.get(c) == GeneralCategory::Format)
    {
        return Err(NO_INVISIBLE);
    }
    Ok(())
}

/// Lower case, because Feishu matches in any case. Composed (NFC), because macOS decomposes what it
/// copies from file names. Composing comes first so that equal spellings enter lower-casing equal,
/// and again after it because lower-casing may decompose.
fn normal_local_part(local: &str) -> String {
    if local.is_ascii() {
        return local.to_ascii_lowercase();
    }
    let nfc = ComposingNormalizerBorrowed::new_nfc();
    let lower = nfc.normalize(local).to_lowercase();
    nfc.normalize(&lower).into_owned()
}

/// The domain in ASCII (`例子.中国` becomes `xn--fsqu00a.xn--fiqs8s`), so that both spellings are equal.
///
/// ASCII is also what Feishu is sent. It is what mail servers, exports and MX records have, and what
/// passes the address checks of directories, so a stored address is likely to be in it. Feishu does
/// not document which spelling it holds; its echo is read through here, so either one is recognised.
///
/// A domain without a dot passes, since private deployments have `name@corp`. A dot at the end does
/// not: SMTP has none, so it is the end of a sentence somebody copied.
fn normal_domain(domain: &str) -> Result<Cow<'_, str>, &'static str> {
    Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            NOT_IN_A_DOMAIN,
            // Names with hyphens in odd places exist and resolve.
            Hyphens::Allow,
            DnsLength::Verify,
        )
        .map_err(|_| BAD_DOMAIN)
}

#[cfg(test)]
mod tests;
