//! A key that nobody holds, as small as it goes: there may be a million of them, and most are never looked at again.

use std::time::SystemTime;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use trunkline_core_types::{Class, IdempotencyKey, Intent, JournalError};

use crate::life::{Ended, Open};

/// How much is asked of the allocator for the keys that end next. They lie one behind the other: a block for each would leave gaps of all
/// sizes between them, through which every later search for memory goes. One goes back when all of its keys are forgotten.
const CHUNK: usize = 64 * 1024;

/// A key that ended. It keeps none of its call's memory, so that the next call finds that warm.
#[derive(Debug)]
pub(super) struct Past {
    /// When it ended, in nanoseconds since 1970, and two lengths, then key, detail and reply.
    text: Bytes,
    replied: bool,
    ended: Ended,
}

impl Past {
    /// An open key with its answer, or free without one; its text goes into `room`.
    pub(super) fn of(
        open: Open,
        answer: Option<Class>,
        reply: Option<Bytes>,
        now: SystemTime,
        room: &mut BytesMut,
    ) -> Self {
        let Intent { key, detail, .. } = &*open.intent;
        let (key, kept) = (key.as_str().as_bytes(), reply.as_deref().unwrap_or_default());
        let length = length(key, detail, kept);
        if room.capacity() < length {
            // Not grown, which would copy what is still held.
            *room = BytesMut::with_capacity(length.max(CHUNK));
        }
        let text = pack(room, nanos(now), key, detail, kept);
        Self { text, replied: reply.is_some(), ended: open.ended(answer) }
    }

    pub(super) fn key(&self) -> &[u8] {
        self.parts().0
    }

    /// Whether it stands for this call.
    pub(super) fn is_of(&self, detail: &[u8]) -> bool {
        self.parts().1 == detail
    }

    /// The answer; none if the key is free.
    pub(super) fn answer(&self) -> Option<(Class, Option<Bytes>)> {
        let reply = || self.replied.then(|| Bytes::copy_from_slice(self.parts().2));
        self.ended.answer().map(|class| (class, reply()))
    }

    /// The highest number used under the key.
    pub(super) fn last(&self) -> u32 {
        self.ended.last()
    }

    /// Whether it surely ended before `time`. Beyond 2554 no time is before another.
    pub(super) fn ended_before(&self, time: SystemTime) -> bool {
        (&*self.text).get_u64() < nanos(time)
    }

    pub(super) fn end(
        &mut self,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        if self.ended.end(number, class)? {
            self.take(reply);
        }
        Ok(())
    }

    pub(super) fn settle(&mut self, class: Class, reply: Option<Bytes>) -> Result<(), JournalError> {
        if self.ended.settle(class)? {
            self.take(reply);
        }
        Ok(())
    }

    fn take(&mut self, reply: Option<Bytes>) {
        if let (false, Some(reply)) = (self.replied, reply) {
            let (key, detail, _) = self.parts();
            let at = (&*self.text).get_u64();
            let mut room = BytesMut::with_capacity(length(key, detail, &reply));
            self.text = pack(&mut room, at, key, detail, &reply);
            self.replied = true;
        }
    }

    fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        let mut text = &self.text[8..];
        let (key, detail) = (text.get_u8().into(), text.get_u64() as usize);
        let (key, text) = text.split_at(key);
        let (detail, reply) = text.split_at(detail);
        (key, detail, reply)
    }
}

fn length(key: &[u8], detail: &[u8], reply: &[u8]) -> usize {
    8 + 1 + 8 + key.len() + detail.len() + reply.len()
}

fn pack(room: &mut BytesMut, at: u64, key: &[u8], detail: &[u8], reply: &[u8]) -> Bytes {
    const { assert!(IdempotencyKey::MAX <= u8::MAX as usize) };
    room.put_u64(at);
    room.put_u8(key.len() as u8);
    room.put_u64(detail.len() as u64);
    for part in [key, detail, reply] {
        room.extend_from_slice(part);
    }
    room.split().freeze()
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;

    fn open(key: &str, detail: Vec<u8>) -> Open {
        let intent = Intent {
            key: key.parse().unwrap(),
            account: "main".parse().unwrap(),
            detail: detail.into(),
            fence: SystemTime::UNIX_EPOCH,
        };
        Open::new(Arc::new(intent), 7)
    }

    proptest! {
        #[test]
        fn it_answers_what_it_was_given(
            key in "[!-~]{1,255}",
            detail: Vec<u8>,
            reply: Option<Vec<u8>>,
            later in proptest::collection::vec(any::<Option<Vec<u8>>>(), 0..3),
        ) {
            let bytes = |reply: &Option<Vec<u8>>| reply.clone().map(Bytes::from);
            let (class, now) = (Class::Accepted, SystemTime::UNIX_EPOCH);
            let mut past = Past::of(open(&key, detail.clone()), Some(class), bytes(&reply), now, &mut BytesMut::new());
            let mut kept = bytes(&reply);
            for reply in &later {
                past.settle(class, bytes(reply)).unwrap();
                kept = kept.or(bytes(reply));
            }
            prop_assert_eq!(past.answer(), Some((class, kept)));
            prop_assert_eq!((past.key(), past.last()), (key.as_bytes(), 8), "the number that was given to the claim");
            prop_assert!(past.is_of(&detail) && !past.is_of(&[&detail[..], b"x"].concat()));
            prop_assert_eq!(past.text.len(), 17 + key.len() + detail.len() + past.parts().2.len());
        }
    }

    #[test]
    fn a_free_key_has_no_answer_until_it_is_proven() {
        let mut past =
            Past::of(open("key", b"call".to_vec()), None, None, SystemTime::UNIX_EPOCH, &mut BytesMut::new());
        past.settle(Class::Unsent, Some("of nothing".into())).unwrap();
        assert_eq!(past.answer(), None);
        past.settle(Class::Accepted, Some("proof".into())).unwrap();
        assert_eq!(past.answer(), Some((Class::Accepted, Some("proof".into()))));
    }

    #[test]
    fn it_is_never_older_than_it_is() {
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let ended = |at| Past::of(open("key", b"call".to_vec()), None, None, at, &mut BytesMut::new());
        assert!(ended(at(61_500)).ended_before(at(61_501)));
        for time in [0, 61_000, 61_499, 61_500] {
            assert!(!ended(at(61_500)).ended_before(at(time)), "{time}");
        }
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 35);
        assert!(!ended(far).ended_before(far + Duration::from_secs(1 << 20)));
        assert!(!ended(at(0)).ended_before(SystemTime::UNIX_EPOCH - Duration::from_secs(1)));
    }

    #[test]
    fn keys_lie_one_behind_the_other() {
        let (mut room, now) = (BytesMut::new(), SystemTime::UNIX_EPOCH);
        let mut past = |detail: &[u8]| Past::of(open("key", detail.to_vec()), None, None, now, &mut room);
        let first = past(b"call");
        let second = past(b"call");
        assert_eq!(second.text.as_ptr() as usize - first.text.as_ptr() as usize, first.text.len());
        let large = past(&[7; 2 * CHUNK]);
        drop(past(b"call"));
        assert!(first.is_of(b"call") && second.is_of(b"call") && large.is_of(&[7; 2 * CHUNK]));
    }
}
