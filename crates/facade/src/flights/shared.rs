//! One future for several callers, on whatever threads: whoever looks drives it, and it is given up with the last of them.
//!
//! Not `futures_util`'s, with which a caller can wait for ever: one who looks while another drives is turned away and not woken when that
//! one gives up, and nobody is woken when it panics.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use trunkline_core_types::BoxFuture;

use crate::sync::{Mutex, MutexGuard};

/// One caller's hold of the future. It ends as `None` if another caller panicked while it drove. Not to be polled after its end.
pub(super) struct Shared<T: Clone, E> {
    core: Arc<Core<T, E>>,
    caller: Option<u64>,
}

/// Keeps nothing under way.
pub(super) struct WeakShared<T: Clone, E>(Weak<Core<T, E>>);

struct Core<T: Clone, E> {
    state: Mutex<State<T, E>>,
    /// Apart from the future, which holds wakers of it.
    callers: Arc<Callers>,
}

enum State<T, E> {
    /// Nobody drives.
    Stands(Course<T, E>),
    /// Somebody does; whether another one was turned away.
    Moves {
        missed: bool,
    },
    Ended(T),
    /// Whoever drove panicked.
    Crashed,
}

/// The future, and what is dropped after it.
struct Course<T, E> {
    future: BoxFuture<'static, T>,
    _after: E,
}

impl<T: Clone, E> Shared<T, E> {
    /// A future with its first caller. `after` is dropped once the future is gone, ended or given up; nobody more may come from then on.
    pub(super) fn new(future: BoxFuture<'static, T>, after: E) -> Self {
        let state = Mutex::new(State::Stands(Course { future, _after: after }));
        Self { core: Arc::new(Core { state, callers: Arc::default() }), caller: None }
    }

    pub(super) fn downgrade(&self) -> WeakShared<T, E> {
        WeakShared(Arc::downgrade(&self.core))
    }

    #[cfg(test)]
    pub(super) fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }
}

impl<T: Clone, E> WeakShared<T, E> {
    /// One more caller, if one is left.
    pub(super) fn upgrade(&self) -> Option<Shared<T, E>> {
        Some(Shared { core: self.0.upgrade()?, caller: None })
    }
}

impl<T: Clone, E> Core<T, E> {
    fn state(&self) -> MutexGuard<'_, State<T, E>> {
        // No step panics half-way, so a poisoned lock still guards whole values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The future to drive, or what there is to say without.
    fn board(&self) -> Result<Course<T, E>, Poll<Option<T>>> {
        let mut state = self.state();
        match &mut *state {
            State::Stands(_) => {}
            State::Moves { missed } => {
                *missed = true;
                return Err(Poll::Pending);
            }
            State::Ended(end) => return Err(Poll::Ready(Some(end.clone()))),
            State::Crashed => return Err(Poll::Ready(None)),
        }
        match std::mem::replace(&mut *state, State::Moves { missed: false }) {
            State::Stands(course) => Ok(course),
            _ => Err(Poll::Pending),
        }
    }
}

/// A look at the future. Its end, a panic's too, says how things stand and wakes whoever has to know.
struct Look<'a, T: Clone, E> {
    core: &'a Core<T, E>,
    next: State<T, E>,
}

impl<T: Clone, E> Drop for Look<'_, T, E> {
    fn drop(&mut self) {
        let over = !matches!(self.next, State::Stands(_));
        let next = std::mem::replace(&mut self.next, State::Crashed);
        let before = std::mem::replace(&mut *self.core.state(), next);
        if over || matches!(before, State::Moves { missed: true }) {
            self.core.callers.wake_all();
        }
    }
}

impl<T: Clone, E> Unpin for Shared<T, E> {}

impl<T: Clone, E> Future for Shared<T, E> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = &mut *self;
        // First, so that nothing that comes from here on is missed.
        me.core.callers.note(&mut me.caller, cx.waker());
        let boarded = me.core.board();
        // Before the future, so that in a panic nobody hears of it before the future is gone.
        let mut look = None;
        let mut course = match boarded {
            Ok(course) => course,
            Err(said) => return said,
        };
        let look = look.insert(Look { core: &me.core, next: State::Crashed });
        let waker = Waker::from(me.core.callers.clone());
        match course.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                look.next = State::Stands(course);
                Poll::Pending
            }
            Poll::Ready(end) => {
                drop(course);
                me.caller.take().into_iter().for_each(|caller| me.core.callers.forget(caller));
                // Alone, nobody is left to whom to tell it.
                if Arc::strong_count(&me.core) > 1 {
                    look.next = State::Ended(end.clone());
                }
                Poll::Ready(Some(end))
            }
        }
    }
}

impl<T: Clone, E> Drop for Shared<T, E> {
    fn drop(&mut self) {
        if let Some(caller) = self.caller {
            self.core.callers.forget(caller);
        }
    }
}

/// Who waits. The future's own waker: it wakes them all.
#[derive(Default)]
struct Callers(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    next: u64,
    wakers: Vec<(u64, Waker)>,
}

impl Callers {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // As above.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, caller: &mut Option<u64>, waker: &Waker) {
        let mut waiting = self.waiting();
        let number = match *caller {
            Some(number) => number,
            None => waiting.number(caller),
        };
        let old = match waiting.wakers.iter_mut().find(|(known, _)| *known == number) {
            Some((_, known)) if known.will_wake(waker) => None,
            Some((_, known)) => Some(std::mem::replace(known, waker.clone())),
            None => {
                waiting.wakers.push((number, waker.clone()));
                None
            }
        };
        // What ends with a waker may come back here, so it is dropped without the lock.
        drop(waiting);
        drop(old);
    }

    fn forget(&self, caller: u64) {
        let mut waiting = self.waiting();
        let at = waiting.wakers.iter().position(|(known, _)| *known == caller);
        let gone = at.map(|at| waiting.wakers.remove(at));
        drop(waiting);
        drop(gone);
    }

    fn wake_all(&self) {
        // From the front, since whoever is woken may stand at the back again before the last one is.
        let count = self.waiting().wakers.len();
        for _ in 0..count {
            let mut waiting = self.waiting();
            if waiting.wakers.is_empty() {
                return;
            }
            let (_, waker) = waiting.wakers.remove(0);
            drop(waiting);
            waker.wake();
        }
    }
}

impl Waiting {
    fn number(&mut self, caller: &mut Option<u64>) -> u64 {
        self.next += 1;
        *caller.insert(self.next)
    }
}

impl Wake for Callers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

impl<T: Clone, E> fmt::Debug for WeakShared<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakShared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    type Number = Shared<u32, ()>;

    /// Counts its wakes.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn bell() -> (Arc<Bell>, Waker) {
        let bell = Arc::new(Bell::default());
        (bell.clone(), bell.into())
    }

    fn look(caller: &mut Number, waker: &Waker) -> Poll<Option<u32>> {
        Pin::new(caller).poll(&mut Context::from_waker(waker))
    }

    #[test]
    fn whoever_came_while_another_drove_is_woken_though_that_one_gives_up() {
        let (rung, waker) = bell();
        let second = Arc::new(Mutex::new(None::<Number>));
        let comes = second.clone();
        let mut first = Shared::new(
            Box::pin(poll_fn(move |cx| {
                // Something has come, and the second caller looks before the first is done.
                cx.waker().wake_by_ref();
                assert!(look(comes.lock().unwrap().as_mut().unwrap(), &waker).is_pending());
                Poll::Pending
            })),
            (),
        );
        *second.lock().unwrap() = first.downgrade().upgrade();
        assert!(look(&mut first, Waker::noop()).is_pending());
        drop(first);
        assert!(rung.0.load(Ordering::SeqCst) > 0, "or nobody drives");
        second.lock().unwrap().take();
    }

    #[test]
    fn a_panic_of_one_caller_is_told_the_others() {
        let (rung, waker) = bell();
        let mut polls = 0;
        let future = poll_fn(move |_| {
            polls += 1;
            assert!(polls == 1, "somebody else's code failed");
            Poll::Pending
        });
        let mut first = Shared::new(Box::pin(future), ());
        let weak = first.downgrade();
        let mut second = weak.upgrade().unwrap();
        assert!(look(&mut second, &waker).is_pending());
        assert!(catch_unwind(AssertUnwindSafe(|| look(&mut first, Waker::noop()))).is_err());
        assert!(rung.0.load(Ordering::SeqCst) > 0, "or it waits for ever");
        assert_eq!(look(&mut second, &waker), Poll::Ready(None));
        assert_eq!(look(&mut weak.upgrade().unwrap(), &waker), Poll::Ready(None));
    }

    /// Looks again as soon as it is woken.
    struct Eager(Mutex<Option<Number>>, AtomicUsize);

    impl Wake for Eager {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(1, Ordering::SeqCst);
            assert!(look(self.0.lock().unwrap().as_mut().unwrap(), &self.clone().into()).is_pending());
        }
    }

    #[test]
    fn one_who_waits_again_at_once_takes_no_wake_from_another() {
        let inner = Arc::new(Mutex::new(None));
        let kept = inner.clone();
        let first = Shared::new(
            Box::pin(poll_fn(move |cx| {
                *kept.lock().unwrap() = Some(cx.waker().clone());
                Poll::Pending
            })),
            (),
        );
        let second = first.downgrade().upgrade();
        let callers = [Some(first), second].map(|caller| Arc::new(Eager(Mutex::new(caller), 0.into())));
        callers.iter().for_each(|caller| caller.clone().wake());
        let waker = inner.lock().unwrap().clone().unwrap();
        waker.wake();
        assert_eq!(callers.each_ref().map(|caller| caller.1.load(Ordering::SeqCst)), [2, 2]);
        callers.iter().for_each(|caller| drop(caller.0.lock().unwrap().take()));
    }

    #[test]
    fn each_caller_gets_the_end_and_what_comes_after_comes_after_the_future() {
        let marks = Arc::new(Mutex::new(Vec::new()));
        struct Mark(Arc<Mutex<Vec<&'static str>>>, &'static str);
        impl Drop for Mark {
            fn drop(&mut self) {
                self.0.lock().unwrap().push(self.1);
            }
        }
        for ends in [true, false] {
            let future = Mark(marks.clone(), "future");
            let future = Box::pin(poll_fn(move |_| {
                let _ = &future;
                if ends { Poll::Ready(7) } else { Poll::Pending }
            }));
            let mut first = Shared::new(future, Mark(marks.clone(), "after"));
            let mut second = first.downgrade().upgrade().unwrap();
            let end = if ends { Poll::Ready(Some(7)) } else { Poll::Pending };
            for caller in [&mut first, &mut second] {
                assert_eq!(Pin::new(caller).poll(&mut Context::from_waker(Waker::noop())), end);
            }
            drop((first, second));
            assert_eq!(std::mem::take(&mut *marks.lock().unwrap()), ["future", "after"]);
        }
    }
}
