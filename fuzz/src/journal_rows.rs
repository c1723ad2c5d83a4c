//! Rows of a journal's file that somebody else wrote: they are refused or read, and an answer in them is never dialled over.

use std::time::SystemTime;

use bytes::Bytes;
use rusqlite::params;
use trunkline_core_types::{AttemptJournal as _, Claim, Class, Scope};
use trunkline_journal::SqliteJournal;

use crate::input::Input;
use crate::journal_file::{FAR, Folder, done, intent, settings, word};
use crate::wire;

/// Account, state, class, numbers (last, claims, tried, fence, times), the class and numbers of one attempt, a line each; then a line of
/// the detail and the reply.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (account, state, class) = (input.text(), input.text(), word(input.text()));
    let numbers: Vec<i64> = input.text().split(' ').filter_map(|number| number.parse().ok()).collect();
    let number = |at: usize| numbers.get(at).copied().unwrap_or_default();
    let (attempt_class, detail) = (word(input.text()), input.line());
    let reply = Some(input.rest()).filter(|reply| !reply.is_empty());
    let folder = Folder::new();
    let conn = folder.open();
    let written = done(conn.prepare(CALL)).execute(params![
        account,
        detail,
        number(3),
        state,
        class,
        reply,
        number(0),
        number(1),
        number(2),
        number(4),
        number(5)
    ]);
    if written.is_err() {
        return;
    }
    let attempt = params![number(6), number(7), account, attempt_class, number(8), number(9)];
    // One that the file refuses is not there.
    let _ = done(conn.prepare(ATTEMPT)).execute(attempt);
    drop(conn);
    let row = Row { account, state, class, detail, reply, tried: number(2) };
    row.check(&folder);
}

// A schema without these columns fails at once, so that the target never checks nothing.
const CALL: &str = "INSERT INTO calls (id, key, account, detail, fence_ns, state, class, reply, last_number, claims, tried, claimed_ms,
    changed_ms) VALUES (1, 'k-1', ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const ATTEMPT: &str = "INSERT INTO attempts (call, number, claim, account, class, begun_ms, ended_ms)
    VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)";

struct Row<'a> {
    account: &'a str,
    state: &'a str,
    class: Option<&'a str>,
    detail: &'a [u8],
    reply: Option<&'a [u8]>,
    tried: i64,
}

impl Row<'_> {
    /// Numbers of other columns may be shown, those of the call may not.
    fn hides(&self, error: &(dyn std::error::Error + 'static)) {
        let shown = format!("{error} {error:?}");
        let texts = [self.detail, self.reply.unwrap_or_default()].map(String::from_utf8_lossy);
        for number in texts.iter().flat_map(|text| text.split('+').skip(1)) {
            let digits = number.find(|c: char| !c.is_ascii_digit()).map_or(number, |end| &number[..end]);
            assert!(digits.len() < 7 || !shown.contains(&format!("+{digits}")), "{shown}");
        }
    }

    fn check(&self, folder: &Folder) {
        let journal = match SqliteJournal::open(folder.journal(), settings()) {
            Ok(journal) => journal,
            Err(error) => return self.hides(&error),
        };
        let claim = wire::run(journal.claim(&intent(self.detail)));
        match &claim {
            Err(error) => self.hides(error),
            Ok(Claim::Go { number }) => {
                assert!(*number >= 1);
                assert!(!matches!(self.state, "settled" | "left"), "dialled over {}", self.state);
                assert!(self.state != "held" || self.tried == 0, "dialled over an attempt");
            }
            Ok(Claim::Settled(class, _)) => {
                let known = match class {
                    Class::Accepted => "accepted",
                    Class::Rejected(Scope::Call) => "rejected",
                    other => panic!("an answer of class {other:?}"),
                };
                assert_eq!((self.state, self.class), ("settled", Some(known)));
            }
            Ok(Claim::Open) => assert!(matches!(self.state, "held" | "left")),
            Ok(Claim::Mismatch) => panic!("the same detail"),
        }
        let other = wire::run(journal.claim(&intent(b"another call")));
        assert!(!matches!(other, Ok(Claim::Settled(..))) || self.detail == b"another call");
        match wire::run(journal.open_calls(SystemTime::UNIX_EPOCH + FAR, None, 10)) {
            Ok(open) => assert!(open.iter().all(|intent| intent.account.as_str() == self.account)),
            Err(error) => self.hides(&error),
        }
        // A proof changes nothing that stands.
        let Ok(key) = "k-1".parse() else { unreachable!("a key") };
        drop(journal.settle(&key, Class::Accepted, Some(Bytes::from_static(b"proof"))));
        drop(journal);
        self.stands(folder);
    }

    /// What the readers make of the file afterwards.
    fn stands(&self, folder: &Folder) {
        let view = match SqliteJournal::read_only(folder.journal()) {
            Ok(view) => view,
            Err(error) => return self.hides(&error),
        };
        let status = match view.status() {
            Ok(status) => status,
            Err(error) => return self.hides(&error),
        };
        let sum = status.claimed + status.open + status.accepted + status.rejected + status.free;
        assert!(sum == 1 || self.tried < 0, "{status:?}");
        if self.state == "settled" && self.class == Some("rejected") {
            assert_eq!(status.rejected, 1, "an answer was changed");
        }
        let mut exported = Vec::new();
        if let Err(error) = view.export(&mut exported) {
            return self.hides(&error);
        }
        assert_eq!(exported.iter().filter(|&&byte| byte == b'\n').count(), 1);
        assert!(
            serde_json::from_slice::<serde_json::Value>(&exported).is_ok_and(|line| line["key"] == "k-1")
        );
        if let Err(error) = view.integrity_check() {
            self.hides(&error);
        }
    }
}
