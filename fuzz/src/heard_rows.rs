//! What a journal's file says was heard of a call, in rows that somebody else wrote: they are read or refused, an answer stands whatever
//! they say, and an event counts once.

use std::error::Error;

use rusqlite::{Connection, params};
use trunkline_core_types::{
    AttemptJournal as _, Call, CallEvent, CallJournal as _, CallRef, CallState, Claim, Class,
};
use trunkline_journal::SqliteJournal;

use crate::input::Input;
use crate::journal_file::{Folder, done, intent, settings, word};
use crate::{quiet, wire};

/// The version of the file (`2`, or anything else for today's), then the call and the status that the reply of `k-1` told, then key, status,
/// its time and whether it is over, as they stand of `call_1`, a line each; then its events, a line each, with `|` between the columns.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let folder = if input.text() == "2" { Folder::version_2() } else { Folder::new() };
    let (call, said, key) = (word(input.text()), word(input.text()), word(input.text()));
    let (status, since, over) = (input.text(), input.text(), input.text() == "over");
    let events = String::from_utf8_lossy(input.rest());
    let conn = folder.open();
    done(conn.prepare(CALL)).execute(params![call, said]).unwrap_or_else(|error| panic!("{error}"));
    let heard = done(conn.prepare(HEARD)).execute(params![key, status, over, since]);
    let events: Vec<Vec<&str>> = events.lines().take(8).map(|line| line.split('|').collect()).collect();
    if heard.is_ok() {
        events.iter().for_each(|event| insert(&conn, event));
    }
    drop(conn);
    let texts = [call, said, key, Some(status), Some(since)].into_iter().flatten();
    let texts = texts.chain(events.iter().flatten().copied()).filter(|text| quiet::has_number(text));
    Heard { call, key, texts: texts.collect() }.check(&folder);
}

const CALL: &str = "INSERT INTO calls VALUES (1, 'k-1', 'main', CAST('detail' AS BLOB), 4000000000000000000, 'settled', 'accepted',
    CAST('reply' AS BLOB), 1, 1, 1, 4000000000000, 4000000000000, ?1, ?2)";
const HEARD: &str = "INSERT INTO heard_calls VALUES (1, 'main', 'call_1', ?1, ?2, ?3, ?4, 4000000000000)";
const EVENT: &str = "INSERT INTO events VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, 4000000000000)";

/// Event, created, status, ended, duration, amount, currency; one that the file refuses is not there.
fn insert(conn: &Connection, event: &[&str]) {
    let text = |at: usize| event.get(at).copied().unwrap_or_default();
    let duration = text(4).parse::<i64>().ok();
    let row = params![text(0), text(1), text(2), word(text(3)), duration, word(text(5)), word(text(6))];
    let _ = done(conn.prepare(EVENT)).execute(row);
}

struct Heard<'a> {
    call: Option<&'a str>,
    key: Option<&'a str>,
    /// Those in which a number stands.
    texts: Vec<&'a str>,
}

impl Heard<'_> {
    fn hides(&self, error: &(dyn Error + 'static)) {
        let shown = format!("{error} {error:?}");
        let told = self.texts.iter().find(|text| shown.contains(**text));
        assert!(told.is_none(), "{shown}");
    }

    fn check(&self, folder: &Folder) {
        let journal = match SqliteJournal::open(folder.journal(), settings()) {
            Ok(journal) => journal,
            Err(error) => return self.hides(&error),
        };
        let answer = Claim::Settled(Class::Accepted, Some("reply".into()));
        assert_eq!(done(wire::run(journal.claim(&intent(b"detail")))), answer);
        let of: CallRef = done("main/call_1".parse());
        match wire::run(journal.key_of(&of)) {
            Ok(told) => {
                let placed = (self.call == Some("call_1")).then_some("k-1");
                assert_eq!(told.as_ref().map(|key| key.as_str()), self.key.or(placed));
            }
            Err(error) => self.hides(&error),
        }
        let state = self.hears(&journal, &of);
        drop(journal);
        self.stands(folder, state.as_ref());
    }

    /// Takes an end, once; the state that is told then, if the rows can be read.
    fn hears(&self, journal: &SqliteJournal, of: &CallRef) -> Option<CallState> {
        let before = match wire::run(journal.state(of)) {
            Ok(state) => state.unwrap_or_default(),
            Err(error) => {
                self.hides(&error);
                return None;
            }
        };
        let call = Call::new(of.id.clone(), done("completed".parse()));
        let end = CallEvent::new(done("the-end".parse()), done("2026-01-31T08:00:00Z".parse()), call);
        let heard = done(wire::run(journal.hear(of, &end)));
        assert!(!before.is_over() || heard.state.is_over(), "an end was taken back");
        assert!(heard.duplicate || heard.state.is_over(), "an end that does not count");
        assert!(!heard.duplicate || heard.state == before, "a repeat changed something");
        let again = done(wire::run(journal.hear(of, &end)));
        assert!(again.duplicate && again.state == heard.state, "an event counted twice");
        assert_eq!(done(wire::run(journal.state(of))).as_ref(), Some(&heard.state));
        (!heard.duplicate).then_some(heard.state)
    }

    /// What the readers make of the file afterwards.
    fn stands(&self, folder: &Folder, state: Option<&CallState>) {
        let view = done(SqliteJournal::read_only(folder.journal()));
        assert_eq!(done(view.status()).accepted, 1);
        let states = done(view.call_states());
        assert_eq!(states.iter().map(|(_, count)| count).sum::<u64>(), 1, "{states:?}");
        let mut exported = Vec::new();
        done(view.export(&mut exported));
        let line: serde_json::Value = done(serde_json::from_slice(&exported));
        assert_eq!(line["call"].as_str(), self.call);
        if let Some(status) = state.and_then(CallState::status).filter(|_| self.call == Some("call_1")) {
            assert_eq!(line["status"], status.as_str());
        }
        done(view.integrity_check());
    }
}
