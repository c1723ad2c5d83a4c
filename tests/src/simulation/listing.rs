//! The provider's reading side: one call, the call of a key, the calls to a number; each a little later than it was placed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use trunkline::{Clock, Timestamp};
use trunkline_core_types::VirtualClock;

use super::callbacks::Rung;

/// The calls that can be read.
#[derive(Debug)]
pub(super) struct Listing {
    clock: Arc<VirtualClock>,
    /// How long a call can be read.
    kept: Duration,
    shows_keys: bool,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    by_id: BTreeMap<(String, String), Listed>,
    by_key: BTreeMap<(String, String), String>,
    /// Every call, in order of creation.
    in_order: VecDeque<Listed>,
}

#[derive(Debug, Clone)]
struct Listed {
    call: Arc<Rung>,
    /// Before this no look-up and no list has it.
    listed: Instant,
}

/// The most calls of a page.
const PAGE: usize = 20;

impl Listing {
    /// Calls can be read for `kept` after they were placed.
    pub(super) fn new(clock: Arc<VirtualClock>, kept: Duration) -> Self {
        Self { clock, kept, shows_keys: true, calls: Mutex::default() }
    }

    /// Whether a call shows its key. Default: it does.
    pub(super) fn showing_keys(mut self, shows: bool) -> Self {
        self.shows_keys = shows;
        self
    }

    /// A call was placed; look-ups and lists have it after `lag`.
    pub(super) fn add(&self, call: &Arc<Rung>, lag: Duration) {
        let mut calls = self.calls.lock().unwrap();
        let now = self.clock.now();
        let is_old = |old: &Listed| now.saturating_duration_since(old.call.at) > self.kept;
        while calls.in_order.front().is_some_and(is_old) {
            if let Some(Listed { call: old, .. }) = calls.in_order.pop_front() {
                calls.by_id.remove(&(old.account.clone(), old.id.clone()));
                calls.by_key.remove(&(old.account.clone(), old.key.clone()));
            }
        }
        let (account, id) = (call.account.clone(), call.id.clone());
        calls.by_key.insert((account.clone(), call.key.clone()), id.clone());
        let listed = Listed { call: call.clone(), listed: call.at + lag };
        calls.by_id.insert((account, id), listed.clone());
        calls.in_order.push_back(listed);
    }

    /// The reply to `GET target`, status and body.
    pub(super) fn answer(&self, account: &str, target: &str) -> (u16, String) {
        let rest = target.strip_prefix("/v1/calls").unwrap_or_default();
        if let Some(id) = rest.strip_prefix('/') {
            let found = self.calls.lock().unwrap().by_id.get(&(account.to_owned(), id.to_owned())).cloned();
            return match found {
                Some(listed) => (200, self.view(&listed.call)),
                None => (404, error("not_found")),
            };
        }
        let asked: BTreeMap<&str, String> = rest
            .trim_start_matches('?')
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(decoded)
            .collect();
        let found = match (asked.get("idempotency_key"), asked.get("to")) {
            (Some(key), _) => self.of_key(account, key),
            (None, Some(to)) => self.of_number(account, to, &asked),
            // An unknown filter is ignored.
            (None, None) => self.of_number(account, "", &asked),
        };
        let limit = asked.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE);
        (200, self.page(&found, limit))
    }

    fn of_key(&self, account: &str, key: &str) -> Vec<Arc<Rung>> {
        let calls = self.calls.lock().unwrap();
        let id = calls.by_key.get(&(account.to_owned(), key.to_owned()));
        let found = id.and_then(|id| calls.by_id.get(&(account.to_owned(), id.clone())));
        found
            .filter(|listed| listed.listed <= self.clock.now())
            .map(|listed| listed.call.clone())
            .into_iter()
            .collect()
    }

    fn of_number(&self, account: &str, to: &str, asked: &BTreeMap<&str, String>) -> Vec<Arc<Rung>> {
        let calls = self.calls.lock().unwrap();
        let since = asked.get("created_after").and_then(|at| at.parse::<Timestamp>().ok());
        let since = since.map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
        let now = self.clock.now();
        let fits = |listed: &&Listed| {
            let call = &listed.call;
            let is_his = call.account == account && (to.is_empty() || call.to == to);
            is_his && call.placed >= since && listed.listed <= now
        };
        let after = asked.get("after");
        let matching: Vec<_> = calls.in_order.iter().filter(fits).map(|listed| listed.call.clone()).collect();
        let from = matching.iter().position(|call| Some(&call.id) == after).map_or(0, |at| at + 1);
        matching[from..].to_vec()
    }

    fn page(&self, found: &[Arc<Rung>], limit: usize) -> String {
        let shown: Vec<_> = found.iter().take(limit).collect();
        let last = shown.last().map_or("null".to_owned(), |call| format!(r#""{}""#, call.id));
        let data: Vec<_> = shown.iter().map(|call| self.view(call)).collect();
        let more = found.len() > shown.len();
        format!(r#"{{"data":[{}],"has_more":{more},"last_id":{last}}}"#, data.join(","))
    }

    fn view(&self, call: &Rung) -> String {
        let json = call.json(call.life.at(self.clock.now().saturating_duration_since(call.at)));
        match self.shows_keys {
            true => json,
            false => json.replace(&format!(r#","idempotency_key":"{}""#, call.key), ""),
        }
    }
}

/// The body of an error.
pub(super) fn error(kind: &str) -> String {
    format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}}}}"#)
}

/// Percent-decoding of ASCII.
fn decoded<'a>((name, value): (&'a str, &str)) -> (&'a str, String) {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        text += before;
        let (hex, after) = after.split_at_checked(2).unwrap();
        text.push(char::from(u8::from_str_radix(hex, 16).unwrap()));
        rest = after;
    }
    (name, text + rest)
}
