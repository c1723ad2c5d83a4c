//! Callbacks as the provider sends them: signed, late, lost, twice, out of order, forged; and what each must do.

mod expected;
mod outbox;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Request;
use tokio::sync::Notify;
use trunkline::{AccountId, CallRef, Clock, WebhookErrorKind, Webhooks};
use trunkline_core_types::{ClockExt, EntropyExt, MacKey, SeededEntropy, VirtualClock};

use self::expected::Told;
use self::outbox::{Forgery, Outbox, Sending};
use super::lives::{Life, Named, Step, moment};

/// A call of which the provider tells.
#[derive(Debug)]
pub(super) struct Rung {
    pub(super) account: String,
    pub(super) id: String,
    pub(super) key: String,
    pub(super) to: String,
    pub(super) placed: SystemTime,
    pub(super) at: Instant,
    pub(super) life: Life,
    told: Mutex<Told>,
}

impl Rung {
    pub(super) fn new(
        account: String,
        id: String,
        key: String,
        to: String,
        clock: &VirtualClock,
        life: Life,
    ) -> Self {
        let (placed, at) = (clock.wall(), clock.now());
        Self { account, id, key, to, placed, at, life, told: Mutex::default() }
    }

    pub(super) fn json(&self, step: Step) -> String {
        let named = Named { id: &self.id, key: &self.key, to: &self.to, placed: self.placed };
        self.life.json(&named, step)
    }
}

/// Who takes what is sent: the web servers of the client's processes.
pub(super) trait Receivers: Sync {
    /// The next one, with a number that no other client has, also none before a restart; none while nobody listens.
    fn next(&self) -> Option<(u32, Webhooks)>;

    /// A genuine event was taken for the first time by this receiver.
    fn taken(&self, call: &Rung, step: Step);

    /// Something that does not hold of a call's events.
    fn wrong(&self, key: &str, problem: String);
}

/// How hostile the way is, and what the provider signs with.
pub(super) struct Manners {
    /// Chance of trouble of an event, in per mille, and whether it happens where it was drawn, by the trouble's name.
    pub(super) trouble: u64,
    pub(super) happens: Box<dyn Fn(String) -> bool + Send + Sync>,
    /// The secret at this moment.
    pub(super) secret: Box<dyn Fn() -> String + Send + Sync>,
    /// Refusals of genuine events that the run explains: a jumping clock, a rotating secret.
    pub(super) explained: Vec<WebhookErrorKind>,
}

/// The provider's sender.
pub(super) struct Callbacks {
    seed: u64,
    manners: Manners,
    clock: Arc<VirtualClock>,
    outbox: Mutex<Outbox>,
    bell: Notify,
}

impl Callbacks {
    pub(super) fn new(seed: u64, manners: Manners, clock: Arc<VirtualClock>) -> Self {
        Self { seed, manners, clock, outbox: Mutex::default(), bell: Notify::new() }
    }

    /// A call was placed: its events are sent in their time.
    pub(super) fn tell(&self, call: &Arc<Rung>) {
        let mut outbox = self.outbox();
        let steps: Vec<Step> = call.life.steps().collect();
        for (index, step) in steps.iter().enumerate() {
            let entropy = self.entropy(&call.key, index as u64);
            let next = steps.get(index + 1).map_or(step.age, |next| next.age);
            let way = Duration::from_millis(5 + entropy.below(75));
            let send = Sending { call: call.clone(), step: *step, index, sends: 0, forgery: None };
            let at = call.at + step.age + way;
            let troubled = entropy.below(1_000) < self.manners.trouble;
            if !troubled || !(self.manners.happens)(format!("event:{}#{index}", call.key)) {
                outbox.push(at, send);
                continue;
            }
            let late = Duration::from_millis(entropy.below(300_000));
            let whole = Duration::from_secs(60).mul_f64(entropy.fraction());
            match entropy.below(6) {
                0 => {}
                1 => outbox.push(at + late, send),
                2 => outbox.push(call.at + next + way + Duration::from_millis(100), send),
                3 => {
                    outbox.push(at, send.clone());
                    outbox.push(at + whole, send);
                }
                4 => {
                    (0..3).for_each(|_| outbox.push(at, send.clone()));
                    outbox.push(at + late, send);
                }
                _ => {
                    let forgery = Forgery::ALL[entropy.below(Forgery::ALL.len() as u64) as usize];
                    outbox.push(call.at + way, Sending { forgery: Some(forgery), ..send.clone() });
                    outbox.push(at, send);
                }
            }
        }
        drop(outbox);
        self.bell.notify_one();
    }

    /// Somebody who does not know the secret claims that this call rang.
    pub(super) fn forge(&self, call: &Arc<Rung>) {
        let entropy = self.entropy(&call.key, u64::MAX);
        let forgery = Forgery::ALL[entropy.below(Forgery::ALL.len() as u64) as usize];
        let step = Step { age: Duration::ZERO, status: "ringing" };
        let send = Sending { call: call.clone(), step, index: 0, sends: 0, forgery: Some(forgery) };
        self.outbox().push(call.at + Duration::from_millis(entropy.below(2_000)), send);
        self.bell.notify_one();
    }

    /// No call is placed any more: [`Callbacks::deliver`] ends when everything is sent.
    pub(super) fn close(&self) {
        self.outbox().closed = true;
        self.bell.notify_one();
    }

    /// Sends what is due, one after another, until everything is sent after [`Callbacks::close`].
    pub(super) async fn deliver(&self, receivers: &dyn Receivers) {
        loop {
            let (due, send) = {
                let mut outbox = self.outbox();
                let due = outbox.next_due();
                if due.is_none() && outbox.closed {
                    return;
                }
                let now = self.clock.now();
                (due, due.filter(|due| *due <= now).and_then(|_| outbox.pop()))
            };
            match (send, due) {
                (Some(send), _) => self.send(send, receivers).await,
                (None, Some(due)) => {
                    // Something sooner may come meanwhile.
                    let _ = self.clock.bounded(due, self.bell.notified()).await;
                }
                (None, None) => self.bell.notified().await,
            }
        }
    }

    async fn send(&self, mut send: Sending, receivers: &dyn Receivers) {
        let Some((receiver, webhooks)) = receivers.next() else { return self.again(send) };
        let account: AccountId = send.call.account.parse().unwrap();
        let reference = CallRef { account: account.clone(), id: send.call.id.parse().unwrap() };
        let request = self.request(&send);
        let before = match send.forgery {
            Some(_) => Some(webhooks.state(&reference).await.unwrap()),
            None => None,
        };
        let taken = webhooks.accept(&account, &request).await;
        let (key, name) = (&*send.call.key.clone(), format!("event {}", send.step.status));
        if let Some(before) = before {
            let refused = taken.is_err_and(|error| error.kind() == WebhookErrorKind::Signature);
            if !refused || before != webhooks.state(&reference).await.unwrap() {
                receivers.wrong(key, format!("a forged {name} was not refused: {:?}", send.forgery));
            }
            return;
        }
        match taken {
            Ok(accepted) => {
                let (problem, first) = {
                    let mut told = send.call.told.lock().unwrap();
                    let first = told.note(receiver, send.index);
                    (told.disagrees(receiver, &send.call, &accepted, first), first)
                };
                self.outbox().taken += 1;
                if let Some(problem) = problem {
                    receivers.wrong(key, format!("{name}: {problem}"));
                }
                if first {
                    receivers.taken(&send.call, send.step);
                }
            }
            Err(error) => {
                let known = error.kind() == WebhookErrorKind::Unavailable;
                if !known && !self.manners.explained.contains(&error.kind()) {
                    receivers.wrong(key, format!("{name} was refused: {error}"));
                }
                send.sends += 1;
                self.again(send);
            }
        }
    }

    /// Not taken: sent again later, with growing pauses, for some hours.
    fn again(&self, send: Sending) {
        let pause = Duration::from_secs(5 << send.sends.min(7));
        if send.sends < 30 {
            self.outbox().push(self.clock.now() + pause, send);
        }
    }

    fn request(&self, send: &Sending) -> Request<Bytes> {
        let status = send.step.status;
        let body = format!(
            r#"{{"event_id":"evt_{}_{}","created":"{}","type":"call.{status}","call":{}}}"#,
            send.call.id,
            send.index,
            moment(send.call.placed + send.step.age),
            send.call.json(send.step)
        );
        let secret = (self.manners.secret)();
        let sign = |secret: &str, body: &str| MacKey::new(secret.as_bytes()).x_signature(body.as_bytes());
        let (mut headers, mut sent) = (vec![sign(&secret, &body)], body.clone());
        match send.forgery {
            None => {}
            Some(Forgery::OtherSecret) => headers = vec![sign("somebody-else", &body)],
            Some(Forgery::OtherBody) => sent = body.replace(r#","cost":"#, r#","cost":9"#),
            Some(Forgery::Unsigned) => headers.clear(),
            Some(Forgery::SignedTwice) => headers.push(sign("somebody-else", &body)),
        }
        let mut request = Request::post("https://example.com/events");
        for header in headers {
            request = request.header("x-signature", header);
        }
        request.body(Bytes::from(sent)).unwrap()
    }

    fn entropy(&self, key: &str, index: u64) -> SeededEntropy {
        let key = key
            .bytes()
            .fold(self.seed, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        SeededEntropy::new(trunkline_core_types::Entropy::next(&SeededEntropy::new(
            key ^ index.rotate_right(8),
        )))
    }

    /// Events that were taken, repeats included.
    pub(super) fn taken(&self) -> u64 {
        self.outbox().taken
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap()
    }
}

impl std::fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callbacks").field("seed", &self.seed).finish_non_exhaustive()
    }
}
