//! The breaker's state, pure over the time it is handed.

use std::time::{Duration, Instant};

use trunkline_core_types::BreakerState;
#[cfg(trunkline_mutation)]
use trunkline_core_types::Mutation;

use super::settings::BreakerSettings;

/// What an attempt showed of its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// It answers.
    Well,
    /// It does not, or not as it should.
    Ill,
    /// Nothing.
    None,
}

/// The right to make one attempt; goes back with what it showed. Of an older epoch it changes nothing.
#[derive(Debug)]
pub(super) struct Ticket {
    epoch: u64,
    /// When the attempt began.
    pub(super) since: Instant,
}

#[derive(Debug)]
pub(super) struct Circuit {
    settings: BreakerSettings,
    epoch: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Closed(Window),
    Open {
        until: Instant,
    },
    /// `ends_by` is the last deadline of its probes.
    HalfOpen {
        reserved: u32,
        well: u32,
        ends_by: Instant,
    },
}

/// After a refusal for want of a probe: by then one has likely been answered.
const PROBE_TIME: Duration = Duration::from_secs(1);

impl Circuit {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        Self { settings, epoch: 0, phase: Phase::Closed(Window::default()) }
    }

    /// Grows with each change of phase, so that an answer is known to belong to an earlier one.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed(_))
    }

    pub(super) fn state(&self, now: Instant) -> BreakerState {
        match self.phase {
            Phase::Closed(_) => BreakerState::Closed,
            Phase::Open { until } if now < until => BreakerState::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How long an attempt would be refused from now on; `None` if it would pass.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        match self.phase {
            Phase::Open { until } if now < until => Some(until - now),
            Phase::HalfOpen { reserved, well, ends_by } if reserved + well >= self.settings.probes => {
                let overdue = now.saturating_duration_since(ends_by) >= PROBE_TIME;
                #[cfg(trunkline_mutation)]
                let overdue = overdue && !Mutation::ProbeKept.is_on();
                (!overdue).then_some(PROBE_TIME)
            }
            _ => None,
        }
    }

    /// Reserves an attempt that is over by `ends_by`, or says how long to wait.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        ends_by: impl FnOnce() -> Instant,
    ) -> Result<Ticket, Duration> {
        if let Some(wait) = self.wait(now) {
            return Err(wait);
        }
        let probes = self.settings.probes;
        match self.phase {
            Phase::Open { .. } => self.enter(Phase::HalfOpen { reserved: 0, well: 0, ends_by: now }),
            // Past their deadlines nobody polls those that are out, and nobody may ever drop them.
            Phase::HalfOpen { reserved, well, .. } if reserved + well >= probes => {
                self.enter(Phase::HalfOpen { reserved: 0, well: 0, ends_by: now });
            }
            _ => {}
        }
        if let Phase::HalfOpen { reserved, ends_by: last, .. } = &mut self.phase {
            *reserved += 1;
            *last = ends_by().max(*last);
        }
        Ok(Ticket { epoch: self.epoch, since: now })
    }

    /// An attempt is over; `jitter` gives a fraction, for an open time that begins now. The time is asked for only where it may open: what
    /// shows nothing ill counts from its beginning.
    pub(super) fn conclude(
        &mut self,
        ticket: Ticket,
        evidence: Evidence,
        now: impl Fn() -> Instant,
        jitter: impl FnOnce() -> f64,
    ) {
        if ticket.epoch != self.epoch {
            return;
        }
        let next = match &mut self.phase {
            Phase::Closed(window) => {
                let at = if evidence == Evidence::Ill { now() } else { ticket.since };
                window.note(evidence, at, self.settings.window);
                window.is_ill(&self.settings).then(&now).and_then(|now| {
                    window.turn(now, self.settings.window / 10);
                    window.is_ill(&self.settings).then(|| open(&self.settings, now, jitter()))
                })
            }
            #[cfg(trunkline_mutation)]
            Phase::HalfOpen { .. } if evidence == Evidence::None && Mutation::ProbeKept.is_on() => None,
            Phase::HalfOpen { reserved, well, .. } => {
                *reserved -= 1;
                *well += u32::from(evidence == Evidence::Well);
                match evidence {
                    Evidence::Ill => Some(open(&self.settings, now(), jitter())),
                    _ if *well >= self.settings.probes => Some(Phase::Closed(Window::default())),
                    _ => None,
                }
            }
            // No ticket is given out while it is open.
            Phase::Open { .. } => None,
        };
        if let Some(next) = next {
            self.enter(next);
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.epoch += 1;
        self.phase = phase;
    }
}

fn open(settings: &BreakerSettings, now: Instant, jitter: f64) -> Phase {
    Phase::Open { until: now + settings.open_for + settings.open_for.mul_f64(jitter / 4.0) }
}

/// Counts of the last while, in tenths of it.
#[derive(Debug, Default)]
struct Window {
    /// The tenth that is counted now, and when it began.
    current: usize,
    since: Option<Instant>,
    tenths: [Counts; 10],
    sum: Counts,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    all: u64,
    ill: u64,
}

impl Window {
    fn note(&mut self, evidence: Evidence, now: Instant, window: Duration) {
        self.turn(now, window / 10);
        if evidence == Evidence::None {
            return;
        }
        for counts in [&mut self.tenths[self.current], &mut self.sum] {
            counts.all += 1;
            counts.ill += u64::from(evidence == Evidence::Ill);
        }
    }

    /// Forgets what is older than the window.
    fn turn(&mut self, now: Instant, tenth: Duration) {
        let since = *self.since.get_or_insert(now);
        if now < since + tenth {
            return;
        }
        let passed = now.saturating_duration_since(since).as_nanos() / tenth.as_nanos().max(1);
        for _ in 0..passed.min(10) {
            self.current = (self.current + 1) % self.tenths.len();
            let gone = std::mem::take(&mut self.tenths[self.current]);
            self.sum.all -= gone.all;
            self.sum.ill -= gone.ill;
        }
        let whole = u32::try_from(passed).ok().and_then(|passed| tenth.checked_mul(passed));
        self.since = Some(whole.map_or(now, |whole| since + whole));
    }

    fn is_ill(&self, settings: &BreakerSettings) -> bool {
        let Counts { all, ill } = self.sum;
        all >= u64::from(settings.minimum) && ill * 100 >= all * u64::from(settings.failed_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use trunkline_core_types::{Clock, SystemClock};

    const SECOND: Duration = Duration::from_secs(1);

    fn circuit() -> (Circuit, Instant) {
        (Circuit::new(BreakerSettings::default()), SystemClock::new().now())
    }

    fn admit(circuit: &mut Circuit, now: Instant) -> Result<Ticket, Duration> {
        circuit.admit(now, || now + 30 * SECOND)
    }

    fn one(circuit: &mut Circuit, evidence: Evidence, now: Instant) {
        let ticket = admit(circuit, now).unwrap();
        circuit.conclude(ticket, evidence, || now, || 0.0);
    }

    fn opened() -> (Circuit, Instant) {
        let (mut circuit, now) = circuit();
        (0..20).for_each(|_| one(&mut circuit, Evidence::Ill, now));
        (circuit, now)
    }

    #[test]
    fn opens_on_half_of_at_least_twenty() {
        let (mut circuit, now) = circuit();
        (0..10).for_each(|_| one(&mut circuit, Evidence::Well, now));
        (0..9).for_each(|_| one(&mut circuit, Evidence::Ill, now));
        assert_eq!(circuit.state(now), BreakerState::Closed);
        one(&mut circuit, Evidence::None, now);
        assert_eq!(circuit.state(now), BreakerState::Closed);
        one(&mut circuit, Evidence::Ill, now);
        assert_eq!((circuit.state(now), circuit.wait(now)), (BreakerState::Open, Some(30 * SECOND)));

        let (mut circuit, now) = self::circuit();
        (0..11).for_each(|_| one(&mut circuit, Evidence::Well, now));
        (0..10).for_each(|_| one(&mut circuit, Evidence::Ill, now));
        assert_eq!(circuit.state(now), BreakerState::Closed, "10 of 21 is less than half");
    }

    #[test]
    fn forgets_what_is_older_than_the_window() {
        let (mut circuit, start) = circuit();
        (0..19).for_each(|_| one(&mut circuit, Evidence::Ill, start));
        one(&mut circuit, Evidence::Well, start + 53 * SECOND);
        assert_eq!(circuit.state(start), BreakerState::Open, "19 of 20 within the minute");

        let (mut circuit, start) = self::circuit();
        (0..19).for_each(|_| one(&mut circuit, Evidence::Ill, start));
        one(&mut circuit, Evidence::Ill, start + 60 * SECOND);
        assert_eq!(circuit.state(start), BreakerState::Closed, "the nineteen are a minute old");
    }

    #[test]
    fn an_answer_counts_from_the_attempts_beginning_and_opens_nothing_on_what_is_older_than_the_window() {
        let (mut circuit, start) = circuit();
        (0..19).for_each(|_| one(&mut circuit, Evidence::Ill, start));
        let (soon, late) = (
            admit(&mut circuit, start + 50 * SECOND).unwrap(),
            admit(&mut circuit, start + 53 * SECOND).unwrap(),
        );
        circuit.conclude(late, Evidence::Well, || start + 60 * SECOND, || 0.0);
        assert_eq!(circuit.state(start), BreakerState::Closed, "the nineteen are a minute old");
        circuit.conclude(soon, Evidence::Well, || unreachable!("nothing may open"), || 0.0);

        // A provider that lets every attempt hang as long as the window: seen when they end.
        let (mut circuit, start) = self::circuit();
        let hanging: Vec<_> = (0..20).map(|_| admit(&mut circuit, start).unwrap()).collect();
        for ticket in hanging {
            circuit.conclude(ticket, Evidence::Ill, || start + 90 * SECOND, || 0.0);
        }
        assert_eq!(circuit.state(start + 90 * SECOND), BreakerState::Open);
    }

    #[test]
    fn an_old_answer_changes_nothing() {
        let (mut circuit, now) = circuit();
        let late = admit(&mut circuit, now).unwrap();
        let later = admit(&mut circuit, now).unwrap();
        (0..20).for_each(|_| one(&mut circuit, Evidence::Ill, now));
        circuit.conclude(late, Evidence::Well, || now, || 0.0);
        assert_eq!(circuit.state(now), BreakerState::Open);

        let half = now + 30 * SECOND;
        let probe = admit(&mut circuit, half).unwrap();
        circuit.conclude(later, Evidence::Ill, || half, || 0.0);
        assert_eq!(circuit.state(half), BreakerState::HalfOpen);
        circuit.conclude(probe, Evidence::Well, || half, || 0.0);
        (0..2).for_each(|_| one(&mut circuit, Evidence::Well, half));
        assert_eq!(circuit.state(half), BreakerState::Closed);
    }

    #[test]
    fn half_open_lets_three_probe_and_closes_when_all_are_answered_well() {
        let (mut circuit, now) = opened();
        assert_eq!(admit(&mut circuit, now + 29 * SECOND).unwrap_err(), SECOND);
        let half = now + 30 * SECOND;
        let mut probes: Vec<_> = (0..3).map(|_| admit(&mut circuit, half).unwrap()).collect();
        assert_eq!(admit(&mut circuit, half).unwrap_err(), PROBE_TIME);
        circuit.conclude(probes.pop().unwrap(), Evidence::None, || half, || 0.0);
        probes.push(admit(&mut circuit, half).unwrap());
        probes.drain(..).for_each(|probe| {
            assert_eq!(circuit.state(half), BreakerState::HalfOpen);
            circuit.conclude(probe, Evidence::Well, || half, || 0.0);
        });
        assert_eq!(circuit.state(half), BreakerState::Closed);
        one(&mut circuit, Evidence::Ill, half);
        assert_eq!(circuit.state(half), BreakerState::Closed, "the old failures are forgotten");
    }

    #[test]
    fn one_failed_probe_opens_it_again_for_a_drawn_time() {
        let (mut circuit, now) = opened();
        let half = now + 30 * SECOND;
        let (first, second) = (admit(&mut circuit, half).unwrap(), admit(&mut circuit, half).unwrap());
        circuit.conclude(first, Evidence::Ill, || half, || 0.8);
        assert_eq!(circuit.wait(half), Some(36 * SECOND));
        circuit.conclude(second, Evidence::Well, || half, || 0.0);
        assert_eq!(circuit.state(half), BreakerState::Open);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Admit,
        Conclude(usize, Evidence),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let evidence = prop_oneof![Just(Evidence::Well), Just(Evidence::Ill), Just(Evidence::None)];
        prop_oneof![
            3 => Just(Step::Admit),
            3 => (0usize..8, evidence).prop_map(|(which, evidence)| Step::Conclude(which, evidence)),
            1 => (0u64..20_000).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn probes_never_exceed_their_number_and_always_come_back(
            probes in 1u32..5,
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let settings = BreakerSettings { probes, minimum: 2, ..BreakerSettings::default() };
            let (mut circuit, mut now) = (Circuit::new(settings), SystemClock::new().now());
            let mut out: Vec<Ticket> = Vec::new();
            for step in steps {
                match step {
                    Step::Pass(millis) => now += Duration::from_millis(millis),
                    Step::Admit => out.extend(admit(&mut circuit, now)),
                    Step::Conclude(which, evidence) if which < out.len() => {
                        circuit.conclude(out.swap_remove(which), evidence, || now, || 0.5);
                    }
                    Step::Conclude(..) => {}
                }
                let present = out.iter().filter(|ticket| ticket.epoch == circuit.epoch).count();
                match circuit.phase {
                    Phase::HalfOpen { reserved, well, .. } => {
                        prop_assert_eq!(reserved as usize, present);
                        prop_assert!(reserved + well <= probes);
                    }
                    Phase::Open { .. } => prop_assert_eq!(present, 0),
                    Phase::Closed(_) => {}
                }
            }
            // Whatever is still out is dropped; after the open time it lets attempts pass, and good ones close it.
            out.drain(..).for_each(|ticket| circuit.conclude(ticket, Evidence::None, || now, || 0.5));
            now += Duration::from_secs(60);
            for _ in 0..probes {
                let ticket = admit(&mut circuit, now);
                prop_assert!(ticket.is_ok());
                circuit.conclude(ticket.unwrap(), Evidence::Well, || now, || 0.5);
            }
            prop_assert_eq!(circuit.state(now), BreakerState::Closed);
        }

        #[test]
        fn any_evidence_in_any_time_is_counted_without_panic(steps in prop::collection::vec((any::<u32>(), 0u8..3), 0..60)) {
            let (mut circuit, mut now) = circuit();
            for (millis, kind) in steps {
                now += Duration::from_millis(millis.into());
                let evidence = [Evidence::Well, Evidence::Ill, Evidence::None][usize::from(kind)];
                if let Ok(ticket) = admit(&mut circuit, now) {
                    circuit.conclude(ticket, evidence, || now, || 0.99);
                }
            }
        }
    }
}
