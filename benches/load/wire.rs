//! As much of protobuf's wire format as is needed to read answers in place and to write requests
//! from parts. The generated types would allocate every string of every answer.

use bytes::{BufMut as _, BytesMut};

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a kind that none of our messages has.
    Other,
}

/// Not protobuf.
#[derive(Debug, PartialEq)]
pub struct Malformed;

/// The fields of a message, in order.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.bytes(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => self.bytes(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

/// The key of a field of bytes; its number is below 16.
pub fn put_key(number: u8, to: &mut BytesMut) {
    to.put_u8(number << 3 | 2);
}

pub fn put_varint(value: usize, to: &mut BytesMut) {
    let mut left = value;
    while let Ok(low) = u8::try_from(left & 0x7f) {
        left >>= 7;
        if left == 0 {
            to.put_u8(low);
            return;
        }
        to.put_u8(low | 0x80);
    }
}

/// What a field of so many bytes takes in all.
pub fn size_of_bytes(length: usize) -> usize {
    let mut size = 2 + length;
    let mut left = length >> 7;
    while left > 0 {
        size += 1;
        left >>= 7;
    }
    size
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 100_000] {
            let mut to = BytesMut::new();
            put_key(3, &mut to);
            put_varint(length, &mut to);
            to.put_bytes(b'x', length);
            assert_eq!(to.len(), size_of_bytes(length));
            let fields: Vec<_> = Fields(&to).map(Result::unwrap).collect();
            let text = vec![b'x'; length];
            assert_eq!(fields, [(3, Value::Bytes(&text))]);
        }
    }

    #[test]
    fn what_is_cut_short_is_malformed() {
        for cut in [
            &[0x1a_u8][..],
            &[0x1a, 5, 1],
            &[0x08],
            &[0x08, 0x80],
            &[0xff; 12],
        ] {
            assert_eq!(Fields(cut).last(), Some(Err(Malformed)), "{cut:?}");
        }
    }
}
