//! Mobile numbers in one normal form, E.164, so that two spellings of one number are one lookup.
//!
//! Numbers are *possible* rather than *valid*: their length fits their country. Tables of ranges lag
//! the operators, and Feishu judges anyway. Knows nothing of Feishu's answers. Called at the rim with
//! what callers send, and by the directory's adapter with what Feishu echoes (`13800138000` as well
//! as `+8613800138000`): the normal form of a normal form is itself.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumberFormat};

use super::InvalidIdentifier;

/// Longest input in bytes that is looked at: 18 full-width digits are 54, the rest is for separators.
const MAX_INPUT_BYTES: usize = 64;

/// Most digits in a number with its country code. ITU-T E.164 (11/2010) §6.
const MAX_DIGITS: usize = 15;

/// Most digits in the input: E.164's, after `00`, with a trunk zero in between as in `+44 (0)7911…`.
const MAX_INPUT_DIGITS: usize = 2 + MAX_DIGITS + 1;

/// Digits of a mainland Chinese mobile number, without the country code. The first one is a 1; what
/// follows is left open, since new ranges (162, 167, 19x) keep being opened.
const MAINLAND_DIGITS: usize = 11;

const WITHOUT_COUNTRY: &str =
    "expected 11 digits starting with 1 for mainland China, or + and a country code";
const MAINLAND: &str = "expected 11 digits starting with 1 after +86";
const UNKNOWN_COUNTRY: &str = "expected an existing country code after the +";
const WRONG_LENGTH: &str =
    "expected as many digits as a full number has in the country of its country code";
const ONE_NUMBER: &str = "expected one number of at most 15 digits";
const CHARACTERS: &str = "expected one number made of digits, spaces, dashes, dots and parentheses, with + only in front";

/// A mobile number in normal form: E.164, with its plus sign.
///
/// Equal numbers are the same line. `Debug` never shows the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mobile(Arc<str>);

impl Mobile {
    /// Parses and normalises.
    ///
    /// Without a country code a number is taken for a mainland Chinese one, as Feishu takes it; all
    /// others need their country code after `+` or `00`.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn parse(text: &str) -> Result<Self, InvalidIdentifier> {
        normalise(text)
            .map(|number| Self::of_normal_form(&number))
            .map_err(InvalidIdentifier::Mobile)
    }

    pub(super) fn of_normal_form(text: &str) -> Self {
        Self(text.into())
    }

    /// The normal form, such as `+8613800138000`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Mobile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mobile(redacted)")
    }
}

/// The normal form; nothing is copied if the text is in it already.
pub(super) fn normalise(text: &str) -> Result<Cow<'_, str>, &'static str> {
    let is_plainly_normal = text.strip_prefix("+86").is_some_and(|national| {
        is_mainland(national) && national.bytes().all(|b| b.is_ascii_digit())
    });
    if is_plainly_normal {
        return Ok(Cow::Borrowed(text));
    }
    work_out(text).map(Cow::Owned)
}

fn work_out(text: &str) -> Result<String, &'static str> {
    if text.len() > MAX_INPUT_BYTES {
        return Err(ONE_NUMBER);
    }
    let Dialled { plus, digits } = Dialled::read(text.trim())?;
    if plus {
        return international(&digits);
    }
    if let Some(digits) = digits.strip_prefix("00") {
        return international(digits);
    }
    // `86138…` without a plus sign, as spreadsheets leave it, reads in one way only: no mainland number
    // has 13 digits and starts with 86, and foreign ones must have their plus sign.
    let national = match digits.strip_prefix("86") {
        Some(rest) if is_mainland(rest) => rest,
        _ => &digits,
    };
    if is_mainland(national) {
        Ok(format!("+86{national}"))
    } else {
        Err(WITHOUT_COUNTRY)
    }
}

/// What would be dialled: the text without what is only there for the eye. The phone-number library
/// sees nothing else, so that no letter is read as a digit, no `ext. 5` is cut off, and the library's
/// cost is bounded.
struct Dialled {
    plus: bool,
    digits: String,
}

impl Dialled {
    fn read(text: &str) -> Result<Self, &'static str> {
        let mut plus = false;
        let mut digits = String::with_capacity(MAX_INPUT_DIGITS);
        for c in text.chars() {
            match c {
                '0'..='9' => digits.push(c),
                // Full-width digits are U+FF10..=U+FF19, in order.
                '\u{ff10}'..='\u{ff19}' => {
                    digits.extend(char::from_digit(u32::from(c) - 0xff10, 10));
                }
                // A second plus sign, or one behind digits, starts a second number.
                '+' | '\u{ff0b}' if !plus && digits.is_empty() => plus = true,
                _ if is_separator(c) => {}
                _ => return Err(CHARACTERS),
            }
        }
        if digits.len() > MAX_INPUT_DIGITS {
            return Err(ONE_NUMBER);
        }
        Ok(Self { plus, digits })
    }
}

/// What people and programs put between digits. Not `/`, `,`, `;` and line ends, which separate one
/// number from the next, and nothing invisible but spaces.
fn is_separator(c: char) -> bool {
    matches!(c,
        // spaces, of all widths
        ' ' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
        // dashes, from the hyphen to the full-width one
        | '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
        // dots: plain, middle, full-width
        | '.' | '\u{b7}' | '\u{ff0e}'
        // parentheses, with the full-width ones
        | '(' | ')' | '\u{ff08}' | '\u{ff09}')
}

fn is_mainland(national: &str) -> bool {
    national.len() == MAINLAND_DIGITS && national.starts_with('1')
}

/// `digits` begin with the country code.
fn international(digits: &str) -> Result<String, &'static str> {
    // By hand, for speed (most numbers are these) and because the library knows the ranges of today
    // and lets landlines pass, which no account has.
    if let Some(national) = digits.strip_prefix("86") {
        let national = national.strip_prefix('0').unwrap_or(national);
        return if is_mainland(national) {
            Ok(format!("+86{national}"))
        } else {
            Err(MAINLAND)
        };
    }
    if digits.is_empty() || digits.starts_with('0') {
        return Err(UNKNOWN_COUNTRY);
    }
    let given = format!("+{digits}");
    let number = e164(&given)?;
    // One trunk zero is dropped. If another one follows, the result would lose it on the next parse
    // and would not equal itself: such a number is a typing error.
    if number != given && e164(&number)? != number {
        return Err(WRONG_LENGTH);
    }
    Ok(number)
}

/// The library knows which countries have a trunk zero (`+44 (0)7911…`) and where the zero is part of
/// the number (`+39 06…`).
fn e164(number: &str) -> Result<String, &'static str> {
    let number = PHONE_NUMBER_UTIL
        .parse(number, None)
        .map_err(|error| match error {
            ParseError::InvalidCountryCode => UNKNOWN_COUNTRY,
            _ => WRONG_LENGTH,
        })?;
    match PHONE_NUMBER_UTIL.is_possible_number_with_reason(&number) {
        Ok(NumberLengthType::IsPossible) => {}
        // Lacks its area code.
        Ok(NumberLengthType::IsPossibleLocalOnly) | Err(_) => return Err(WRONG_LENGTH),
    }
    let number = PHONE_NUMBER_UTIL
        .format(&number, PhoneNumberFormat::E164)
        .into_owned();
    if number.len() > "+".len() + MAX_DIGITS {
        return Err(WRONG_LENGTH);
    }
    Ok(number)
}

#[cfg(test)]
mod tests;
