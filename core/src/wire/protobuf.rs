//! Reading protobuf fields, with the judgement of Go's library on what is malformed.
//!
//! What a block means must not depend on who reads it. prost, which writes our messages, refuses a
//! known field with another wire type; Go skips it as an unknown one and merges the rest. So reading is done
//! here, where both the strict users (dag-pb) and the forgiving ones (deltas, announcements) see the
//! wire type, and strings stay slices of the block.

use alloc::vec::Vec;

/// How deep groups (which nobody writes) may be nested before the message is malformed: Go's limit.
const GROUPS_MAX: usize = 10_001;

/// Why bytes are no message, in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 2: bytes, text or a message.
    Bytes(&'a [u8]),
    /// Any other wire type. No format of ours uses it; it has been skipped.
    Other,
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// The field's number, at least 1.
    pub(super) number: u32,
    /// What it holds.
    pub(super) value: Value<'a>,
}

/// The fields of a message, in the order in which they stand. Ends after the first error.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let (number, wire_type) = self.tag()?;
        let value = match wire_type {
            0 => Value::Varint(self.varint()?),
            2 => Value::Bytes(self.bytes()?),
            3 => {
                self.skip_group(number)?;
                Value::Other
            }
            _ => {
                self.skip_fixed(wire_type)?;
                Value::Other
            }
        };
        Ok(Field { number, value })
    }

    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let tag = self.varint()?;
        // 29 bits of field number and 3 of wire type: one u32.
        let tag = u32::try_from(tag).map_err(|_| Malformed("a field number over 2^29 - 1"))?;
        if tag >> 3 == 0 {
            return Err(Malformed("a field number of 0"));
        }
        Ok((tag >> 3, (tag & 7) as u8))
    }

    /// At most 64 bits in at most 10 bytes. Needless zero bits at the end are allowed, as everywhere in protobuf.
    fn varint(&mut self) -> Result<u64, Malformed> {
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        let mut number = 0;
        for (at, &byte) in self.rest.iter().enumerate().take(10) {
            if at == 9 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(number);
            }
        }
        Err(Malformed(if self.rest.len() < 10 { "it ends inside a number" } else { "a number over 64 bits" }))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.varint()?;
        self.take(length)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let taken = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (bytes, rest) = taken.ok_or(Malformed("a field longer than what is left"))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn skip_fixed(&mut self, wire_type: u8) -> Result<(), Malformed> {
        match wire_type {
            1 => self.take(8).map(drop),
            5 => self.take(4).map(drop),
            4 => Err(Malformed("the end of a group that did not begin")),
            _ => Err(Malformed("an unknown wire type")),
        }
    }

    /// Skips to the end of a group and of those inside it, without recursion.
    fn skip_group(&mut self, number: u32) -> Result<(), Malformed> {
        let mut open = Vec::from([number]);
        while let Some(&innermost) = open.last() {
            if self.rest.is_empty() {
                return Err(Malformed("it ends inside a group"));
            }
            let (number, wire_type) = self.tag()?;
            match wire_type {
                0 => drop(self.varint()?),
                2 => drop(self.bytes()?),
                3 if open.len() == GROUPS_MAX => return Err(Malformed("groups nested too deep")),
                3 => open.push(number),
                4 if number == innermost => drop(open.pop()),
                _ => self.skip_fixed(wire_type)?,
            }
        }
        Ok(())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// A string field's bytes, which proto3 wants to be UTF-8.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    core::str::from_utf8(bytes).map_err(|_| Malformed("a string that is not UTF-8"))
}
