//! Server-sent events, read incrementally and without losing a byte.
//!
//! The usual readers give the decoded events and drop the bytes they were made of. A gateway needs both: it looks into
//! an event to see whether the answer is complete, and sends the very bytes on. So each [`Event`] carries the bytes it
//! was read from, and those of all events, plus [`Reader::rest`], joined, are exactly what was pushed.
//!
//! The grammar is that of the HTML standard: lines end in LF, CR LF or CR, an empty line ends an event, a line
//! `data: x` adds to its data, and a line that starts with a colon is a comment. Only the data is decoded: the
//! OpenAI dialect uses nothing else.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// The most bytes an event may have: 8 MiB. A longer one is no chunk of an answer but a broken or hostile server, and
/// an event must be held until it is complete.
pub const MAX_EVENT_BYTES: usize = 8 << 20;

/// An event is longer than [`MAX_EVENT_BYTES`], or than the reader's own bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stream has an event of more than {0} bytes; the provider is broken or does not send server-sent events"
)]
pub struct EventTooLong(usize);

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The bytes of the event as they came, the empty line that ends it included.
    pub raw: Bytes,
}

impl Event {
    /// The event's data: its `data:` lines joined by line feeds; `None` if it has none (a comment that keeps the
    /// connection alive).
    pub fn data(&self) -> Option<Cow<'_, [u8]>> {
        let mut data: Option<Cow<'_, [u8]>> = None;
        // A CR LF splits twice, and the empty line between is none that matters here.
        for line in self.raw.split(|&b| b == b'\n' || b == b'\r') {
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            let Some(value) = line.strip_prefix(b"data") else {
                continue;
            };
            let value = match value {
                [] => value,
                [b':', b' ', value @ ..] | [b':', value @ ..] => value,
                // Another field whose name begins alike.
                _ => continue,
            };
            data = Some(match data {
                None => Cow::Borrowed(value),
                Some(before) => {
                    let mut joined = before.into_owned();
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                    Cow::Owned(joined)
                }
            });
        }
        data
    }
}

/// Cuts a stream of bytes into events, wherever the network cut it.
///
/// ```
/// let mut reader = kalibr_upstream::sse::Reader::default();
/// reader.push(b"data: 1\r\n\r\ndata: [DO");
/// assert_eq!(reader.next().unwrap().unwrap().data().unwrap(), b"1".as_slice());
/// assert!(reader.next().is_none());
/// reader.push(b"NE]\n\n");
/// assert_eq!(reader.next().unwrap().unwrap().data().unwrap(), b"[DONE]".as_slice());
/// ```
#[derive(Debug)]
pub struct Reader {
    buffer: BytesMut,
    /// How much of the buffer was looked at: an event that arrives byte by byte is still read once.
    scanned: usize,
    /// Whether the byte at `scanned` begins a line.
    line_start: bool,
    /// Whether the byte before `scanned` is a CR that a LF may complete.
    after_cr: bool,
    max: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self::with_limit(MAX_EVENT_BYTES)
    }
}

impl Reader {
    /// A reader that refuses an event of more than `max` bytes.
    pub fn with_limit(max: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, line_start: true, after_cr: false, max }
    }

    /// Adds bytes as they came from the network.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete event, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// [`EventTooLong`] when the event that is being read exceeds the bound; the stream cannot be read further.
    #[expect(clippy::should_implement_trait, reason = "None means not yet, which an iterator must not say")]
    pub fn next(&mut self) -> Option<Result<Event, EventTooLong>> {
        while let Some(&byte) = self.buffer.get(self.scanned) {
            self.scanned += 1;
            let completes_cr = std::mem::take(&mut self.after_cr) && byte == b'\n';
            if completes_cr {
                continue;
            }
            let ends_line = byte == b'\n' || byte == b'\r';
            if !ends_line {
                // Nothing happens until the line ends: nearly all bytes of an event are passed over at once.
                let rest = &self.buffer[self.scanned..];
                self.scanned += memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            }
            self.after_cr = byte == b'\r';
            if ends_line && self.line_start {
                // The LF of a CR LF that is already here belongs to this event; one that comes later begins the
                // next event's bytes, where it is an empty line without an event and does no harm.
                if self.after_cr && self.buffer.get(self.scanned) == Some(&b'\n') {
                    self.scanned += 1;
                    self.after_cr = false;
                }
                let raw = self.buffer.split_to(std::mem::take(&mut self.scanned)).freeze();
                return Some(if raw.len() > self.max {
                    Err(EventTooLong(self.max))
                } else {
                    Ok(Event { raw })
                });
            }
            self.line_start = ends_line;
        }
        (self.buffer.len() > self.max).then_some(Err(EventTooLong(self.max)))
    }

    /// The bytes that are no complete event yet. At the end of a stream they are what a sloppy server left unended;
    /// as an event they can be looked into all the same.
    pub fn rest(&mut self) -> Event {
        self.scanned = 0;
        self.line_start = true;
        Event { raw: self.buffer.split().freeze() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]]) -> (Vec<Option<Vec<u8>>>, Vec<u8>) {
        let mut reader = Reader::default();
        let (mut data, mut raw) = (Vec::new(), Vec::new());
        for chunk in chunks {
            reader.push(chunk);
            while let Some(event) = reader.next() {
                let event = event.unwrap();
                data.push(event.data().map(Cow::into_owned));
                raw.extend_from_slice(&event.raw);
            }
        }
        raw.extend_from_slice(&reader.rest().raw);
        (data, raw)
    }

    #[test]
    fn every_line_ending_is_one() {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("data: a{end}data:b{end}id: 7{end}{end}: ping{end}{end}data{end}{end}");
            let (data, raw) = read(&[text.as_bytes()]);
            assert_eq!(data, [Some(b"a\nb".to_vec()), None, Some(vec![])], "{end:?}");
            assert_eq!(raw, text.as_bytes());
        }
    }

    #[test]
    fn a_byte_order_mark_and_fields_that_begin_alike_are_no_data() {
        let (data, _) = read(&[b"\xef\xbb\xbfdata: x\n\n", b"database: y\n\n"]);
        assert_eq!(data, [Some(b"x".to_vec()), None]);
    }

    #[test]
    fn an_event_without_end_is_refused_instead_of_held() {
        let mut reader = Reader::with_limit(100);
        reader.push(&[b'x'; 101]);
        assert_eq!(reader.next(), Some(Err(EventTooLong(100))));
    }

    proptest! {
        #[test]
        fn wherever_the_network_cuts_the_events_are_the_same_and_no_byte_is_lost(
            pieces in proptest::collection::vec(
                prop_oneof!["data: [a-z]{0,5}", "[\n\r]{1,3}", ": [a-z]*", "\r\n", "data", "é"], 0..20),
            cuts in proptest::collection::vec(0usize..200, 0..20),
        ) {
            let text = pieces.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let (whole, raw_whole) = read(&[&text]);
            let (cut, raw_cut) = read(&chunks);
            prop_assert_eq!(whole, cut);
            prop_assert_eq!(&raw_whole, &text);
            prop_assert_eq!(&raw_cut, &text);
        }
    }
}
