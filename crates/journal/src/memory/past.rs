//! A key that nobody holds, as small as it goes: there may be a million of them, and most are never looked at again.

use std::time::SystemTime;

use bytes::{Buf, BufMut, Bytes};
use trunkline_core_types::{Class, IdempotencyKey, Intent, JournalError};

use crate::life::{Ended, Open};

/// A key that ended. It keeps none of its call's memory, so that the next call finds that warm.
#[derive(Debug)]
pub(super) struct Past {
    /// When it ended, in nanoseconds since 1970, and two lengths, then key, detail and reply.
    text: Box<[u8]>,
    replied: bool,
    ended: Ended,
}

impl Past {
    /// An open key with its answer, or free without one.
    pub(super) fn of(open: Open, answer: Option<Class>, reply: Option<Bytes>, now: SystemTime) -> Self {
        let Intent { key, detail, .. } = &*open.intent;
        let text = pack(nanos(now), key.as_str().as_bytes(), detail, reply.as_deref());
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
            self.text = pack((&*self.text).get_u64(), key, detail, Some(&reply));
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

fn pack(at: u64, key: &[u8], detail: &[u8], reply: Option<&[u8]>) -> Box<[u8]> {
    const { assert!(IdempotencyKey::MAX <= u8::MAX as usize) };
    let reply = reply.unwrap_or_default();
    let mut text = Vec::with_capacity(8 + 1 + 8 + key.len() + detail.len() + reply.len());
    text.put_u64(at);
    text.put_u8(key.len() as u8);
    text.put_u64(detail.len() as u64);
    for part in [key, detail, reply] {
        text.extend_from_slice(part);
    }
    text.into_boxed_slice()
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
            let mut past = Past::of(open(&key, detail.clone()), Some(class), bytes(&reply), now);
            let mut kept = bytes(&reply);
            for reply in &later {
                past.settle(class, bytes(reply)).unwrap();
                kept = kept.or(bytes(reply));
            }
            prop_assert_eq!(past.answer(), Some((class, kept)));
            prop_assert_eq!((past.key(), past.last()), (key.as_bytes(), 7));
            prop_assert!(past.is_of(&detail) && !past.is_of(&[&detail[..], b"x"].concat()));
            prop_assert_eq!(past.text.len(), 17 + key.len() + detail.len() + past.parts().2.len());
        }
    }

    #[test]
    fn a_free_key_has_no_answer_until_it_is_proven() {
        let mut past = Past::of(open("key", b"call".to_vec()), None, None, SystemTime::UNIX_EPOCH);
        past.settle(Class::Unsent, Some("of nothing".into())).unwrap();
        assert_eq!(past.answer(), None);
        past.settle(Class::Accepted, Some("proof".into())).unwrap();
        assert_eq!(past.answer(), Some((Class::Accepted, Some("proof".into()))));
    }

    #[test]
    fn it_is_never_older_than_it_is() {
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let ended = |at| Past::of(open("key", b"call".to_vec()), None, None, at);
        assert!(ended(at(61_500)).ended_before(at(61_501)));
        for time in [0, 61_000, 61_499, 61_500] {
            assert!(!ended(at(61_500)).ended_before(at(time)), "{time}");
        }
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 35);
        assert!(!ended(far).ended_before(far + Duration::from_secs(1 << 20)));
        assert!(!ended(at(0)).ended_before(SystemTime::UNIX_EPOCH - Duration::from_secs(1)));
    }
}
