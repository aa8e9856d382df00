//! Up to three answers in one piece of memory, as there may be millions of them: no pointer inside,
//! and no allocation at all for one short answer, which is then copied without touching a counter
//! that others touch, too. Written here and read here; also what a store keeps. Pure.
//!
//! Each answer is a head of fixed size, then its text. What cannot be read, as of another version of
//! this program, reads as nothing.

use std::sync::Arc;

use crate::identity::{Person, PersonStatus, UserIdType};

use super::answer::{Fact, Refusal, Times};

/// Which layout this is. A store of another one is not read.
pub(super) const VERSION: u8 = 1;

const FOUND: u8 = 0;
const NOT_FOUND: u8 = 1;
const AMBIGUOUS: u8 = 2;
const REFUSED: u8 = 3;

/// The longest text of an answer that is kept in place: what is said of the account, and an ID of up to
/// 20 bytes. Feishu's user IDs have 8.
const SHORT: usize = 21;

/// Answers in one piece.
#[derive(Clone)]
pub(super) enum Packed {
    /// One short answer. Its fields lie as they are read, for speed.
    Short(Short),
    /// Any others.
    Long(Arc<[u8]>),
}

/// 48 bytes, and [`Packed`] too: what tells its two forms apart is in `kind`, which has values to spare.
#[derive(Clone, Copy)]
pub(super) struct Short {
    times: Times,
    kind: UserIdType,
    what: u8,
    length: u8,
    body: [u8; SHORT],
}

const _: () = assert!(size_of::<Packed>() == 48);

/// Answers as they lie in an entry or in a store.
#[derive(Clone, Copy)]
pub(super) enum Pieces<'a> {
    One(Option<Piece<'a>>),
    Many(&'a [u8]),
}

/// One answer as it lies in there.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) kind: UserIdType,
    pub(super) times: Times,
    what: u8,
    body: &'a [u8],
}

impl Packed {
    #[inline]
    fn of(answers: &[u8]) -> Self {
        Short::of(answers).map_or_else(|| Self::Long(answers.into()), Self::Short)
    }

    #[inline]
    pub(super) fn answers(&self) -> Pieces<'_> {
        match self {
            Self::Short(short) => Pieces::One(short.piece()),
            Self::Long(bytes) => Pieces::Many(bytes),
        }
    }
}

impl Short {
    fn of(answers: &[u8]) -> Option<Self> {
        let mut pieces = Pieces::Many(answers).iter();
        let piece = pieces.next().filter(|_| pieces.next().is_none())?;
        let mut body = [0; SHORT];
        body.get_mut(..piece.body.len())?
            .copy_from_slice(piece.body);
        Some(Self {
            times: piece.times,
            kind: piece.kind,
            what: piece.what,
            length: u8::try_from(piece.body.len()).ok()?,
            body,
        })
    }

    #[inline]
    fn piece(&self) -> Option<Piece<'_>> {
        Some(Piece {
            kind: self.kind,
            times: self.times,
            what: self.what,
            body: self.body.get(..usize::from(self.length))?,
        })
    }
}

impl<'a> Pieces<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = Piece<'a>> {
        let (mut one, many) = match self {
            Self::One(piece) => (piece, [].as_slice()),
            Self::Many(bytes) => (None, bytes),
        };
        let mut reader = Reader(many);
        std::iter::from_fn(move || one.take().or_else(|| Piece::read(&mut reader)))
    }

    #[inline]
    pub(super) fn of(self, kind: UserIdType) -> Option<Piece<'a>> {
        match self {
            Self::One(piece) => piece.filter(|piece| piece.kind == kind),
            Self::Many(_) => self.iter().find(|piece| piece.kind == kind),
        }
    }

    /// As a store keeps them.
    pub(super) fn write(self, bytes: &mut Vec<u8>) {
        let mut packer = Packer(std::mem::take(bytes));
        self.iter().for_each(|piece| packer.piece(piece));
        *bytes = packer.0;
    }
}

/// Puts answers together, one after the other.
#[derive(Default)]
pub(super) struct Packer(Vec<u8>);

impl Packer {
    pub(super) fn fact(&mut self, kind: UserIdType, times: Times, fact: &Fact) {
        let mut body = Vec::new();
        let what = match fact {
            Fact::Found(person) => {
                put_person(&mut body, person);
                FOUND
            }
            Fact::NotFound => NOT_FOUND,
            Fact::Ambiguous(people) => {
                for person in people {
                    put_text(&mut body, person.id.as_bytes());
                    body.push(status_to_byte(person.status));
                }
                AMBIGUOUS
            }
            Fact::Refused(refusal) => {
                body.push(u8::from(refusal.code.is_some()));
                body.extend(refusal.code.unwrap_or_default().to_le_bytes());
                body.extend(refusal.log_id.as_deref().unwrap_or_default().as_bytes());
                REFUSED
            }
        };
        self.raw(Piece {
            kind,
            times,
            what,
            body: &body,
        });
    }

    pub(super) fn piece(&mut self, piece: Piece<'_>) {
        self.raw(piece);
    }

    pub(super) fn finish(self) -> Packed {
        Packed::of(&self.0)
    }

    fn raw(&mut self, piece: Piece<'_>) {
        let Piece { times, body, .. } = piece;
        // Feishu's IDs and log IDs are shorter than 100 bytes. What does not fit is not remembered.
        if body.len() > usize::from(u16::MAX) {
            return;
        }
        let out = &mut self.0;
        out.push(piece.tag());
        out.extend(times.departed.to_le_bytes());
        out.extend(times.asked_at.to_le_bytes());
        out.extend(times.ttl_ms.to_le_bytes());
        out.extend(times.due_ms.to_le_bytes());
        put_text(out, body);
    }
}

impl<'a> Piece<'a> {
    #[inline]
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let [tag] = reader.array()?;
        let times = Times {
            departed: i64::from_le_bytes(reader.array()?),
            asked_at: u64::from_le_bytes(reader.array()?),
            ttl_ms: u32::from_le_bytes(reader.array()?),
            due_ms: u32::from_le_bytes(reader.array()?),
        };
        Some(Self {
            kind: kind_of_byte(tag >> 4)?,
            times,
            what: tag & 0x0f,
            body: reader.text()?,
        })
    }

    #[inline]
    fn tag(&self) -> u8 {
        kind_to_byte(self.kind) << 4 | self.what
    }

    #[inline]
    pub(super) fn is_found(self) -> bool {
        self.what == FOUND
    }

    /// The ID, and what is said of the account, of somebody who was found.
    #[inline]
    pub(super) fn found(self) -> Option<(&'a str, Option<PersonStatus>)> {
        let (status, id) = self.body.split_first().filter(|_| self.is_found())?;
        Some((std::str::from_utf8(id).ok()?, status_of_byte(*status)))
    }

    pub(super) fn fact(self) -> Option<Fact> {
        match self.what {
            FOUND => self.found().map(|(id, status)| {
                let id = id.to_owned();
                Fact::Found(Person { id, status })
            }),
            NOT_FOUND => Some(Fact::NotFound),
            AMBIGUOUS => {
                let mut people = Vec::new();
                let mut reader = Reader(self.body);
                while let Some(id) = reader.text() {
                    let [status] = reader.array()?;
                    people.push(Person {
                        id: std::str::from_utf8(id).ok()?.to_owned(),
                        status: status_of_byte(status),
                    });
                }
                Some(Fact::Ambiguous(people))
            }
            REFUSED => {
                let mut reader = Reader(self.body);
                let [has_code] = reader.array()?;
                let code = i64::from_le_bytes(reader.array()?);
                let log_id = std::str::from_utf8(reader.0).ok()?;
                Some(Fact::Refused(Refusal {
                    code: (has_code == 1).then_some(code),
                    log_id: (!log_id.is_empty()).then(|| log_id.to_owned()),
                }))
            }
            _ => None,
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    #[inline]
    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

fn put_person(out: &mut Vec<u8>, person: &Person) {
    out.push(status_to_byte(person.status));
    out.extend(person.id.as_bytes());
}

/// With its length before it.
fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend(length.to_le_bytes());
    out.extend(text);
}

fn kind_to_byte(kind: UserIdType) -> u8 {
    match kind {
        UserIdType::UserId => 0,
        UserIdType::OpenId => 1,
        UserIdType::UnionId => 2,
    }
}

#[inline]
fn kind_of_byte(byte: u8) -> Option<UserIdType> {
    Some(match byte {
        0 => UserIdType::UserId,
        1 => UserIdType::OpenId,
        2 => UserIdType::UnionId,
        _ => return None,
    })
}

/// The bits of what is said of an account; the lowest says that anything is.
fn status_to_byte(status: Option<PersonStatus>) -> u8 {
    let Some(status) = status else { return 0 };
    let bits = [
        true,
        status.frozen,
        status.resigned,
        status.activated,
        status.exited,
        status.unjoined,
    ];
    (0..).zip(bits).map(|(n, bit)| u8::from(bit) << n).sum()
}

#[inline]
fn status_of_byte(byte: u8) -> Option<PersonStatus> {
    let bit = |n: u8| byte & (1 << n) != 0;
    bit(0).then(|| PersonStatus {
        frozen: bit(1),
        resigned: bit(2),
        activated: bit(3),
        exited: bit(4),
        unjoined: bit(5),
    })
}
